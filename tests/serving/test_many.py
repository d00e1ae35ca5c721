"""Many workflows of ten nodes, submitted by Hera's client: all end, and a watcher is told of each exactly once."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from pathlib import Path

import pytest
import requests
from hera.workflows import DAG, Container, Task, Workflow, WorkflowsService

from tests.serving.conftest import Served, end, serving

WORKFLOWS = int(os.environ.get("OARLOCK_WORKFLOWS", "30"))
"""How many there are; docs/serving.md says what came of 1,000."""


class Watcher(threading.Thread):
    """Counts, for each workflow, how often its beginning and its end were told."""

    def __init__(self, served: Served, namespace: str) -> None:
        super().__init__(daemon=True)
        self.added, self.ended = Counter[str](), Counter[str]()
        fields = "result.type,result.object.metadata.name,result.object.status.phase"
        url = f"{served.url}/api/v1/workflow-events/{namespace}?fields={fields}"
        self._response = requests.get(url, stream=True, timeout=120)

    def run(self) -> None:
        with self._response:
            for line in self._response.iter_lines():
                event = json.loads(line)["result"]
                name = event["object"]["metadata"]["name"]
                phase = (event["object"].get("status") or {}).get("phase")
                self.added[name] += event["type"] == "ADDED"
                self.ended[name] += phase == "Succeeded"
                if sum(self.ended.values()) >= WORKFLOWS:
                    return


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")
def test_all_of_many_end_and_are_seen_once(tmp_path: Path) -> None:
    with serving(tmp_path / "many", executor="simulated") as served:
        watcher = Watcher(served, "many")
        watcher.start()
        with WorkflowsService(host=served.url, namespace="many") as service:
            for number in range(WORKFLOWS):
                with Workflow(
                    name=f"w{number}", namespace="many", entrypoint="main", workflows_service=service
                ) as workflow:
                    leaf = Container(name="leaf", image="a", command=["true"])
                    with DAG(name="main"):
                        first, last = (Task(name=name, template=leaf) for name in ("first", "last"))
                        for each in range(7):
                            middle = Task(name=f"m{each}", template=leaf)
                            first.next(middle).next(last)
                workflow.create()
        watcher.join(timeout=120)
        names = {f"w{number}" for number in range(WORKFLOWS)}
        assert watcher.added == watcher.ended == dict.fromkeys(names, 1)
        shown = served.ask("GET", "/api/v1/workflows/many/w0").json()
        assert len(shown["status"]["nodes"]) == 10
        end(served)
