"""The rules look at templates as they are once called: arguments bound, tags filled in (ProcessArgs, common/util.go)."""

from __future__ import annotations

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

LEAF = "container: {image: i}"

INVALID = {
    f"templates: [{{name: main, inputs: {{parameters: [{{name: t, value: '5'}}]}}, timeout: '{{{{inputs.parameters.t}}}}'"
    f", {LEAF}}}]": "main has invalid duration format in timeout.",
    """
    templates:
    - {name: main, steps: [[{name: a, template: t, arguments: {parameters: [{name: t, value: '5'}]}}]]}
    - {name: t, inputs: {parameters: [{name: t}]}, timeout: '{{inputs.parameters.t}}', container: {image: i}}
    """: "templates.main.steps[0].a t has invalid duration format in timeout.",
    "templates: [{name: main, inputs: {parameters: [{name: a, valueFrom: {supplied: {}}}]}, suspend: {}}]": (
        "templates.main inputs.parameters.a was not supplied"
    ),
    """
    arguments: {parameters: [{name: i, value: ''}]}
    templates: [{name: main, container: {image: '{{workflow.parameters.i}}'}}]
    """: "templates.main.container.image may not be empty",
    """
    templates:
    - {name: main, steps: [[{name: a, template: t}], [{name: b, template: late}]]}
    - {name: late, container: {image: i, args: ['{{workflow.outputs.parameters.g}}']}}
    - {name: t, container: {image: i}, outputs: {parameters: [{name: o, globalName: '{{hello}}',
        valueFrom: {path: /x}}]}}
    """: "templates.late: failed to resolve {{workflow.outputs.parameters.g}}",
    f"templates: [{{name: main, {LEAF}, metrics: {{prometheus: [{{name: m, help: h, gauge: {{value: ''}}}}]}}}}]": (
        "templates.main metric 'm' error: missing gauge.value"
    ),
    "templates: [{name: main, container: {image: i}, metrics: {prometheus: [{name: m, help: h,"
    " gauge: {realtime: true, value: '{{resourcesDuration.cpu}}'}}]}}]": "cannot be used in real-time",
    "templates: [{name: main, container: {image: i}, metrics: {prometheus: [{name: m, help: h,"
    " labels: [{key: a-b, value: x}]}]}}]": "metric label 'a-b' is invalid",
    f"podGC: {{labelSelector: {{matchExpressions: [{{key: a, operator: Near}}]}}}}\ntemplates: [{{name: main, {LEAF}}}]": (
        'podGC.labelSelector invalid: "Near" is not a valid label selector operator'
    ),
    f"podGC: {{labelSelector: {{matchExpressions: [{{key: a, operator: In}}]}}}}\ntemplates: [{{name: main, {LEAF}}}]": (
        "values set must be specified"
    ),
    f"templates: [{{name: main, {LEAF}, archiveLocation: {{git: {{}}}}}}]": "archiveLocation.git.repo is required",
    f"templates: [{{name: main, {LEAF}, archiveLocation: {{hdfs: {{addresses: [a], path: x}}}}}}]": (
        "templates.main.archiveLocation.hdfs.path must be a absolute file path"
    ),
    f"templates: [{{name: main, {LEAF}, archiveLocation: {{hdfs: {{addresses: [a], path: /x}}}}}}]": "hdfsUser",
    "templates: [{name: main, steps: [[{name: a, template: nope, inline: {suspend: {}}}]]}]": "'nope' undefined",
}


def refused(ran: Ran) -> str:
    assert (ran.phase, ran.phases) == ("Failed", {})
    assert ran.message.startswith("invalid spec: ")
    return ran.message


@pytest.mark.parametrize("spec", VALID.values(), ids=VALID)
def test_what_is_valid_once_tags_are_filled_in(spec):
    assert run(spec, config_maps={"c": {"data": {"k": "v"}}}).phase == "Succeeded"


@pytest.mark.parametrize(("spec", "reason"), INVALID.items())
def test_what_is_not(spec, reason):
    assert reason in refused(run(spec))


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
    document = {"metadata": {"name": "wf"}, "spec": {"workflowTemplateRef": reference, **(yaml.safe_load(spec) or {})}}
    return run(Workflow(document), **{kind: {"lib": {"metadata": {"name": "lib"}, "spec": yaml.safe_load(shared)}}})


class TestWorkflowTemplateRef:
    """The shared template is looked at as it stands, before a workflow is merged with it (Workflow in validate.go)."""

    def test_a_value_of_the_workflows_own_may_be_none_of_the_templates_enum(self):
        assert refer("arguments: {parameters: [{name: e, value: z}]}", SHARED).text("wf") == "theirs z"

    def test_a_parameter_named_again_without_a_value_has_none(self):
        ran = refer("arguments: {parameters: [{name: e}]}", SHARED)
        assert "spec.arguments.e.value or spec.arguments.e.valueFrom is required" in refused(ran)

    def test_the_exit_handler_sees_the_workflows_own_arguments_only(self):
        shared = SHARED.replace("{name: bye,", "{name: bye, inputs: {parameters: [{name: a}]},") + "onExit: bye"
        assert "templates.bye inputs.parameters.a was not supplied" in refused(refer("", shared))
        assert refer("arguments: {parameters: [{name: a, value: mine}]}", shared).phase == "Succeeded"

    def test_images_come_from_the_defaults_of_the_template_and_not_of_the_workflow(self):
        shared = SHARED.replace("image: i, source", "source")
        assert refer("", shared + "templateDefaults: {script: {image: i}}").phase == "Succeeded"
        ran = refer("templateDefaults: {script: {image: i}}", shared)
        assert "templates.bye.script.image may not be empty" in refused(ran)

    def test_those_of_a_cluster_workflow_template_do_not_count(self):
        shared = SHARED.replace("image: i, source", "source") + "templateDefaults: {script: {image: i}}"
        assert "script.image may not be empty" in refused(refer("", shared, cluster=True))
        assert refer("", SHARED, cluster=True).phase == "Succeeded"

    def test_hooks_of_both_are_kept_each_as_a_whole(self):  # MergeTo of merge.go
        theirs = "hooks: {h: {template: bye, expression: 'false'}, k: {template: bye, expression: 'true'}}"
        ran = refer("hooks: {h: {template: bye, expression: 'true'}}", SHARED + theirs)
        assert {"wf.hooks.h", "wf.hooks.k"} <= set(ran.phases)
