"""The process that is killed: an engine with a store, workflows without end, and leaves that remember their starts.

Run as ``python -m tests.kill.victim FOLDER SEED``, or with ``finish`` for a seed to come to an end. The file ``starts``
in FOLDER has a line for each start of a leaf, written before anybody hears of it, and ``seen`` how far workflows were
when a pass over them had been committed. Says ``ready`` on standard output when it has opened its store.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from engine import Engine, Node, PassEnd, Result, SqliteStore, Workflow
from rpc import Request

AT_ONCE = 8
"""Workflows that are begun together."""

LEAF = {"name": "leaf", "container": {"image": "busybox", "command": ["true"]}}
MAIN = {
    "name": "main",
    "dag": {
        "tasks": [
            {"name": "first", "template": "leaf"},
            {"name": "loop", "template": "leaf", "depends": "first", "withSequence": {"count": "5"}},
            {"name": "steps", "template": "steps", "depends": "first"},
            {"name": "last", "template": "leaf", "depends": "loop && steps"},
        ]
    },
}
STEPS = {
    "name": "steps",
    "parallelism": 1,
    "steps": [
        [{"name": "a", "template": "locked", "withSequence": {"count": "3"}}],
        [{"name": "b", "template": "leaf"}],
    ],
}
LOCKED = {**LEAF, "name": "locked", "synchronization": {"mutex": {"name": "m"}}}


class Leaves:
    """Runs leaves that outlive the process: what has begun ends, whether or not anybody is there to see it."""

    def __init__(self, folder: Path, dice: Random) -> None:
        self.engine: Engine | None = None
        self._folder = folder
        self._dice = dice
        self._starts = os.open(folder / "starts", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._started = set((folder / "starts").read_text().splitlines())

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        """Write down that it began, then let it end soon."""
        key = f"{workflow.uid} {node.id}"
        os.write(self._starts, f"{key}\n".encode())
        os.fdatasync(self._starts)
        self._started.add(key)
        return self._go_on(workflow, node, key)

    def adopt(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> bool:
        """It is there if it was written down."""
        key = f"{workflow.uid} {node.id}"
        if key not in self._started:
            return False
        result = self._go_on(workflow, node, key)
        if result is not None:
            asyncio.get_running_loop().call_soon(self._end, workflow, node.id, result)
        return True

    def stop(self, workflow: Workflow, node: Node) -> None:
        """None of these workflows is stopped."""
        raise AssertionError(f"{node.name} was to be stopped")

    def _go_on(self, workflow: Workflow, node: Node, key: str) -> Result | None:
        result = Result("Succeeded", outputs={"result": key})
        if self._dice.random() < 0.2:
            return result
        asyncio.get_running_loop().call_later(self._dice.random() * 0.02, self._end, workflow, node.id, result)
        return None

    def _end(self, workflow: Workflow, node_id: str, result: Result) -> None:
        assert self.engine is not None
        self.engine.report(workflow, node_id, result)


class Witness:
    """Writes down how many nodes were over when a pass was committed, and nothing was told of it before."""

    def __init__(self, folder: Path) -> None:
        self.engine: Engine | None = None
        self._seen = os.open(folder / "seen", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def requested(self, request: Request) -> None:
        """There are no plugins."""

    def pass_begun(self, workflow: str) -> None:
        """Nothing to be seen yet."""

    def pass_ended(self, ended: PassEnd) -> None:
        """As `engine.Observer`."""
        assert self.engine is not None
        for work in self.engine.workflows if not ended.aborted else ():
            if work.key == ended.workflow:
                self.see(work)

    def see(self, work: Workflow) -> None:
        """The workflow is as far as this."""
        os.write(self._seen, f"{work.uid} {sum(node.fulfilled for node in work.nodes.values())}\n".encode())


def new() -> Workflow:
    """Another workflow."""
    spec = {"entrypoint": "main", "templates": [MAIN, STEPS, LEAF, LOCKED]}
    return Workflow({"metadata": {"generateName": "w-"}, "spec": spec})


async def live(folder: Path, dice: Random, *, finish: bool) -> None:
    """Go on with the workflows that there are and then, unless it is to `finish`, with others, without end."""
    leaves, witness = Leaves(folder, dice), Witness(folder)
    async with Engine(executor=leaves, observer=witness, store=SqliteStore(folder / "oarlock.db")) as engine:
        leaves.engine = witness.engine = engine
        print("ready", flush=True)
        await engine.run([])
        while not finish:
            works = [new() for _ in range(AT_ONCE)]
            for work in works:
                engine.submit(work)
                await engine.saved(work)
                witness.see(work)
            await engine.run([])


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), Random(sys.argv[2]), finish=sys.argv[2] == "finish"))
