"""Workflows made from templates and CronWorkflows, as `argo submit --from` makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.manifests import ManifestError, load, sources, workflow_from
from engine.manifests.loading import Manifests

FILE = """
kind: WorkflowTemplate
metadata: {name: build, namespace: ci}
spec: {entrypoint: main, templates: []}
---
kind: ClusterWorkflowTemplate
metadata: {name: common}
---
kind: CronWorkflow
metadata: {name: nightly}
spec: {schedule: '0 0 * * *', workflowSpec: {entrypoint: main}}
"""


@pytest.fixture
def manifests(tmp_path: Path) -> Manifests:
    (tmp_path / "all.yaml").write_text(FILE)
    return load([tmp_path / "all.yaml"])


@pytest.mark.parametrize("kind", ["workflowtemplate", "WorkflowTemplate", "workflowtemplates", "wftmpl"])
def test_from_a_workflow_template(manifests: Manifests, kind: str) -> None:
    made = workflow_from(manifests, f"{kind}/build")
    assert made.document["metadata"] == {
        "generateName": "build-",
        "labels": {"workflows.argoproj.io/workflow-template": "build"},
        "namespace": "ci",
    }
    assert made.document["spec"] == {"workflowTemplateRef": {"name": "build"}}


@pytest.mark.parametrize("kind", ["clusterworkflowtemplate", "cwftmpl"])
def test_from_a_cluster_workflow_template(manifests: Manifests, kind: str) -> None:
    made = workflow_from(manifests, f"{kind}/common")
    assert made.document["metadata"]["labels"] == {"workflows.argoproj.io/cluster-workflow-template": "common"}
    assert made.document["spec"] == {"workflowTemplateRef": {"name": "common", "clusterScope": True}}


@pytest.mark.parametrize("kind", ["cronwf", "CronWorkflow", "cronworkflows"])
def test_from_a_cron_workflow(manifests: Manifests, kind: str) -> None:
    assert workflow_from(manifests, f"{kind}/nightly").document == manifests.workflows[0].document


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("build", "expected workflowtemplate/NAME, clusterworkflowtemplate/NAME or cronwf/NAME"),
        ("workflow/build", "expected workflowtemplate/NAME"),
        ("wftmpl/", "expected workflowtemplate/NAME"),
        ("wftmpl/nightly", "expected workflowtemplate/build or clusterworkflowtemplate/common or cronwf/nightly"),
    ],
)
def test_one_that_is_not_there_is_answered_with_those_that_are(
    manifests: Manifests, source: str, complaint: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        workflow_from(manifests, source)
    assert str(caught.value).startswith(f"--from {source}: ")
    assert complaint in str(caught.value)


def test_what_there_is(manifests: Manifests) -> None:
    assert [*sources(manifests)] == ["workflowtemplate/build", "clusterworkflowtemplate/common", "cronwf/nightly"]


def test_a_cron_workflow_with_nothing_to_run(tmp_path: Path) -> None:
    (tmp_path / "cron.yaml").write_text("kind: CronWorkflow\nmetadata: {name: a}\nspec: {}\n")
    with pytest.raises(ManifestError, match=r"document 1: spec\.workflowSpec: expected a mapping, got none"):
        workflow_from(load([tmp_path / "cron.yaml"]), "cronwf/a")
