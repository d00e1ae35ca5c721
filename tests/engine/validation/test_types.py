"""Fields of the wrong type, as Argo's decoders find them (pkg/apis/workflow/v1alpha1)."""

from __future__ import annotations

import pytest
import yaml

from engine.shape import WrongType, check_shape
from tests.engine.graph.running import run

STEP = "templates: [{name: main, steps: [[{name: a, template: t, %s}]]}]"
TASK = "templates: [{name: main, dag: {tasks: [{name: a, template: t, %s}]}}]"
LEAF = "templates: [{name: main, container: {image: i}, %s}]"

WRONG = {
    STEP % "depends: b": "spec.templates[0].steps[0][0]: a step has no field 'depends'",
    STEP % "withItem: [1]": "spec.templates[0].steps[0][0]: a step has no field 'withItem'",
    STEP % "when: true": "spec.templates[0].steps[0][0].when: expected a string, got a boolean",
    STEP % "withParam: [1]": "spec.templates[0].steps[0][0].withParam: expected a string, got a list",
    TASK % "withParam: [1]": "spec.templates[0].dag.tasks[0].withParam: expected a string, got a list",
    LEAF % "archiveLocation: {git: x}": "spec.templates[0].archiveLocation.git: expected a mapping, got a string",
    LEAF % "metrics: {prometheus: [{name: m, gauge: 1}]}": "gauge: expected a mapping, got a whole number",
    "templates: [{name: main, container: {command: make}}]": "container.command: expected a list, got a string",
    "templates: [{name: main, script: {image: i, source: a, args: 1}}]": "args: expected a list, got a whole number",
    LEAF % "inputs: {artifacts: [{name: a, mode: '0777'}]}": "mode: expected a whole number, got a string",
    "templates: [{name: main, plugin: {}}]": "spec.templates[0].plugin: expected a mapping of length >= 1",
    "templates: [{name: main, plugin: {a: {}, b: {}}}]": "plugin: expected a mapping of length <= 1",
    LEAF % "metadata: {labels: [a]}": "spec.templates[0].metadata.labels: expected a mapping, got a list",
    "hooks: {exit: {template: a}, b: {}, c: main, d: {}}": "spec.hooks.c: expected a mapping, got a string",
    STEP % "hooks: {b: {}, c: {expression: 1}}": "hooks.c.expression: expected a string, got a whole number",
    "workflowMetadata: {labels: {a.b/c: x, d: y, e: [z]}}": "spec.workflowMetadata.labels.e: expected a boolean or",
    "ttlStrategy: {secondsAfterSuccess: soon}": "spec.ttlStrategy.secondsAfterSuccess: expected a whole number, got a",
    "podGC: {labelSelector: {matchExpressions: x}}": "matchExpressions: expected a list, got a string",
}


@pytest.mark.parametrize(("spec", "complaint"), WRONG.items())
def test_a_field_of_the_wrong_type(spec: str, complaint: str) -> None:
    with pytest.raises(WrongType) as caught:
        check_shape({"spec": yaml.load(spec, yaml.CSafeLoader)})
    assert complaint in str(caught.value)


@pytest.mark.parametrize("spec", [TASK % "hello: world", LEAF % "hello: world"])
def test_fields_that_nobody_knows_are_let_be_but_in_steps(spec: str) -> None:
    check_shape({"spec": yaml.load(spec, yaml.CSafeLoader)})


def test_a_condition_of_a_task_may_be_written_as_a_boolean() -> None:  # sigs.k8s.io/yaml makes a text of it
    tasks = "{name: a, template: leaf, when: true}, {name: b, template: leaf, when: false}"
    ran = run(f"templates: [{{name: main, dag: {{tasks: [{tasks}]}}}}]")
    assert (ran["a"].phase, ran["b"].phase) == ("Succeeded", "Skipped")


def test_labels_that_look_like_numbers_are_text() -> None:
    ran = run("workflowMetadata: {labels: {v: 1}}\ntemplates: [{name: main, container: {image: i}}]")
    assert ran.workflow.document["metadata"]["labels"]["v"] == "1"


def test_a_tag_in_a_key_may_not_make_a_template_of_another_type() -> None:
    spec = """
        arguments: {parameters: [{name: k, value: volumeMounts}]}
        templates: [{name: main, container: {image: i, '{{workflow.parameters.k}}': x}}]
        """
    assert run(spec).message == ("invalid spec: templates.main container.volumeMounts: expected a list, got a string")


def test_defaults_merge_mounts_by_path_and_ports_by_number() -> None:  # patchMergeKey of Kubernetes' Container
    ran = run(
        """
        volumes: [{name: x, emptyDir: {}}]
        templateDefaults: {container: {ports: [{containerPort: 1, name: a}], volumeMounts: [{mountPath: /a, name: x}]}}
        templates: [{name: main, container: {image: i, ports: [{containerPort: 1, protocol: UDP}],
          volumeMounts: [{mountPath: /b, name: x}]}}]
        """
    )
    container = ran.executor.started["wf"]["container"]
    assert container["ports"] == [{"containerPort": 1, "name": "a", "protocol": "UDP"}]
    assert container["volumeMounts"] == [{"mountPath": "/b", "name": "x"}, {"mountPath": "/a", "name": "x"}]
