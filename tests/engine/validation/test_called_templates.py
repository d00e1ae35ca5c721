"""The rules look at templates as they are once called: arguments bound, tags filled in (Argo's common/util.go)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from engine import Workflow
from tests.engine.graph.running import Ran, run

VALID = {
    "a template that a parameter names": """
        arguments: {parameters: [{name: t, value: leaf}]}
        templates: [{name: main, steps: [[{name: a, template: '{{workflow.parameters.t}}'}]]}]
        """,
    "a step that a parameter names": """
        arguments: {parameters: [{name: n, value: first}]}
        templates: [{name: main, steps: [[{name: '{{workflow.parameters.n}}', template: leaf}]]}]
        """,
    "a tag within a tag": """
        arguments: {parameters: [{name: which, value: v}]}
        templates:
        - name: main
          inputs: {parameters: [{name: v, value: hello}]}
          container: {image: i, args: ['{{inputs.parameters.{{workflow.parameters.which}}}}']}
        """,
    "an output that an argument names": """
        templates:
        - name: main
          steps: [[{name: a, template: t, arguments: {parameters: [{name: n, value: x}]}}]]
        - name: t
          inputs: {parameters: [{name: n}]}
          container: {image: i}
          outputs: {parameters: [{name: '{{inputs.parameters.n}}', valueFrom: {path: /x}}]}
        """,
    "an action that an argument names": """
        templates:
        - {name: main, steps: [[{name: a, template: t, arguments: {parameters: [{name: a, value: create}]}}]]}
        - name: t
          inputs: {parameters: [{name: a}]}
          resource: {action: '{{inputs.parameters.a}}', manifest: 'a: {{inputs.parameters.a}}'}
        """,
    "a global output that an argument names, read by its name": """
        templates:
        - name: main
          steps:
          - - {name: a, template: t, arguments: {parameters: [{name: n, value: g}]}}
          - - name: b
              template: echo
              arguments: {parameters: [{name: text, value: '{{workflow.outputs.parameters.g}}'}]}
        - name: t
          inputs: {parameters: [{name: n}]}
          container: {image: i}
          outputs: {parameters: [{name: o, globalName: '{{inputs.parameters.n}}', valueFrom: {path: /x}}]}
        """,
    "a ConfigMap's key for a parameter of the workflow, handed on": """
        arguments: {parameters: [{name: a, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}
        templates:
        - name: main
          inputs: {parameters: [{name: a}]}
          container: {image: i, args: ['{{inputs.parameters.a}}']}
        """,
    "an inline template that reads what its parent was given": """
        templates:
        - name: main
          inputs: {parameters: [{name: m, value: hi}]}
          steps: [[{name: a, inline: {container: {image: i, args: ['{{inputs.parameters.m}}']}}}]]
        """,
    "a path that comes back to where it was": """
        templates:
        - name: main
          inputs: {artifacts: [{name: a, path: /tmp/safe/../safe/x, raw: {data: x}}]}
          container: {image: i}
        """,
    "mounts that only look alike": """
        volumes: [{name: a, emptyDir: {}}, {name: b, emptyDir: {}}]
        templates:
        - name: main
          inputs: {parameters: [{name: a, value: /x}, {name: b, value: /y}]}
          container:
            image: i
            volumeMounts:
            - {name: a, mountPath: '{{inputs.parameters.a}}'}
            - {name: b, mountPath: '{{inputs.parameters.b}}'}
        """,
    "a selector of pods": """
        podGC: {labelSelector: {matchLabels: {a: b}, matchExpressions: [{key: x/y, operator: Exists}]}}
        templates: [{name: main, container: {image: i}}]
        """,
}

REFUSED = {
    "timeout: '{{workflow.parameters.five}}', container: {image: i}": "main has invalid duration format in timeout.",
    "inputs: {parameters: [{name: a, valueFrom: {supplied: {}}}]}, suspend: {}": (
        "templates.main inputs.parameters.a was not supplied"
    ),
    "container: {image: '{{workflow.parameters.empty}}'}": "templates.main.container.image may not be empty",
    "container: {image: i}, metrics: {prometheus: [{name: m, help: h, gauge: {value: ''}}]}": (
        "templates.main metric 'm' error: missing gauge.value"
    ),
    "container: {image: i}, metrics: {prometheus: [{name: m, help: h, gauge: {realtime: true,"
    " value: '{{resourcesDuration.cpu}}'}}]}": "cannot be used in real-time",
    "container: {image: i}, metrics: {prometheus: [{name: m, help: h, labels: [{key: a-b, value: x}]}]}": (
        "metric label 'a-b' is invalid"
    ),
    "container: {image: i}, archiveLocation: {git: {}}": "templates.main.archiveLocation.git.repo is required",
    "container: {image: i}, archiveLocation: {hdfs: {path: /x}}": "archiveLocation.hdfs.addresses is required",
    "container: {image: i}, archiveLocation: {hdfs: {addresses: [a], path: x}}": "must be a absolute file path",
    "container: {image: i}, archiveLocation: {hdfs: {addresses: [a], path: /x}}": "hdfs.krbKeytabSecret is required",
    "steps: [[{name: a, template: nope, inline: {suspend: {}}}]]": "template name 'nope' undefined",
}

LATE = """
    templates:
    - {name: main, steps: [[{name: a, template: t}], [{name: b, template: late}]]}
    - {name: late, container: {image: i, args: ['{{workflow.outputs.parameters.g}}']}}
    - name: t
      container: {image: i}
      outputs: {parameters: [{name: o, globalName: '{{hello}}', valueFrom: {path: /x}}]}
    """

SECOND = """
    templates:
    - name: main
      steps:
      - - {name: a, template: t, arguments: {parameters: [{name: t, value: 5s}]}}
      - - {name: b, template: t, arguments: {parameters: [{name: t, value: '5'}]}}
    - {name: t, inputs: {parameters: [{name: t}]}, timeout: '{{inputs.parameters.t}}', container: {image: i}}
    """


def refused(ran: Ran) -> str:
    assert (ran.phase, ran.phases) == ("Failed", {})
    assert ran.message.startswith("invalid spec: ")
    return ran.message


@pytest.mark.parametrize("spec", VALID.values(), ids=VALID)
def test_what_is_valid_once_tags_are_filled_in(spec: str) -> None:
    assert run(spec, config_maps={"c": {"data": {"k": "v"}}}).phase == "Succeeded"


@pytest.mark.parametrize(("fields", "reason"), REFUSED.items())
def test_what_is_not(fields: str, reason: str) -> None:
    arguments = "arguments: {parameters: [{name: five, value: '5'}, {name: empty, value: ''}]}"
    assert reason in refused(run(f"{arguments}\ntemplates: [{{name: main, {fields}}}]"))


def test_a_global_output_of_any_name_is_known_only_where_it_is_made() -> None:
    assert "templates.late: failed to resolve {{workflow.outputs.parameters.g}}" in refused(run(LATE))


def test_the_same_spec_is_refused_in_the_same_words() -> None:
    spec = """
        templates:
        - {name: main, steps: [[{name: a, template: t, arguments: {parameters: [{name: n, value: x}]}}]]}
        - {name: t, inputs: {parameters: [{name: n}]}, dag: {target: '{{inputs.parameters.n}}',
            tasks: [{name: x, template: leaf}]}}
        """
    message = refused(run(spec))
    assert "templates.t.targets: target 'argo-placeholder-" in message
    assert run(spec).message == message


def test_every_call_is_looked_at_with_its_own_arguments() -> None:
    assert "templates.main.steps[1].b t has invalid duration format in timeout." in refused(run(SECOND))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("{key: a, operator: Near}", '"Near" is not a valid label selector operator'),
        ("{key: a, operator: In}", "values set must be specified"),
        ("{key: a, operator: Exists, values: [b]}", "values set must be empty"),
        ("{key: a b, operator: Exists}", "key: Invalid value: 'a b'"),
        ("{key: a, operator: In, values: [b c]}", "values: Invalid value: 'b c'"),
    ],
)
def test_a_selector_that_selects_nothing(expression: str, reason: str) -> None:
    spec = f"podGC: {{labelSelector: {{matchExpressions: [{expression}]}}}}"
    message = refused(run(f"{spec}\ntemplates: [{{name: main, container: {{image: i}}}}]"))
    assert "podGC.labelSelector invalid: " in message
    assert reason in message


SHARED = """
    entrypoint: main
    arguments: {parameters: [{name: a, value: theirs}, {name: e, value: x, enum: [x, y]}]}
    templates:
    - name: main
      inputs: {parameters: [{name: a}]}
      container: {image: i, args: ['{{inputs.parameters.a}} {{workflow.parameters.e}}']}
    - {name: bye, script: {image: i, source: x}}
    """


def refer(spec: str, shared: str, *, cluster: bool = False) -> Ran:
    """A workflow that is nothing but a reference to a shared template, and what `spec` adds."""
    kind = "cluster_workflow_templates" if cluster else "workflow_templates"
    reference = {"name": "lib", "clusterScope": cluster}
    document = {
        "metadata": {"name": "wf"},
        "spec": {"workflowTemplateRef": reference, **(yaml.load(spec, yaml.CSafeLoader) or {})},
    }
    options: dict[str, Any] = {
        kind: {"lib": {"metadata": {"name": "lib"}, "spec": yaml.load(shared, yaml.CSafeLoader)}}
    }
    return run(Workflow(document), **options)


class TestWorkflowTemplateRef:
    """The shared template is looked at as it stands, before a workflow is merged with it (Workflow in validate.go)."""

    def test_a_value_of_the_workflows_own_may_be_none_of_the_templates_enum(self) -> None:
        assert refer("arguments: {parameters: [{name: e, value: z}]}", SHARED).text("wf") == "theirs z"

    def test_a_parameter_named_again_without_a_value_has_none(self) -> None:
        ran = refer("arguments: {parameters: [{name: e}]}", SHARED)
        assert "spec.arguments.e.value or spec.arguments.e.valueFrom is required" in refused(ran)

    def test_the_exit_handler_sees_the_workflows_own_arguments_only(self) -> None:
        shared = SHARED.replace("{name: bye,", "{name: bye, inputs: {parameters: [{name: a}]},") + "onExit: bye"
        assert "templates.bye inputs.parameters.a was not supplied" in refused(refer("", shared))
        assert refer("arguments: {parameters: [{name: a, value: mine}]}", shared).phase == "Succeeded"

    def test_images_come_from_the_defaults_of_the_template_and_not_of_the_workflow(self) -> None:
        shared = SHARED.replace("image: i, source", "source")
        assert refer("", shared + "templateDefaults: {script: {image: i}}").phase == "Succeeded"
        ran = refer("templateDefaults: {script: {image: i}}", shared)
        assert "templates.bye.script.image may not be empty" in refused(ran)

    def test_those_of_a_cluster_workflow_template_do_not_count(self) -> None:
        shared = SHARED.replace("image: i, source", "source") + "templateDefaults: {script: {image: i}}"
        assert "script.image may not be empty" in refused(refer("", shared, cluster=True))
        assert refer("", SHARED, cluster=True).phase == "Succeeded"

    def test_hooks_of_both_are_kept_each_as_a_whole(self) -> None:  # MergeTo of merge.go
        theirs = "hooks: {h: {template: bye, expression: 'false'}, k: {template: bye, expression: 'true'}}"
        ran = refer("hooks: {h: {template: bye, expression: 'true'}}", SHARED + theirs)
        assert {"wf.hooks.h", "wf.hooks.k"} <= set(ran.phases)
