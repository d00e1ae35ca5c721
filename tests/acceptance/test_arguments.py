"""Templates that are run directly, and values for arguments, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.fixtures import RunOarlock

TEMPLATES = """
kind: WorkflowTemplate
metadata: {name: build}
spec:
  entrypoint: main
  arguments: {parameters: [{name: branch}, {name: level, value: 1}]}
  templates: [{name: main, inputs: {parameters: [{name: branch}, {name: commit}]}, container: {image: busybox}}]
---
kind: ClusterWorkflowTemplate
metadata: {name: common}
spec: {templates: [{name: a, container: {image: busybox}}, {name: b, container: {image: busybox}}]}
"""


class TestTemplates:
    def test_a_file_with_templates_only_says_how_to_run_them(self, oarlock: RunOarlock, tmp_path: Path) -> None:
        (tmp_path / "t.yaml").write_text(TEMPLATES)
        done = oarlock("run", "t.yaml")
        assert done.code == 2
        assert done.err == (
            "Error: t.yaml: expected a manifest of kind Workflow, found templates only (2): run one as in "
            "oarlock run t.yaml --from workflowtemplate/build; or --from clusterworkflowtemplate/common\n"
        )

    def test_one_is_run_directly(self, oarlock: RunOarlock, tmp_path: Path) -> None:
        (tmp_path / "t.yaml").write_text(TEMPLATES)
        given = ("-p", "branch=main", "-p", "commit=abc")
        done = oarlock("run", "t.yaml", "--from", "workflowtemplate/build", *given, "--output", "json")
        assert done.code == 0
        document = json.loads(done.out)
        assert document["metadata"]["name"].startswith("build-")
        assert document["status"]["phase"] == "Succeeded"

    def test_all_arguments_without_a_value_are_told_as_options(self, oarlock: RunOarlock, tmp_path: Path) -> None:
        (tmp_path / "t.yaml").write_text(TEMPLATES)
        done = oarlock("run", "t.yaml", "--from", "workflowtemplate/build")
        assert done.code == 1
        assert done.err.endswith("has arguments without a value: give it -p branch=VALUE -p commit=VALUE\n")

    def test_a_missing_entrypoint_is_answered_with_the_templates(self, oarlock: RunOarlock, tmp_path: Path) -> None:
        (tmp_path / "t.yaml").write_text(TEMPLATES)
        done = oarlock("run", "t.yaml", "--from", "cwftmpl/common")
        assert done.code == 1
        assert done.err.endswith("has no entrypoint: give it --entrypoint a or --entrypoint b\n")
        assert oarlock("run", "t.yaml", "--from", "cwftmpl/common", "--entrypoint", "b").code == 0


def test_a_value_that_the_manifest_does_not_list_is_answered_with_those_it_lists(
    oarlock: RunOarlock, tmp_path: Path
) -> None:
    spec = "{entrypoint: a, templates: [{name: a, container: {image: i}}]"
    parameter = "arguments: {parameters: [{name: p, value: x, enum: [x, 2]}]}"
    (tmp_path / "wf.yaml").write_text(f"kind: Workflow\nmetadata: {{name: work}}\nspec: {spec}, {parameter}}}\n")
    done = oarlock("run", "wf.yaml", "-p", "p=3")
    assert (done.code, done.err) == (0, "warning: p=3: expected x or 2\n")


def test_a_value_for_no_parameter_is_answered_with_the_one_that_may_be_meant(
    oarlock: RunOarlock, tmp_path: Path
) -> None:
    steps = "steps: [[{name: s, template: b}]]"
    step = "inputs: {parameters: [{name: tag, value: a}]}, container: {image: '{{workflow.parameters.branches}}'}"
    (tmp_path / "t.yaml").write_text(
        "kind: WorkflowTemplate\nmetadata: {name: t}\nspec: {entrypoint: a, arguments: {parameters: [{name: branch, "
        f"value: main}}]}}, templates: [{{name: a, {steps}}}, {{name: b, {step}}}]}}\n---\n"
        "kind: Workflow\nmetadata: {name: work}\nspec: {workflowTemplateRef: {name: t}}\n"
    )
    done = oarlock(
        "run", "t.yaml", "-p", "branches=x", "-p", "brnch=x", "-p", "branch=x", "-p", "tga=x", "-p", "other=x"
    )
    assert done.code == 0, done.err
    assert done.err == "warning: brnch=x: there is no parameter 'brnch'; is it 'branch'?\n"
    done = oarlock("run", "t.yaml", "-p", "branches=x", "-p", "tga=x", "--entrypoint", "b")
    assert done.err == "warning: tga=x: there is no parameter 'tga'; is it 'tag'?\n"
