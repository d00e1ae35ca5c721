"""What is known from earlier runs does not run again, nor does what somebody else is at work on."""

from __future__ import annotations

from pathlib import Path

from engine.testing import Oarlock, Result
from tests.examples.use_cases.conftest import CASES, Serve, assert_told

WORKFLOW = (CASES / "cache/workflow.yaml").read_text()
OUTCOMES = {"extract": {"parameters": {"rows": "12"}, "duration": "10m"}, "train": {"duration": "1h"}}


def ran(result: Result) -> list[str]:
    """The display names of the leaves that an executor was given."""
    nodes = [node for node in result.workflow.nodes.values() if node.type == "Pod"]
    return sorted(node.display_name for node in nodes if node.message != "from the cache")


def test_nothing_runs_twice(oarlock: Oarlock, serve: Serve, tmp_path: Path) -> None:
    cache = serve("cache/cache.py", "cache/cache_server.py", CACHE=str(tmp_path / "cache.db"))
    first = oarlock.run(WORKFLOW, plugins=[cache], outcomes=OUTCOMES)
    assert first.phase == "Succeeded"
    assert len(ran(first)) == 3, "one of monday's two waited for the other"
    second = oarlock.run(WORKFLOW, plugins=[cache], outcomes=OUTCOMES)
    assert ran(second) == []
    for name in ("extract(0:monday)", "extract(1:tuesday)", "extract(2:monday)"):
        assert second.nodes[name].outputs == first.nodes[name].outputs
        assert "'value': '12'" in str(second.nodes[name].outputs)
    assert_told("cache", second)

    other = oarlock.run(WORKFLOW.replace("tuesday", "friday"), plugins=[cache], outcomes=OUTCOMES)
    assert ran(other) == ["extract(1:friday)"]
    elsewhere = WORKFLOW.replace("name: features", "name: features\n  namespace: blue", 1)
    assert len(ran(oarlock.run(elsewhere, plugins=[cache], outcomes=OUTCOMES))) == 3
    new_model = oarlock.run(WORKFLOW.replace("week-1", "week-2"), plugins=[cache], outcomes=OUTCOMES)
    assert ran(new_model) == ["train"]
    old_model = oarlock.run(WORKFLOW.replace("maxAge: 24h", "maxAge: 0.0001s"), plugins=[cache], outcomes=OUTCOMES)
    assert ran(old_model) == ["train"]


def test_what_has_failed_runs_again(oarlock: Oarlock, serve: Serve, tmp_path: Path) -> None:
    cache = serve("cache/cache.py", "cache/cache_server.py", CACHE=str(tmp_path / "cache.db"))
    failed = oarlock.run(WORKFLOW, plugins=[cache], outcomes={**OUTCOMES, "train": {"phase": "Failed"}})
    assert failed.phase == "Failed"
    assert ran(oarlock.run(WORKFLOW, plugins=[cache], outcomes=OUTCOMES)) == ["train"]
