"""The command line where there are several namespaces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from engine import load
from tests.acceptance.fixtures import RunOarlock

FILE = """\
kind: WorkflowTemplate
metadata: {name: build, namespace: red}
spec: {entrypoint: t, templates: [{name: t, container: {image: i}}]}
---
kind: WorkflowTemplate
metadata: {name: build, namespace: blue}
spec: {entrypoint: t, templates: [{name: t, script: {image: i, source: x}}]}
---
kind: ConfigMap
metadata: {name: sizes, namespace: red}
data: {n: "1"}
---
kind: ConfigMap
metadata: {name: sizes}
data: {size: 2}
"""
WORK = """\
kind: Workflow
metadata: {name: w, namespace: %s}
spec: {workflowTemplateRef: {name: build}}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "shared.yaml").write_text(FILE)
    (tmp_path / "work.yaml").write_text("---\n".join(WORK % each for each in ("red", "blue")))
    return ["work.yaml", "shared.yaml"]


def test_documents_of_one_name_are_told_apart(files: list[str], tmp_path: Path) -> None:
    manifests = load([tmp_path / each for each in files])
    assert [*manifests.workflow_templates] == ["red/build", "blue/build"]
    assert [*manifests.config_maps] == ["red/sizes", "sizes"]


def test_each_runs_the_template_of_its_namespace(files: list[str], oarlock: RunOarlock) -> None:
    done = oarlock("run", *files, "--output", "json")
    assert (done.code, done.err) == (0, "")
    (red, blue) = json.loads(done.out)
    assert [each["metadata"]["namespace"] for each in (red, blue)] == ["red", "blue"]
    kinds = [[*each["status"]["storedWorkflowTemplateSpec"]["templates"][0]][1] for each in (red, blue)]
    assert kinds == ["container", "script"]


def test_the_summary_names_those_that_are_not_default(files: list[str], oarlock: RunOarlock) -> None:
    done = oarlock("run", *files)
    assert [line for line in done.out.splitlines() if not line.startswith(("└", " "))] == [
        "red/w Succeeded  1 Succeeded",
        "blue/w Succeeded  1 Succeeded",
    ]


def test_outcomes_may_be_for_one_namespace_and_what_is_for_none_is_told(
    files: list[str], tmp_path: Path, oarlock: RunOarlock
) -> None:
    (tmp_path / "ends.yaml").write_text("red/t: {phase: Failed}\nrod/t: {}\nred/x/t: {}\nblue/q: {}\n")
    done = oarlock("run", *files, "--outcomes", "ends.yaml")
    assert done.code == 1
    assert "red/w Failed" in done.out
    assert "blue/w Succeeded" in done.out
    assert [line.partition("ends.yaml: ")[2] for line in done.err.splitlines()] == [
        "'rod/t': there is no workflow in 'rod'; is it 'red/'?",
        "'red/x/t': there is no workflow in 'red/x'; is it 'red/w/'?",
        "there is no template 'q'",
    ]


def test_an_outcome_for_nobody_that_could_be_is_refused(files: list[str], tmp_path: Path, oarlock: RunOarlock) -> None:
    (tmp_path / "ends.yaml").write_text("a/b/c/d: {phase: Failed}\n")
    done = oarlock("run", *files, "--outcomes", "ends.yaml")
    assert done.code == 2
    assert "ends.yaml: a/b/c/d: expected NAME, NAMESPACE/NAME or NAMESPACE/WORKFLOW/NAME" in done.err


def test_from_a_template_of_one_of_several_namespaces(files: list[str], oarlock: RunOarlock) -> None:
    done = oarlock("run", files[1], "--from", "workflowtemplate/blue/build", "--output", "json")
    assert json.loads(done.out)["metadata"]["namespace"] == "blue"
    done = oarlock("run", files[1], "--from", "workflowtemplate/build")
    assert done.code == 2
    assert (
        "--from workflowtemplate/build: there is one in several namespaces, expected workflowtemplate/red/build or"
        " workflowtemplate/blue/build" in done.err
    )


