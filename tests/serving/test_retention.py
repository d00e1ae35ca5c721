"""Finished workflows go in time, with all that they have left, whatever happens to the server on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, MemoryStore, Node, Result, SimulatedExecutor, Workflow
from engine.executors.logs import Log
from engine.executors.outcomes import Outcome, Outcomes
from engine.model.clock import SimulatedClock
from engine.serving.hub import DELETED
from engine.serving.records import Records
from engine.serving.removal import KIND
from engine.serving.retention import Retention, time_to_live
from tests.serving.conftest import Served, end, serving


def document(phase: str = "", **spec: Any) -> dict[str, Any]:
    return {"spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("phase", "strategy", "seconds"),
    [
        ("Succeeded", {"secondsAfterSuccess": 3, "secondsAfterCompletion": 9}, 3),
        ("Succeeded", {"secondsAfterFailure": 3}, None),
        ("Failed", {"secondsAfterFailure": 0, "secondsAfterCompletion": 9}, 0),
        ("Failed", {"secondsAfterCompletion": 9}, 9),
        ("Error", {"secondsAfterFailure": 3, "secondsAfterCompletion": 9}, 9),
        ("Failed", None, None),
        ("Failed", {"secondsAfterCompletion": "soon"}, None),
        ("Failed", "soon", None),
    ],
)
def test_time_to_live_depends_on_the_phase(phase: str, strategy: Any, seconds: float | None) -> None:
    assert time_to_live(document(phase, ttlStrategy=strategy)) == seconds


def test_time_to_live_may_be_that_of_a_template() -> None:
    found = document("Failed", workflowTemplateRef={"name": "t"})
    found["status"]["storedWorkflowTemplateSpec"] = {"ttlStrategy": {"secondsAfterCompletion": 5}}
    assert time_to_live(found) == 5
    found["spec"]["ttlStrategy"] = {"secondsAfterCompletion": 7}
    assert time_to_live(found) == 7


class Files:
    """Leaves that succeed at once, of which files are said to be kept."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.removed = asyncio.Event()

    def start(self, workflow: Workflow, template: Any, node: Node) -> Result:
        return Result("Succeeded")

    def stop(self, workflow: Workflow, node: Node) -> None: ...

    def has(self, uid: str, node_id: str) -> bool:
        return False

    def log(self, uid: str, node_id: str, container: str = "main") -> Log | None:
        return None

    def file_of(self, uid: str, artifact: Any) -> Path:
        raise LookupError(uid)

    async def forget(self, workflow: Workflow | str) -> None:
        self.forgotten.append(workflow if isinstance(workflow, str) else workflow.uid)
        await self.removed.wait()


