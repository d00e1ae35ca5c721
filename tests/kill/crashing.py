"""A process that dies at every step there is: of a transaction, a commit, a start, a report, an end, and of going on.

Run as ``python -m tests.kill.crashing FOLDER``. Each life is a fork of this process, which has no threads and no event
loop; a step is told by how often it was come by. Prints a line for each step at which one died, and ends with 1 where
something was lost.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from engine import Commit, Engine, Node, Result, SqliteStore, Workflow
from engine.storage.store import Change
from tests.kill.killing import Lost, check_all, check_seen
from tests.kill.victim import LEAF, LOCKED, Leaves, Witness

DIED = 9
"""The status of a process that came to its step."""

MAIN = {
    "name": "main",
    "steps": [
        [{"name": "first", "template": "leaf"}],
        [{"name": "two", "template": "locked", "withSequence": {"count": "2"}}],
        [{"name": "last", "template": "leaf"}],
    ],
}


class Steps:
    """Counts the steps that a life comes by, and ends it at one of them."""

    def __init__(self, last: str, told: int) -> None:
        self._last = last
        self._told = told
        self._counts = Counter[str]()

    def at(self, name: str) -> None:
        """The life has come to this step."""
        self._counts[name] += 1
        step = f"{name} {self._counts[name]}"
        os.write(self._told, f"{step}\n".encode())
        if step == self._last:
            os._exit(DIED)


class Stepping(SqliteStore):
    """A store that dies before and after a commit, and before each statement of one."""

    def __init__(self, path: Path, steps: Steps) -> None:
        super().__init__(path)
        self._steps = steps

    def _open(self) -> None:
        super()._open()
        assert self._connection is not None
        self._connection.set_trace_callback(lambda statement: self._steps.at(statement.split()[0]))

    def commit(self, change: Change) -> asyncio.Future[int]:
        return asyncio.ensure_future(self._commit(change))

    async def _commit(self, change: Change) -> int:
        self._steps.at("before a commit")
        revision = await super().commit(change)
        self._steps.at("after a commit")
        return revision


class SteppingLeaves(Leaves):
    """Leaves that die with their process before and after they are started, adopted and reported."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        super().__init__(folder, Random(0))
        self._steps = steps

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        self._steps.at("before a start")
        result = super().start(workflow, template, node)
        self._steps.at("after a start")
        return result

    def adopt(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> bool:
        self._steps.at("before an adoption")
        mine = super().adopt(workflow, template, node)
        self._steps.at("after an adoption")
        return mine

    def _end(self, workflow: Workflow, node_id: str, result: Result) -> None:
        self._steps.at("before a report")
        super()._end(workflow, node_id, result)
        self._steps.at("after a report")


async def live(folder: Path, steps: Steps) -> None:
    """Go on with what there is, else with a new workflow, to the end."""
    leaves, witness, store = SteppingLeaves(folder, steps), Witness(folder), Stepping(folder / "oarlock.db", steps)

    def hear(commit: Commit) -> None:
        witness.see(commit.workflow)
        steps.at("the end" if commit.finished else "what follows from a commit")

    async with Engine(executor=leaves, store=store) as engine:
        leaves.engine = engine
        engine.listeners.append(hear)
        if not await store.heads():
            work = Workflow(
                {"metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [MAIN, LEAF, LOCKED]}}
            )
            engine.submit(work)
            await engine.saved(work)
            witness.see(work)
        await engine.run([])


def one_life(folder: Path, last: str = "") -> list[str]:
    """The steps that a life came by, which ends at the `last` of them, if it comes to that. Raises `Lost`."""
    read, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            asyncio.run(live(folder, Steps(last, told)))
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    os.close(told)
    with open(read) as steps:
        came_by = steps.read().splitlines()
    _, status = os.waitpid(child, 0)
    expected = DIED if last in came_by else 0
    if os.waitstatus_to_exitcode(status) != expected:
        raise Lost(f"a life that was to end at {last!r} ended with {os.waitstatus_to_exitcode(status)}")
    return came_by


def crash(folder: Path, *lasts: str) -> None:
    """Live until the first step, go on until the next, and so on, then to the end. Raises `Lost`."""
    folder.mkdir()
    for last in (*lasts, ""):
        one_life(folder, last)
        works = asyncio.run(check_seen(folder))
    check_all(folder, works)


def main(folder: Path) -> None:
    """Die at each step of a life; then at each at which one that goes on adopts leaves."""
    (folder / "calm").mkdir()
    for number, step in enumerate(one_life(folder / "calm")):
        crash(folder / f"once {number}", step)
        print(step, flush=True)
    began = "after a start 2"
    (folder / "half").mkdir()
    one_life(folder / "half", began)
    adopting = [step for step in one_life(folder / "half") if "adoption" in step]
    for number, step in enumerate(adopting):
        crash(folder / f"twice {number}", began, step)
        print(f"{began}, {step}", flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Lost as error:
        sys.exit(f"lost: {error}")
