"""What Argo's controller refuses before anything runs, rule by rule."""

from __future__ import annotations

import pytest

from tests.engine.graph.running import run, workflow

LEAF = "container: {image: i}"

REFUSED = [
    ("entrypoint: ''", "spec.entrypoint is required"),
    ("entrypoint: x", "template name 'x' undefined"),
    ("templates: [{suspend: {}}]", "spec.templates[0].name is required"),
    ("templates: [{name: a_b, suspend: {}}]", "spec.templates[0].name: 'a_b' is invalid: name must"),
    ("templates: [{name: main, suspend: {}}, {name: main, suspend: {}}]", "templates[1].name 'main' is not unique"),
    ("arguments: {parameters: [{name: p}]}", "spec.arguments.p.value or spec.arguments.p.valueFrom is required"),
    ("arguments: {parameters: [{name: p, value: x, enum: [a]}]}", "spec.arguments.p.value should be present in"),
    ("arguments: {parameters: [{name: p, value: x, enum: []}]}", "spec.arguments.p.enum should contain"),
    ("arguments: {parameters: [{name: a.b, value: x}]}", "spec.arguments.parameters[0].name: 'a.b' is invalid"),
    ("arguments: {artifacts: [{name: a}]}", "spec.arguments.a.from, artifact location, or key is required"),
    ("podGC: {strategy: Never}", "podGC.strategy unknown strategy 'Never'"),
    ("hooks: {r: {template: leaf}}", "hooks.r Expression required"),
]

TEMPLATES = [
    ("", "templates.main template type unspecified"),
    ("suspend: {}, steps: []", "templates.main multiple template types specified"),
    ("container: {}", "templates.main.container.image may not be empty"),
    ("inputs: {parameters: [{name: x}]}, suspend: {}", "templates.main inputs.parameters.x was not supplied"),
    ("retryStrategy: {retryPolicy: Sometimes}, suspend: {}", "Sometimes is not a valid RetryPolicy"),
    ("timeout: 5s, steps: []", "Steps template doesn't support timeout field."),
    (f"timeout: '5', {LEAF}", "main has invalid duration format in timeout."),
    ("activeDeadlineSeconds: 5, steps: []", "main.activeDeadlineSeconds is only valid for leaf templates"),
    ("activeDeadlineSeconds: -5, suspend: {}", "main.activeDeadlineSeconds must be a positive integer"),
    ("parallelism: 1, suspend: {}", "templates.main.parallelism is only valid for steps and dag templates"),
    ("resource: {action: destroy}", "templates.main.resource.action must be one of: get, create"),
    ("resource: {action: create}", "either templates.main.resource.manifest or"),
    ("resource: {action: create, manifest: 'a: [b'}", "templates.main.resource.manifest must be a valid yaml"),
    ("inputs: {artifacts: [{name: a, path: /a}]}, steps: []", "main.inputs.artifacts.a.path only valid in"),
    (
        f"resource: {{action: create, manifest: '{'[' * 50_000}'}}",
        "templates.main.resource.manifest must be a valid yaml: nested more than 200 levels deep",
    ),
    (f"outputs: {{artifacts: [{{name: a}}]}}, {LEAF}", "Artifact 'a' did not specify a path"),
    (f"outputs: {{artifacts: [{{name: a, path: /a/../b}}]}}, {LEAF}", "attempted to use a path containing '..'"),
    (f"outputs: {{parameters: [{{name: o}}]}}, {LEAF}", "o does not have valueFrom or value specified"),
    (
        f"outputs: {{parameters: [{{name: o, valueFrom: {{path: /o, parameter: x}}}}]}}, {LEAF}",
        "multiple valueFrom types specified",
    ),
    (
        f"outputs: {{parameters: [{{name: o, valueFrom: {{expression: '1'}}}}]}}, {LEAF}",
        "templates.main.outputs.parameters.o.path must be specified for Container templates",
    ),
    (
        f"outputs: {{parameters: [{{name: o, globalName: a.b, valueFrom: {{path: /o}}}}]}}, {LEAF}",
        "o.globalName: Parameter/Artifact name must",
    ),
    ("metrics: {prometheus: [{name: m}]}, suspend: {}", "metric 'm' must contain a help string"),
    (
        "container: {image: i, volumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /a}]}",
        "volumeMounts[1].mountPath '/a' already mounted in container.volumeMounts.a",
    ),
    ("containerSet: {containers: []}", "containers must have at least one container"),
    (
        "containerSet: {containers: [{name: a, dependencies: [b]}, {name: b, dependencies: [a]}]}",
        "containers dependency cycle detected: a->b->a",
    ),
    (
        "containerSet: {containers: [{name: a}]}, outputs: {parameters: [{name: o, valueFrom: {path: /o}}]}",
        'must have a container named "main"',
    ),
]