def workflow_of(name: str, **spec: Any) -> Workflow:
    templates = [{"name": "main", "container": {"image": "a", "command": ["a"]}}]
    return Workflow({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": templates, **spec}})


async def gone(records: Records, *names: str) -> None:
    """Wait until these are deleted."""
    left = set(names)
    async for event in records.hub.watch(0, lambda record: True):
        if event.type == DELETED:
            left.discard(event.item.key[1])
        if not left:
            return


async def nothing_left(store: MemoryStore) -> None:
    """Wait until no files are left to be removed."""
    while True:
        if not await store.items(KIND):
            return
        await asyncio.sleep(0)


async def test_they_go_by_the_clock_of_the_engine() -> None:
    clock = SimulatedClock()
    store = MemoryStore()
    async with Engine(store=store, clock=clock) as engine, Records(engine, store) as records:
        for name, seconds in (("later", 7200), ("sooner", 3600)):
            await records.submit(workflow_of(name, ttlStrategy={"secondsAfterCompletion": seconds}))
        await records.submit(workflow_of("never"))
        await engine.run()
        async with Retention(records, clock, 10).kept():
            watching = asyncio.ensure_future(gone(records, "sooner"))
            await asyncio.sleep(0)
            clock.jump(clock() + 3700)
            await records.submit(workflow_of("another"))
            await engine.run()  # one that ends, so that somebody looks at the clock
            await watching
            assert sorted(record.key[1] for record in records.hub.items.values()) == ["another", "later", "never"]
        assert [head.name for head in await store.heads(finished=True)] == ["later", "never", "another"]


async def test_they_go_also_where_the_clock_is_set_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.serving.retention.LONGEST_NAP", 0.01)
    clock, store = SimulatedClock(), MemoryStore()
    async with Engine(store=store, clock=clock) as engine, Records(engine, store) as records:
        await records.submit(workflow_of("w", ttlStrategy={"secondsAfterCompletion": 3600}))
        await engine.run()
        async with Retention(records, clock, 10).kept():
            watching = asyncio.ensure_future(gone(records, "w"))
            await asyncio.sleep(0)
            clock.jump(clock() + 3700)
            await watching


async def test_of_too_many_those_go_that_ended_first() -> None:
    store, clock = MemoryStore(), SimulatedClock()
    async with Engine(store=store, clock=clock) as engine, Records(engine, store) as records:
        for number in range(5):
            await records.submit(workflow_of(f"w{number}"))
            await engine.run()
            clock.jump(clock() + 10)
        watching = asyncio.ensure_future(gone(records, "w0", "w1", "w2"))
        await asyncio.sleep(0)
        async with Retention(records, clock, 2).kept():
            await watching
        assert [head.name for head in await store.heads()] == ["w3", "w4"]


async def test_one_that_was_retried_lives_from_its_last_end_on() -> None:
    clock = SimulatedClock()
    store, outcomes = MemoryStore(), Outcomes({"main": [Outcome(phase="Failed")]})
    engine = Engine(store=store, clock=clock, executor=SimulatedExecutor(outcomes, clock))
    async with engine, Records(engine, store) as records:
        record = await records.submit(workflow_of("w", ttlStrategy={"secondsAfterFailure": 3600}))
        await engine.run()
        async with Retention(records, clock, 10).kept():
            clock.jump(clock() + 3000)
            engine.retry(await records.workflow(record))
            await engine.run()
            clock.jump(clock() + 3000)
            await records.submit(workflow_of("another"))
            await engine.run()
            for _ in range(10):
                await asyncio.sleep(0)
            assert record.uid in records.hub.items
            watching = asyncio.ensure_future(gone(records, "w"))
            await asyncio.sleep(0)
            clock.jump(clock() + 700)
            await records.submit(workflow_of("yet-another"))
            await engine.run()
            await watching


async def test_files_go_with_their_workflow() -> None:
    store, executor = MemoryStore(), Files()
    async with Engine(store=store, executor=executor) as engine, Records(engine, store) as records:
        record = await records.submit(workflow_of("w"))
        await engine.run()
        await records.delete(record)
        assert await store.heads() == []
        assert [item.name for item in await store.items(KIND)] == [record.uid]
        executor.removed.set()
        await nothing_left(store)
        assert executor.forgotten == [record.uid]


async def test_what_was_not_removed_is_removed_after_a_restart() -> None:
    """The process may have ended before the store forgot the workflow, or before its files were gone."""
    store = MemoryStore()
    async with Engine(store=store, executor=Files()) as engine, Records(engine, store) as records:
        ended = await records.submit(workflow_of("ended"))
        await engine.run()
        begun = await records.submit(workflow_of("begun"))
        for uid in (ended.uid, begun.uid, "deleted"):
            await store.put(KIND, "", uid, {})
    executor = Files()
    executor.removed.set()
    async with Engine(store=store, executor=executor) as engine, Records(engine, store) as records:
        assert records.hub.items == {}
        assert engine.workflows == []
        await nothing_left(store)
    assert sorted(executor.forgotten) == sorted((ended.uid, begun.uid, "deleted"))


@pytest.fixture
def keeping_two(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "served", "--keep-finished", "2") as served:
        yield served
        end(served)


def test_served_workflows_go_with_their_folders(keeping_two: Served) -> None:
    served = keeping_two
    script = {"image": "a", "command": ["sh"], "source": "echo here"}
    spec: dict[str, Any] = {"entrypoint": "main", "templates": [{"name": "main", "script": script}]}
    short = {**spec, "ttlStrategy": {"secondsAfterSuccess": 0}}
    uids = []
    for name, each in (("a", spec), ("short", short), ("b", spec), ("c", spec)):
        uids.append(served.submit({"metadata": {"name": name}, "spec": each})["metadata"]["uid"])
        if each is not short:
            served.wait(name)
        while each is short and served.ask("GET", f"/api/v1/workflows/default/{name}").status != 404:
            time.sleep(0.02)
    names = list[str]()
    while names != ["b", "c"]:
        items = served.ask("GET", "/api/v1/workflows/default").json()["items"] or []
        names = sorted(each["metadata"]["name"] for each in items)
    while sorted(each.name for each in served.runs.iterdir() if each.name != ".bin") != sorted(uids[2:]):
        assert served.process.poll() is None
    assert served.ask("GET", "/api/v1/workflows/default/c/log").status == 200