def test_a_semaphore_without_a_config_map_stands_in_the_workflows_namespace(
    tmp_path: Path, oarlock: RunOarlock
) -> None:
    lock = "synchronization: {semaphore: {configMapKeyRef: {name: sizes, key: size}}}"
    spec = f"spec: {{entrypoint: t, templates: [{{name: t, container: {{image: i}}, {lock}}}]}}"
    (tmp_path / "work.yaml").write_text(f"kind: Workflow\nmetadata: {{name: w, namespace: red}}\n{spec}\n")
    (tmp_path / "sizes.yaml").write_text("kind: ConfigMap\nmetadata: {name: sizes}\ndata: {size: 2}\n")
    done = oarlock("run", "work.yaml", "sizes.yaml")
    assert done.code == 0
    assert "warning: ConfigMap red/sizes is not given: its semaphores count as 1 in this simulation" in done.err


@pytest.mark.parametrize("field", ["name", "namespace"])
@pytest.mark.parametrize("kind", ["WorkflowTemplate", "ConfigMap"])
def test_what_could_be_taken_for_two_names_is_refused(
    kind: str, field: str, tmp_path: Path, oarlock: RunOarlock
) -> None:
    metadata = {"name": "a", "namespace": "b", field: "c/d"}
    (tmp_path / "bad.yaml").write_text(json.dumps({"kind": kind, "metadata": metadata}))
    done = oarlock("run", "bad.yaml")
    assert done.code == 2
    assert f"bad.yaml, document 1: metadata.{field}: expected no '/' in it, got 'c/d'" in done.err


MAKES_UP = """\
kind: WorkflowTemplate
metadata: {name: list, namespace: red}
spec: {templates: [{name: make, script: {image: i, source: x}}]}
---
kind: WorkflowTemplate
metadata: {name: list, namespace: blue}
spec: {templates: [{name: make, script: {image: i, source: x}}]}
---
kind: ClusterWorkflowTemplate
metadata: {name: all}
spec: {templates: [{name: any, script: {image: i, source: x}}]}
---
kind: Workflow
metadata: {name: w, namespace: red}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: l, templateRef: {name: list, template: make}}, {name: c, %s}]
    - [{name: t, template: leaf, withParam: "{{steps.l.outputs.result}}"}]
    - [{name: u, template: leaf, withParam: "{{steps.c.outputs.result}}"}]
  - {name: leaf, container: {image: i}}
---
kind: Workflow
metadata: {name: w, namespace: blue}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: l, templateRef: {name: list, template: make}}]
    - [{name: t, template: leaf, when: "'{{steps.l.outputs.result}}' == ''"}]
  - {name: leaf, container: {image: i}}
"""
ANY = "templateRef: {name: all, template: any, clusterScope: true}"


def test_what_a_simulation_makes_up_is_each_namespaces_own(tmp_path: Path, oarlock: RunOarlock) -> None:
    (tmp_path / "wf.yaml").write_text(MAKES_UP % ANY)
    done = oarlock("run", "wf.yaml")
    assert done.code == 0
    assert done.err == (
        "simulated, since no --outcomes say otherwise: red/make's result is [] (read by withParam of t), "
        "any's result is [] (read by withParam of u), blue/make's result is empty (read by when of t)\n"
    )


def test_the_skeleton_of_outcomes_names_namespaces_where_there_are_several(tmp_path: Path, oarlock: RunOarlock) -> None:
    (tmp_path / "wf.yaml").write_text(MAKES_UP % ANY)
    ends = oarlock("outcomes", "wf.yaml").out
    assert yaml.safe_load(ends) == {"red/make": {"result": "[]"}, "any": {"result": "[]"}, "blue/make": {"result": ""}}
    (tmp_path / "ends.yaml").write_text(ends)
    done = oarlock("run", "wf.yaml", "--outcomes", "ends.yaml")
    assert (done.code, done.err) == (0, "")
