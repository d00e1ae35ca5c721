"""What the soak calls a broken promise is one: each witness is shown the fault that it is there for."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from functools import lru_cache
from typing import Any
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Engine, Node, PassResult, Workflow
from registry import Config, Registry
from rpc import Method, TransientError
from tests.soak.executor import Leaves
from tests.soak.gauges import Held, Sample, trend
from tests.soak.ledger import Ledger, Promise
from tests.soak.peers.sound import BEGUN, ENDED
from tests.soak.report import AtRest, Report, Settings
from tests.soak.witness import WitnessedEngine
from tests.soak.workloads import Work, Workloads


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
    engine, work = watching(ledger, leaves)
    await engine.reconcile(work.workflow)
    assert ledger.broken == {broken: 1}


@pytest.mark.parametrize(("counted", "broken"), [(("1", "1"), {}), (("1", "0"), {Promise.APPLIED_ONCE: 1})])
async def test_a_pass_that_was_cancelled_has_committed_all_or_nothing(
    ledger: Ledger,
    leaves: Leaves,
    monkeypatch: pytest.MonkeyPatch,
    counted: tuple[str, str],
    broken: dict[Promise, int],
) -> None:
    async def cut_off(_: Engine, workflow: Workflow) -> PassResult:
        workflow.document["metadata"]["annotations"] = dict(zip((BEGUN, ENDED), counted, strict=True))
        raise asyncio.CancelledError

    monkeypatch.setattr(Engine, "reconcile", cut_off)
    engine, work = watching(ledger, leaves)
    with pytest.raises(asyncio.CancelledError):
        await engine.reconcile(work.workflow)
    assert ledger.broken == broken


def watching(ledger: Ledger, leaves: Leaves) -> tuple[WitnessedEngine, Work]:
    engine = WitnessedEngine(Registry(Config()), leaves, ledger, tuple(Method))
    work = Workloads(random.Random(1), visits_only=False).small("work")
    engine.take(work)
    return engine, work


@pytest.mark.parametrize(
    ("more", "broken"),
    [
        ({}, {}),
        ({"tasks": 1}, {Promise.TASKS: 1}),
        ({"descriptors": 1}, {Promise.DESCRIPTORS: 1}),
        ({"blocks": 20_000}, {Promise.MEMORY: 1}),
        ({"rss": 16 << 20}, {Promise.MEMORY: 1}),
        ({"objects": 500}, {Promise.MEMORY: 1}),
    ],
    ids=str,
)
def test_what_is_held_at_rest_and_was_not_before_is_noticed(more: dict[str, int], broken: dict[Promise, int]) -> None:
    def at_rest(tasks: int = 0, descriptors: int = 0, rss: int = 0, blocks: int = 0, objects: int = 0) -> AtRest:
        held = Held((64 << 20) + rss, 250_000 + blocks, Counter({PassResult: 100 + objects}))
        return AtRest(Sample(0.0, 0, 30 + descriptors, 7 + tasks), held)

    report = Report(Settings(seconds=60.0, seed=0), rests=[at_rest(), at_rest(**more)])
    report.judge_growth([Sample(float(second), 0, 30, 7) for second in range(60)])
    assert report.ledger.broken == broken


def test_what_functions_remember_up_to_a_bound_is_not_held() -> None:
    remembered = lru_cache(maxsize=100_000)(str)
    before = Held.now()
    for number in range(20_000):
        remembered(number)
    assert Held.now().blocks - before.blocks < 5_000


class Circle:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_not_held_wherever_the_collector_has_it() -> None:
    gc.collect()
    circle = Circle()
    gc.collect(1)  # by which it is the last that the collector knows of
    gone = ref(circle)
    del circle
    Held.now()
    assert gone() is None


@given(st.lists(st.floats(-1, 1), min_size=60, max_size=60), st.floats(-5, 5))
def test_a_trend_is_found_through_noise(noise: list[float], slope: float) -> None:
    found = trend([(second, 1000 + slope * second + each) for second, each in enumerate(noise)])
    assert found.growth == pytest.approx(slope * 59, abs=4.0)


def test_a_trend_is_not_bent_by_a_burst() -> None:
    found = trend([(float(second), 5000.0 if 100 < second < 160 else 10.0) for second in range(600)])
    assert found.growth == 0
    assert (found.first, found.last) == (10, 10)
