"""What the soak calls a broken promise is one: each witness is shown the fault that it is there for."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Engine, Node, PassResult, Workflow
from registry import Config, Registry
from rpc import Method, TransientError
from tests.soak.executor import Leaves
from tests.soak.gauges import trend
from tests.soak.ledger import Ledger, Promise
from tests.soak.witness import WitnessedEngine
from tests.soak.workloads import Workloads


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def leaves(ledger: Ledger) -> Leaves:
    return Leaves(ledger, random.Random(1))


def a_leaf() -> tuple[Workflow, dict[str, Any], Node]:
    node = Node(id="work-1", name="work.a", display_name="a", type="Pod", phase="Running")
    workflow = Workflow({"metadata": {"name": "work"}, "spec": {}})
    workflow.nodes[node.id] = node
    return workflow, {"name": "leaf", "container": {"command": ["echo"]}}, node


def test_a_leaf_started_twice_is_noticed(ledger: Ledger, leaves: Leaves) -> None:
    leaf = a_leaf()
    leaves.start(*leaf)
    assert not ledger.broken
    leaves.start(*leaf)
    assert ledger.broken == {Promise.STARTED_ONCE: 1}


def test_a_leaf_started_before_its_pass_was_committed_is_noticed(ledger: Ledger, leaves: Leaves) -> None:
    workflow, template, node = a_leaf()
    workflow.nodes.clear()
    leaves.start(workflow, template, node)
    assert ledger.broken == {Promise.NOTHING_LOST: 1}


def test_a_leaf_that_was_never_started_is_noticed(ledger: Ledger, leaves: Leaves) -> None:
    workflow, _, _ = a_leaf()
    leaves.judge(workflow, Counter(leaf=1))
    assert ledger.broken[Promise.NOTHING_LOST]


def test_a_result_other_than_what_was_reported_is_noticed(ledger: Ledger, leaves: Leaves) -> None:
    workflow, template, node = a_leaf()
    said = next(filter(None, (leaves.start(workflow, template, node) for _ in range(100))))
    ledger.broken.clear()
    node.phase, node.outputs = said.phase, said.outputs
    leaves.judge(workflow, Counter(leaf=1))
    assert not ledger.broken
    leaves.start(workflow, template, node)
    node.outputs = {"result": "another"}
    leaves.judge(workflow, Counter(leaf=1))
    assert ledger.broken[Promise.NOTHING_LOST]


@pytest.mark.parametrize(
    ("after", "broken"),
    [(PassResult(), Promise.APPLIED_ONCE), (PassResult(aborted=TransientError("p", "m", "r")), Promise.UNTOUCHED)],
)
async def test_a_pass_that_changes_what_it_should_not_is_noticed(
    ledger: Ledger, leaves: Leaves, monkeypatch: pytest.MonkeyPatch, after: PassResult, broken: Promise
) -> None:
    async def tamper(_: Engine, workflow: Workflow) -> PassResult:
        workflow.document["metadata"]["annotations"] = {"soak/begun": "2", "soak/ended": "1"}
        return after

    monkeypatch.setattr(Engine, "reconcile", tamper)
    engine = WitnessedEngine(Registry(Config()), leaves, ledger, tuple(Method))
    work = Workloads(random.Random(1), visits_only=False).small("work")
    engine.take(work)
    await engine.reconcile(work.workflow)
    assert ledger.broken == {broken: 1}


@given(st.lists(st.floats(-1, 1), min_size=60, max_size=60), st.floats(-5, 5))
def test_a_trend_is_found_through_noise(noise: list[float], slope: float) -> None:
    found = trend([(second, 1000 + slope * second + each) for second, each in enumerate(noise)])
    assert found.growth == pytest.approx(slope * 59, abs=4.0)


def test_a_trend_is_not_bent_by_a_burst() -> None:
    found = trend([(float(second), 5000.0 if 100 < second < 160 else 10.0) for second in range(600)])
    assert found.growth == 0
    assert (found.first, found.last) == (10, 10)