STEPS = [
    ("{name: a, template: echo}", "steps[0].a templates.echo inputs.parameters.text was not supplied"),
    ("{name: a, template: leaf}, {name: a, template: leaf}", "templates.main.steps[0].name 'a' is not unique"),
    ("{name: a.b, template: leaf}", "templates.main.steps[0].name 'a.b' is invalid"),
    ("{name: a, template: leaf, templateRef: {name: x, template: y}}", "cannot be specified with templateRef."),
    ("{name: a, templateRef: {name: x, template: y}}", 'workflowtemplates.argoproj.io "x" not found'),
    ("{name: a, template: leaf, hooks: {r: {template: leaf}}}", "main.steps[0].a.r Expression required"),
    ("{name: a, template: leaf, withItems: [1], withParam: '[]'}", "only one of withItems, withParam, withSequence"),
    ("{name: a, template: leaf, withSequence: {count: 1, end: 2}}", "only one of count or end can be defined"),
    ("{name: a, template: leaf, when: '{{inputs.parameters.x}}'}", "failed to resolve {{inputs.parameters.x}}"),
    ("{name: a, template: leaf, when: '{{steps.x.status}}'}", "failed to resolve {{steps.x.status}}"),
    ("{name: a, template: leaf, when: '{{steps.a.outputs.parameters.v}}'}", "failed to resolve {{steps.a.outputs."),
    ("{name: a, template: leaf, when: '{{item.b}}', withItems: [{a: 1}]}", "failed to resolve {{item.b}}"),
    ("{name: a, template: leaf, when: '{{workflow.failures}}'}", "failed to resolve {{workflow.failures}}"),
    ("{name: a, template: leaf, when: '{{workflow.parameters.x}}'}", "failed to resolve {{workflow.parameters.x}}"),
    ("{name: a, template: leaf, when: '{{pod.name}}'}", "failed to resolve {{pod.name}}"),
    ("{name: a, template: wait}, {name: b, template: leaf, when: '{{steps.a.outputs.result}}'}", "failed to resolve"),
]

TASKS = [
    ("", "templates.main must have at least one task"),
    ("{name: a, template: leaf, depends: b}, {name: b, template: leaf, depends: a}", "cycle detected: a->b->a"),
    ("{name: a, template: leaf, depends: b}", "templates.main.tasks.a dependency 'b' not defined"),
    (
        "{name: a, template: leaf}, {name: b, template: leaf, depends: a},"
        " {name: c, template: leaf, dependencies: [a]}",
        "cannot use both 'depends' and 'dependencies' in the same DAG template",
    ),
    (
        "{name: a, template: leaf, continueOn: {failed: true}}, {name: b, template: leaf, depends: a}",
        "cannot use 'continueOn' when using 'depends'",
    ),
    ("{name: a, template: leaf}, {name: b, template: leaf, depends: a.Done}", "task result 'Done' for task 'a'"),
    ("{name: a, template: leaf}, {name: b, template: leaf, depends: a.AllFailed}", "uses an items-based condition"),
    ("{name: a, template: leaf}, {name: 1b, template: leaf, depends: a}", "name cannot begin with a digit"),
    ("{name: a, template: leaf}, {name: b, template: leaf, when: '{{tasks.a.status}}'}", "resolve {{tasks.a.status}}"),
    (
        "{name: a, template: give}, {name: b, template: echo,"
        " arguments: {parameters: [{name: text, value: '{{tasks.a.outputs.parameters.v}}'}]}}",
        "templates.main.tasks.b missing dependency 'a' for parameter 'text'",
    ),
]

ALLOWED = [
    "container: {image: '{{hello}}'}",
    "container: {image: '{{my.own.thing}} {{ .Values }}'}",
    "container: {image: '{{=steps.a.status}}'}",
    "container: {image: '{{workflow.creationTimestamp.Y}} {{workflow.duration}} {{workflow.scheduledTime}}'}",
    "container: {image: '{{outputs.parameters.x}} {{retries}} {{lastRetry.message}}'}",
    "steps: [[{name: a, template: leaf, when: '{{item.b}} == 1', withParam: '[]'}]]",
]


def refused(spec: str) -> str:
    """Why a spec is refused."""
    ran = run(spec)
    assert (ran.phase, ran.phases) == ("Failed", {})
    assert ran.message.startswith("invalid spec: ")
    return ran.message


@pytest.mark.parametrize(("spec", "reason"), REFUSED)
def test_a_workflow_is_refused(spec: str, reason: str) -> None:
    assert reason in refused(spec if "templates" in spec else f"{spec}\ntemplates: [{{name: main, suspend: {{}}}}]")


@pytest.mark.parametrize(("fields", "reason"), TEMPLATES)
def test_a_template_is_refused(fields: str, reason: str) -> None:
    assert reason in refused(f"templates: [{{name: main{', ' if fields else ''}{fields}}}]")


@pytest.mark.parametrize(("steps", "reason"), STEPS)
def test_steps_are_refused(steps: str, reason: str) -> None:
    assert reason in refused(f"templates: [{{name: main, steps: [[{steps}]]}}]")


@pytest.mark.parametrize(("tasks", "reason"), TASKS)
def test_a_dag_is_refused(tasks: str, reason: str) -> None:
    assert reason in refused(f"templates: [{{name: main, dag: {{tasks: [{tasks}]}}}}]")


@pytest.mark.parametrize("fields", ALLOWED)
def test_names_that_may_be_somebody_elses_or_come_later(fields: str) -> None:
    assert run(f"templates: [{{name: main, {fields}}}]").phase == "Succeeded"


def test_templates_that_nobody_calls_are_looked_at_too() -> None:
    spec = "templates: [{name: main, suspend: {}}, {name: other, steps: [[{name: b, template: x}]]}]"
    assert "templates.other templates.other.steps[0].b template name 'x' undefined" in refused(spec)


def test_the_workflows_name_is_no_longer_than_a_label() -> None:
    ran = run(workflow("templates: [{name: main, container: {image: i}}]", name="n" * 64))
    assert "must not be more than 63 characters long (currently 64)" in ran.message


def test_a_suspended_workflow_is_looked_at_too() -> None:
    refused("suspend: true\nentrypoint: nowhere")


def test_templates_may_call_one_another_as_deep_as_they_like() -> None:
    chain = ", ".join(f"{{name: t{n}, steps: [[{{name: a, template: t{n + 1}}}]]}}" for n in range(1100))
    assert run(f"entrypoint: leaf\ntemplates: [{chain}, {{name: t1100, steps: []}}]").phase == "Succeeded"
    assert "template name 't1100' undefined" in refused(f"entrypoint: leaf\ntemplates: [{chain}]")
