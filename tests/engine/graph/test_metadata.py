"""`workflowMetadata`: labels and annotations that the spec gives the workflow."""

from __future__ import annotations

import pytest

from tests.engine.graph.running import run


def test_labels_and_annotations_that_the_spec_gives_the_workflow() -> None:
    ran = run(
        """
        arguments: {parameters: [{name: p, value: v}]}
        workflowMetadata:
          labels: {a: b}
          annotations: {c: d}
          labelsFrom: {e: {expression: "workflow.parameters.p + '-' + workflow.labels.a"}}
        templates: [{name: main, container: {image: i, args: ["{{workflow.labels.e}} {{workflow.annotations.c}}"]}}]
        """
    )
    metadata = ran.workflow.document["metadata"]
    assert {key: metadata["labels"][key] for key in "ae"} == {"a": "b", "e": "v-b"}
    assert metadata["annotations"] == {"c": "d"}
    assert ran.text("wf") == "v-b d"


def test_they_may_be_made_of_the_workflows_variables() -> None:  # setExecWorkflow fills in the spec before
    ran = run(
        """
        arguments: {parameters: [{name: p, value: v}]}
        workflowMetadata:
          labels: {a: "{{workflow.parameters.p}}-{{=workflow.name}}"}
          annotations: {c: "{{workflow.name}} {{hello}}"}
          labelsFrom: {e: {expression: "'{{workflow.parameters.p}}' + workflow.labels.a"}}
        templates: [{name: main, container: {image: i, args: ["{{workflow.labels.a}}"]}}]
        """
    )
    metadata = ran.workflow.document["metadata"]
    assert {key: metadata["labels"][key] for key in "ae"} == {"a": "v-wf", "e": "vv-wf"}
    assert metadata["annotations"] == {"c": "wf {{hello}}"}
    assert ran.text("wf") == "v-wf"


@pytest.mark.parametrize(
    "label",
    ["labels: {a: 'no label'}", "labelsFrom: {a: {expression: '1'}}", "labelsFrom: {a: {expression: '1 +'}}"],
)
def test_what_is_no_label(label: str) -> None:
    ran = run(f"workflowMetadata: {{{label}}}\ntemplates: [{{name: main, container: {{image: i}}}}]")
    assert (ran.phase, ran.phases) == ("Error", {})
    assert "label" in ran.message
