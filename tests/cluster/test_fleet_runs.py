"""When a fleet's `run` and `serve` end is as of an engine. Here its shards are in this process."""

from __future__ import annotations

import asyncio
from typing import Any

from engine import Commit, Fleet
from tests.acceptance.manifests import workflow
from tests.cluster.doubles import Leaves, approval, fan
from tests.cluster.inside import Inside
from tests.processes import PATIENCE


async def test_run_ends_where_nothing_can_change_any_more_and_says_why() -> None:
    class Silent(Leaves):
        busy = False

        def attach(self, report: Any, templates: Any) -> None:
            pass

    async with Fleet(over=Inside(), executor=Silent()) as fleet:
        work = approval()
        await fleet.run([work])
        assert not work.finished
        assert "ok" in fleet.waiting_for(work)
        await fleet.resume(work)
        await fleet.run()
        assert work.phase == "Succeeded"
        await fleet.run()


async def test_a_run_that_begins_as_another_ends_has_its_passes() -> None:
    one, two = fan("one"), fan("two")
    then: list[asyncio.Task[None]] = []

    def begin(commit: Commit) -> None:
        if commit.finished and commit.workflow is one:
            then.append(asyncio.create_task(fleet.run([two])))

    async with Fleet(over=Inside(), executor=Leaves()) as fleet:
        fleet.listeners.append(begin)
        async with asyncio.timeout(PATIENCE):
            await fleet.run([one])
            await then[0]
    assert two.phase == "Succeeded"


async def test_a_run_that_begins_as_another_is_cancelled_has_its_passes() -> None:
    two = fan("two")
    async with Fleet(over=Inside(), executor=Leaves()) as fleet:
        first = asyncio.create_task(fleet.run([fan("one")]))
        await asyncio.sleep(0)
        first.cancel()
        async with asyncio.timeout(PATIENCE):
            await fleet.run([two])
    assert two.phase == "Succeeded"


async def test_run_ends_in_time_and_goes_on_later() -> None:
    work = workflow({"name": "main", "suspend": {"duration": "1h"}})
    async with Fleet(over=Inside(), shards=1) as fleet:
        await fleet.run([work], timeout=1800)
        assert (work.phase, fleet.health.turning) == ("Running", False)
        await fleet.run([work], timeout=3600)
    assert work.phase == "Succeeded"


async def test_serve_ends_in_time_and_sleeps_until_then() -> None:
    work = workflow({"name": "main", "suspend": {"duration": "1h"}})
    async with Fleet(over=Inside()) as fleet:
        handle = fleet.submit(work)
        await fleet.serve(timeout=1800)
        assert (work.phase, fleet.health.turning) == ("Running", False)
        await fleet.serve(timeout=3600)
        assert (await handle.finished()).phase == "Succeeded"
