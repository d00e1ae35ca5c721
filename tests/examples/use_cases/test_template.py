"""Templates that Spark runs: they start, are polled, end, and are stopped, each job once."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.testing import Oarlock
from tests.examples.use_cases.conftest import CASES, Serve, assert_told, listening
from tests.threads import serving

WORKFLOW = (CASES / "template/workflow.yaml").read_text()


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What stands in for a Spark master."""
    monkeypatch.syspath_prepend(CASES / "template")
    from spark_standin import Master

    made = Master(port=0)
    with serving(made):
        yield made
    sys.modules.pop("spark_standin")


def test_two_turns_of_a_loop_are_two_jobs(oarlock: Oarlock, serve: Serve, master: Any) -> None:
    spark = serve("template/spark.py", "template/spark.mjs", SPARK_URL=f"http://localhost:{master.server_port}")
    result = oarlock.run(WORKFLOW, plugins=[spark])
    assert result.phase == "Succeeded"
    assert sorted(job["appArgs"] for job, _ in master.jobs.values()) == [["2024"], ["2025"]]
    nodes = [result.nodes["count(0:2024)"], result.nodes["count(1:2025)"]]
    names = {f"{result.workflow.uid}/{node.id}" for node in nodes}
    assert {job["sparkProperties"]["spark.app.name"] for job, _ in master.jobs.values()} == names
    assert [node.message.partition(": ")[2] for node in nodes] == ["FINISHED"] * 2
    polls = [call for call in result.calls if call.method == "template.execute"]
    assert len(polls) == 8, "each was asked about four times"
    assert "template.stop" not in [call.method for call in result.calls]
    assert_told("template", result)


def test_a_job_that_fails_fails_its_node_and_each_attempt_is_a_job(oarlock: Oarlock, serve: Serve, master: Any) -> None:
    spark = serve("template/spark.py", "template/spark.mjs", SPARK_URL=f"http://localhost:{master.server_port}")
    failing = WORKFLOW.replace("[2024, 2025]", "[fail]").replace(
        "activeDeadlineSeconds: 3600", "retryStrategy: {limit: 1}"
    )
    result = oarlock.run(failing, plugins=[spark])
    assert result.phase == "Failed"
    assert len(master.jobs) == 2
    assert result.nodes["count(0:fail)(1)"].message.endswith(": FAILED")


def test_what_is_out_of_time_is_killed(oarlock: Oarlock, serve: Serve, master: Any) -> None:
    spark = serve("template/spark.py", "template/spark.mjs", SPARK_URL=f"http://localhost:{master.server_port}")
    result = oarlock.run(WORKFLOW.replace("Seconds: 3600", "Seconds: 15"), plugins=[spark])
    assert result.phase == "Failed"
    assert [states for _, states in master.jobs.values()] == [["KILLED"]] * 2
    stopped = {call.node for call in result.calls if call.method == "template.stop"}
    assert stopped == {"count(0:2024)", "count(1:2025)"}


def test_a_call_that_comes_again_before_it_is_answered_submits_nothing(serve: Serve, master: Any) -> None:
    spark = serve("template/spark.py", "template/spark.mjs", SPARK_URL=f"http://localhost:{master.server_port}")
    arguments = {
        "workflow": {"metadata": {"name": "w", "namespace": "default", "uid": "1f7c"}},
        "template": {"name": "main", "plugin": {"spark": {"mainClass": "Count", "appResource": "count.jar"}}},
        "node": {"id": "w", "name": "w", "displayName": "w", "type": "Plugin", "phase": "Pending", "attempt": 0},
    }

    def call(_: int) -> Any:
        request = urllib.request.Request(f"{address}/template.execute", json.dumps(arguments).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    with listening(spark) as address, ThreadPoolExecutor() as pool:
        replies = list(pool.map(call, range(4)))
    assert len(master.jobs) == 1
    assert {each["node"]["outputs"]["parameters"][0]["value"] for each in replies} == {"driver-0"}


def test_a_plugin_that_was_started_again_goes_on_with_its_jobs(oarlock: Oarlock, serve: Serve, master: Any) -> None:
    files = "template/spark.py", "template/spark.mjs"
    url = f"http://localhost:{master.server_port}"
    spark = oarlock.plugin(serve(*files, SPARK_URL=url), name="spark")
    begun = oarlock.run(WORKFLOW, plugins=[spark], timeout=15)
    assert begun.phase == "Running"
    again = serve(*files, SPARK_URL=url)
    if not isinstance(again, str):
        sys.modules["spark"].submitting.clear()  # the same module, as if it were new
    result = oarlock.run(begun.workflow.to_dict(), plugins=[oarlock.plugin(again, name="spark")])
    assert result.phase == "Succeeded"
    assert len(master.jobs) == 2
