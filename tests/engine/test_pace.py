"""Turns of the event loop are shared, and kept short: counted by a clock that steps once each time it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from itertools import count, islice
from typing import Any, TypeVar

import orjson
import pytest

from engine import Engine, Result, SimulatedExecutor, Workflow
from engine.executors.outcomes import Outcome, Outcomes
from engine.executors.simulated import PendingExecutor
from engine.expressions.gotext import go_json
from engine.graph.items import items
from engine.graph.outputs import loop_variables
from engine.graph.record import WalkRecord
from engine.model.node import Node
from engine.model.pace import PIECE, Pace, Pieces, in_order, used_up
from engine.operations.errors import AlreadySubmitted
from engine.reconciling.entries import Sheet
from engine.reconciling.staging import Staged

_T = TypeVar("_T")


class Turns:
    """Counts the turns of the event loop for as long as it is entered."""

    def __init__(self) -> None:
        self.number = 0

    async def __aenter__(self) -> Turns:
        self._handle = asyncio.get_running_loop().call_soon(self._next)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._handle.cancel()

    def _next(self) -> None:
        self.number += 1
        self._handle = asyncio.get_running_loop().call_soon(self._next)


def counted(pieces: int, turns: Turns, done: list[int]) -> Pieces:
    """So many pieces of work, which write down in which turn each was done."""
    for _ in range(pieces):
        done.append(turns.number)
        yield


async def test_no_more_is_done_in_a_turn_than_there_is_time_for() -> None:
    async with Turns() as turns:
        done = list[int]()
        await Pace(10, count().__next__).through(counted(100, turns, done))
    assert len(done) == 100
    assert max(map(done.count, done)) <= 11


async def test_all_who_have_much_to_do_share_one_turn_and_take_turns() -> None:
    async with Turns() as turns:
        pace, done = Pace(10, count().__next__), [list[int]() for _ in range(8)]
        await asyncio.gather(*(pace.through(counted(100, turns, each)) for each in done))
    together = [turn for each in done for turn in each]
    assert max(map(together.count, together)) <= 2 * 11
    assert max(each[0] for each in done) < min(each[-1] for each in done)


async def test_who_is_cancelled_while_it_waits_lets_the_others_go_on() -> None:
    async with Turns() as turns:
        pace, done = Pace(10, count().__next__), [list[int]() for _ in range(8)]
        tasks = [asyncio.create_task(pace.through(counted(100, turns, each))) for each in done]
        for number, task in enumerate(tasks[:-1]):
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
        await tasks[-1]
    assert len(done[-1]) == 100
    assert all(task.cancelled() for task in tasks[:-1])


async def test_what_is_to_come_to_its_end_does_and_says_that_it_was_cancelled() -> None:
    async with Turns() as turns:
        done = list[int]()
        pace = Pace(10, count().__next__)
        task = asyncio.create_task(pace.to_the_end(counted(100, turns, done)))
        for _ in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        assert isinstance(await task, asyncio.CancelledError)
    assert len(done) == 100


def test_a_pace_outlives_its_event_loop() -> None:
    pace = Pace(0, count().__next__)
    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(pace.through(iter(range(5))))
        loop.close()


def test_texts_are_sorted_in_pieces_as_at_once() -> None:
    texts = [str(number * 7919 % 100_003) for number in range(30_000)]

    def sort() -> Pieces:
        found.extend((yield from in_order(list(texts))))

    found = list[str]()
    assert len(list(sort())) > 10
    assert found == sorted(texts)


def test_whatever_has_an_order_is_sorted_by_it_and_left_alone_where_it_is_in_order() -> None:
    numbers = [number * 7919 % 100_003 for number in range(30_000)]
    compared = list[int]()

    def order(number: int) -> int:
        compared.append(number)
        return -number

    assert ends_with(in_order(list(numbers), order)) == sorted(numbers, reverse=True)
    compared.clear()
    there = sorted(numbers, reverse=True)
    assert ends_with(in_order(list(there), order)) == there
    assert len(compared) < 1.01 * len(there)


async def test_what_is_begun_where_nobody_can_wait_is_done_at_once_if_it_is_little() -> None:
    pace, done = Pace(1000, count().__next__), list[int]()
    async with Turns() as turns:
        pace.begin(counted(100, turns, done))
        assert len(done) == 100


async def test_what_is_begun_where_nobody_can_wait_goes_on_in_turns_to_come_and_is_waited_for_in_the_end() -> None:
    pace, done = Pace(10, count().__next__), list[int]()
    async with Turns() as turns:
        pace.begin(counted(1000, turns, done))
        assert 0 < len(done) < 100
        await pace.close()
    assert len(done) == 1000
    assert max(map(done.count, done)) < 100


def test_what_is_begun_where_no_event_loop_runs_is_done() -> None:
    done = list[int]()
    Pace(1, count().__next__).begin(counted(1000, Turns(), done))
    assert len(done) == 1000


@pytest.mark.parametrize("some", [dict.fromkeys(range(1000), ""), list(range(1000))])
def test_a_large_collection_is_emptied_in_pieces(some: dict[int, str] | list[int]) -> None:
    assert len(list(used_up(some))) > 10
    assert not some


LOOPS: dict[str, dict[str, Any]] = {
    "steps": {"steps": [[{"name": "s", "template": "leaf", "withSequence": {"count": 3000}}]]},
    "dag": {"dag": {"tasks": [{"name": "s", "template": "leaf", "withSequence": {"count": 3000}}]}},
    "tasks": {"dag": {"tasks": [{"name": f"t{each}", "template": "leaf"} for each in range(1000)]}},
}


def workflow(kind: str) -> Workflow:
    templates = [{"name": "main", **LOOPS[kind]}, {"name": "leaf", "container": {"image": "i", "command": ["c"]}}]
    spec = {"entrypoint": "main", "templates": templates}
    return Workflow({"kind": "Workflow", "metadata": {"name": "w"}, "spec": spec})


@pytest.mark.parametrize("kind", LOOPS)
async def test_a_pass_over_many_nodes_is_many_turns(kind: str) -> None:
    work = workflow(kind)
    async with Engine() as engine, Turns() as turns:
        engine._surroundings.pace = Pace(1, count().__next__)
        made = {turns.number: 0}
        watching = asyncio.create_task(_watch(work, turns, made))
        await engine.run([work])
        watching.cancel()
    assert work.phase == "Succeeded"
    grown = [after - before for before, after in zip(list(made.values()), list(made.values())[1:], strict=False)]
    assert 0 < max(grown) <= 512
    assert len([each for each in grown if each]) > 5


class Stopping(PendingExecutor):
    """Writes down what it is told to stop."""

    def __init__(self) -> None:
        self.stopped = list[str]()

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.stopped.append(node.id)


async def test_a_workflow_of_very_many_leaves_is_deleted_in_many_turns() -> None:
    work, leaves = workflow("steps"), Stopping()
    async with Engine(executor=leaves) as engine:
        await engine.reconcile(work)
        engine._surroundings.pace._clock, engine._surroundings.pace._share = count().__next__, 10
        deleted = engine.delete(work)
        assert len(leaves.stopped) < 100
        with pytest.raises(AlreadySubmitted, match="it is not gone yet"):
            engine.submit(work)
        await deleted
        assert len(leaves.stopped) == len(set(leaves.stopped)) == 3000
        engine.submit(work)


async def test_an_engine_that_is_left_has_stopped_what_was_deleted() -> None:
    work, leaves = workflow("steps"), Stopping()
    async with Engine(executor=leaves) as engine:
        await engine.reconcile(work)
        engine._surroundings.pace._clock, engine._surroundings.pace._share = count().__next__, 10
        engine.delete(work)
        assert len(leaves.stopped) < 100
    assert len(leaves.stopped) == 3000


def test_what_becomes_of_very_many_leaves_is_written_in_pieces() -> None:
    work, leaves = workflow("steps"), [str(number) for number in range(1000)]
    record = WalkRecord(leaves=set(leaves))
    ended = {**work.document, "status": {"phase": "Succeeded"}}
    staged = Staged(ended, None, dict.fromkeys(leaves, Result("Succeeded")), "", ())
    assert len(list(staged.changes(record, work.nodes, set(), Sheet(whole=False)))) >= 2 * 1000 // PIECE


async def test_leaves_that_end_at_one_time_are_heard_in_many_turns() -> None:
    work = workflow("steps")
    async with (
        Engine(executor=SimulatedExecutor(Outcomes({"leaf": [Outcome(duration=5)]}))) as engine,
        Turns() as turns,
    ):
        await engine.reconcile(work)
        engine._surroundings.pace._clock, engine._surroundings.pace._share = count().__next__, 1
        reports = engine._active.know(work).record.reports
        heard = {turns.number: 0}
        running = asyncio.create_task(engine.run([work]))
        while not running.done():
            heard[turns.number] = len(reports)
            await asyncio.sleep(0)
    assert work.phase == "Succeeded"
    grown = [after - before for before, after in zip(list(heard.values()), list(heard.values())[1:], strict=False)]
    assert 0 < max(grown) <= 64


def test_a_loop_over_very_many_objects_is_looked_at_in_pieces() -> None:
    listed = orjson.dumps([{"key": number} for number in range(1000)]).decode()
    looking = items({"withParam": listed}, ["key"])
    assert len(list(islice(looking, 50))) == 50
    turns = ends_with(items({"withParam": listed}, ["key"]))
    assert turns is not None
    assert [turn.values["item.key"] for turn in turns] == [str(number) for number in range(1000)]


def test_what_very_many_turns_put_out_is_joined_in_pieces() -> None:
    names = [f"<{number}>" for number in range(1000)]
    nodes = [
        Node(name, name, name, "Pod", phase="Succeeded", outputs={"parameters": [{"name": "o", "value": name}]})
        for name in names
    ]
    assert len(list(loop_variables("steps.s", nodes, results=False))) > 1000 + 2 * 10
    joined = ends_with(loop_variables("steps.s", nodes, results=False))
    assert joined["steps.s.outputs.parameters.o"] == go_json(names)
    assert joined["steps.s.outputs.parameters"] == go_json([{"o": name} for name in names])


def ends_with(work: Generator[None, None, _T]) -> _T:
    """What comes of it."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: _T = end.value
            return value


async def _watch(work: Workflow, turns: Turns, made: dict[int, int]) -> None:
    while True:
        made[turns.number] = len(work.nodes)
        await asyncio.sleep(0)


async def test_what_is_read_between_two_turns_is_what_was_committed() -> None:
    work = workflow("steps")
    async with Engine() as engine:
        engine._surroundings.pace = Pace(100, count().__next__)
        for _ in range(3):
            seen = {work.encode()}
            making = asyncio.create_task(engine.reconcile(work))
            while not making.done():
                if not work.undo:
                    seen.add(work.encode())
                await asyncio.sleep(0)
            assert (await making).aborted is None
            assert len(seen) <= 2
            assert await work.encoded() == work.encode()
            again = await Workflow.loaded(work.to_dict())
            assert again.encode() == work.encode()
