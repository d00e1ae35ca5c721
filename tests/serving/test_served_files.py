"""`oarlock serve FILES`: what files have is kept like what clients send, and fires, also after a death."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.serving.conftest import Served, end, serving

MANIFESTS = """
kind: CronWorkflow
metadata: {name: every, labels: {from: file}}
spec:
  schedules: ["@every 1s"]
  successfulJobsHistoryLimit: 100
  workflowSpec: {workflowTemplateRef: {name: build}}
---
kind: WorkflowTemplate
metadata: {name: build}
spec: {entrypoint: leaf, templates: [{name: leaf, suspend: {duration: "0"}}]}
---
kind: ClusterWorkflowTemplate
metadata: {name: common}
spec: {templates: [{name: leaf, suspend: {}}]}
"""


def names(served: Served) -> list[str]:
    found = served.ask("GET", "/api/v1/workflows/default").json()
    return [each["metadata"]["name"] for each in found["items"]]


def status(served: Served) -> Any:
    return served.ask("GET", "/api/v1/cron-workflows/default/every").json()["status"]


def until_succeeded(served: Served, count: int) -> None:
    while status(served).get("succeeded", 0) < count:
        time.sleep(0.02)


def test_what_files_have_is_kept_and_fires_across_a_death(tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(MANIFESTS)
    with serving(tmp_path / "served", str(file)) as served:
        until_succeeded(served, 1)
        before = names(served)
    with serving(tmp_path / "served") as served:
        assert set(before) <= set(names(served))
        until_succeeded(served, len(before) + 1)
        found = names(served)
        assert len(set(found)) == len(found)
        for path in ("workflow-templates/default/build", "cluster-workflow-templates/common"):
            assert served.ask("GET", f"/api/v1/{path}").status == 200
        end(served)


def test_a_file_takes_the_place_of_what_was_kept(tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    for suspended in ("false", "true"):
        file.write_text(MANIFESTS.replace("successfulJobsHistoryLimit: 100", f"suspend: {suspended}"))
        with serving(tmp_path / "served", str(file)) as served:
            found = served.ask("GET", "/api/v1/cron-workflows/default/every").json()
            end(served)
        assert found["spec"]["suspend"] is (suspended == "true")
        assert found["metadata"]["labels"] == {"from": "file"}
    assert found["metadata"]["generation"] == 2
