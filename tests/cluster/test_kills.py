"""Shards that die, or stop: their workflows go on elsewhere, with no leaf lost and none started twice."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from random import Random

from engine import Fleet
from engine.cluster.processes import Processes
from engine.cluster.transport import Link
from tests.cluster.doubles import SUCCEEDED, Leaves, fan
from tests.cluster.kills import Killable, by_signal, kill, process_of


async def test_shards_that_are_killed_lose_nothing() -> None:
    outcome = await kill(3, 1, Processes(), by_signal)
    assert (outcome.lost, outcome.twice) == (0, 0)


async def test_a_shard_that_is_stopped_is_taken_for_dead() -> None:
    def stop(link: Link, dice: Random) -> None:
        with suppress(ProcessLookupError):  # on a busy machine it may have ended itself by then
            os.kill(process_of(link), signal.SIGSTOP)

    outcome = await kill(1, 2, Processes(), stop, deadline=2.0)
    assert (outcome.lost, outcome.twice) == (0, 0)


async def test_what_was_reported_to_a_shard_that_died_is_told_to_the_next_one() -> None:
    leaves, killable = Leaves(at_once=False), Killable(Processes())
    async with Fleet(executor=leaves, shards=1, over=killable) as fleet:
        serving = asyncio.create_task(fleet.serve())
        handle = fleet.submit(fan("one", width=2))
        runs = [await leaves.runs.get() for _ in range(2)]
        (link,) = killable.links.values()
        os.kill(process_of(link), signal.SIGSTOP)
        for work, node in runs:
            fleet.report(work, node.id, SUCCEEDED)
        os.kill(process_of(link), signal.SIGKILL)
        work, node = await leaves.runs.get()
        fleet.report(work, node.id, SUCCEEDED)
        assert (await handle.finished()).phase == "Succeeded"
        serving.cancel()
    assert len(leaves.started) == 3
    assert leaves.twice == []
