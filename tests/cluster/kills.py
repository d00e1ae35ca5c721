"""Shards are killed at random moments, over and over: no leaf is lost, none is started twice, and all goes on.

``python -m tests.cluster.kills --rounds 200`` is the long form of what the suite does with a few, over child processes
or with ``--over ray`` over actors.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final, NamedTuple
from unittest.mock import patch

import msgspec
import uvloop

from engine import Commit, Fleet, Node, Result, Workflow
from engine.cluster import shards
from engine.cluster.actors import Actors
from engine.cluster.processes import Processes
from engine.cluster.shard import Settings
from engine.cluster.transport import Link, Transport
from tests.cluster.doubles import SUCCEEDED, Document, Leaves, fan, until

SHARDS: Final = 3

WORKFLOWS: Final = 12
"""That are under way at any time."""


class Killable:
    """A `Transport` that remembers what it has started."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.links: dict[int, Link] = {}
        """By epoch."""

    async def __aenter__(self) -> Killable:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._transport.__aexit__(None, None, None)

    async def start(self, number: int, settings: bytes) -> Link:
        link = await self._transport.start(number, settings)
        self.links[msgspec.json.decode(settings, type=Settings).epoch] = link
        return link


class Later(Leaves):
    """Leaves that take their time, and are told of in another turn of the event loop."""

    def __init__(self, dice: Random) -> None:
        super().__init__(at_once=False)
        self.dice = dice
        self.report: Callable[[Workflow, str, Result], None] = lambda *_: None

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        self.started.append((workflow.uid, node.id))
        delay = self.dice.choice((0.0, 0.001, 0.02))
        asyncio.get_running_loop().call_later(delay, self.report, workflow, node.id, SUCCEEDED)
        return None


class Outcome(NamedTuple):
    """What came of all rounds; ``slowest`` is in seconds: from a kill to another shard's next commit of a workflow."""

    kills: int
    workflows: int
    leaves: int
    lost: int
    twice: int
    slowest: float


def process_of(link: Link) -> int:
    """The number of a shard's process, as its name has it: ``shard 0 (actor process 4711 at 127.0.0.1)``."""
    return int(link.name.partition("process ")[2].rstrip(")").split()[0])


async def kill(
    rounds: int, seed: int, transport: Transport, killing: Callable[[Link, Random], None], *, deadline: float = 10.0
) -> Outcome:
    """Kill a shard `rounds` times, while workflows come and go."""
    dice, killable = Random(seed), Killable(transport)
    leaves, works, commits, heard = Later(dice), list[Workflow](), set[str](), asyncio.Event()
    slowest = 0.0

    def hear(commit: Commit) -> None:
        commits.add(commit.workflow.uid)
        heard.set()

    async with Fleet(executor=leaves, shards=SHARDS, over=killable, deadline=deadline) as fleet:
        leaves.report = fleet.report
        fleet.listeners.append(hear)
        serving = asyncio.create_task(fleet.serve())

        def submit() -> None:
            while len(fleet.workflows) < WORKFLOWS:
                works.append(fan(f"w-{len(works)}", width=dice.randint(1, 6)))
                fleet.submit(works[-1])

        def is_gone(epoch: int) -> bool:
            return fleet._lines.get(epoch) is None

        for _ in range(rounds):
            submit()
            await asyncio.sleep(dice.choice((0.0, 0.01, 0.05, 0.2)))
            submit()
            await until(lambda: len(list(fleet._lines)) >= 2)
            line = dice.choice(list(fleet._lines))
            left = {work.uid for work in fleet.workflows if fleet._driver.custody.has(work.uid, line.epoch)}
            began = time.monotonic()
            killing(killable.links[line.epoch], dice)
            await until(partial(is_gone, line.epoch))
            commits.clear()  # what comes now is of other shards
            while left.isdisjoint(commits) and not left.isdisjoint(work.uid for work in fleet.workflows):
                heard.clear()
                await heard.wait()
            slowest = max(slowest, time.monotonic() - began)
        for work in list(fleet.workflows):
            if (handle := fleet.find(work.key)) is not None:
                await handle.finished()
        fleet.drain(5)
        await serving
    expected = {(work.uid, node.id) for work in works for node in work.nodes.values() if node.type == "Pod"}
    lost = len(expected - set(leaves.started)) + sum(work.phase != "Succeeded" for work in works)
    return Outcome(rounds, len(works), len(leaves.started), lost, len(leaves.twice), slowest)


def by_signal(link: Link, dice: Random) -> None:
    """As a machine that is out of memory does."""
    with suppress(ProcessLookupError):  # it was killed before, which is not known yet
        os.kill(process_of(link), signal.SIGKILL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--over", choices=("processes", "ray"), default="processes")
    given = parser.parse_args()
    transport = Actors() if given.over == "ray" else Processes()
    with patch.object(shards, "LASTED", 0.0):  # else the next one is waited for, up to 10 s, since none lasted
        print(uvloop.run(kill(given.rounds, given.seed, transport, by_signal)))
