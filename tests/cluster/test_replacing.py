"""Shards that are gone are replaced: one that cannot be started at first is tried again, and only then is all lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine import Fleet, MemoryStore, PendingExecutor
from engine.cluster.custody import Custody
from engine.cluster.placement import Placement
from engine.cluster.shards import TRIES
from engine.cluster.transport import TransportError
from tests.cluster.doubles import SUCCEEDED, Leaves, fan, until
from tests.cluster.inside import Inside, InsideLink


class _Refusing(Inside):
    """Once `left` is not None so many can not be started, and then they can."""

    left: int | None = None

    async def start(self, number: int, settings: bytes) -> InsideLink:
        if self.left:
            self.left -= 1
            raise TransportError(f"shard {number}: there is no room")
        return await super().start(number, settings)


async def test_one_that_is_killed_as_it_starts_is_not_the_end() -> None:
    over, leaves, work = _Refusing(), Leaves(at_once=False), fan("one", 1)
    async with Fleet(over=over, executor=leaves, shards=1) as fleet:
        running = asyncio.create_task(fleet.run([work]))
        _, node = await leaves.runs.get()
        over.left = TRIES - 1
        await over.links[0].kill()
        leaves.at_once = True
        fleet.report(work, node.id, SUCCEEDED)
        await running
    assert work.phase == "Succeeded"
    assert not leaves.twice


async def test_the_next_one_is_waited_for_though_no_leaf_runs() -> None:
    over, work = _Refusing(), fan("one", 1)
    async with Fleet(over=over, executor=PendingExecutor(), shards=1) as fleet:
        over.left = TRIES - 1
        await over.links[0].kill()
        await until(lambda: not list(fleet._lines))
        await fleet.run([work])
    assert work.phase == "Running"


async def test_where_none_can_be_started_any_more_whoever_waits_is_told() -> None:
    over, leaves = _Refusing(), Leaves(at_once=False)
    async with Fleet(over=over, executor=leaves, shards=2) as fleet:
        running = asyncio.create_task(fleet.run([fan("one"), fan("two")]))
        await leaves.runs.get()
        over.left = 1000
        for link in over.alive():
            await link.kill()
        with pytest.raises(TransportError, match="there is no room"):
            await running


@pytest.mark.parametrize(("owner", "name"), [(Placement, "settle"), (Custody, "start")])
async def test_a_mistake_of_ours_is_logged_and_whoever_waits_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: type, name: str
) -> None:
    def mistaken(*given: Any) -> Any:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(owner, name, mistaken)
    store, work = MemoryStore(), fan("one")
    async with Fleet(over=Inside(), executor=Leaves(), store=store) as fleet:
        with pytest.raises(KeyError, match="a mistake of ours"):
            await fleet.run([work])
        with pytest.raises(KeyError, match="a mistake of ours"):
            await fleet.serve()
    assert "the fleet cannot go on" in caplog.text
    monkeypatch.undo()
    async with Fleet(over=Inside(), executor=Leaves(), store=store) as fleet:
        (work,) = fleet.workflows
        await fleet.run()
    assert work.phase == "Succeeded"


async def test_a_mistake_of_ours_is_told_to_whoever_asks_about_a_workflow_that_no_shard_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mistaken(*given: Any) -> Any:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(Placement, "settle", mistaken)
    async with Fleet(over=Inside(), executor=Leaves()) as fleet:
        work = fan("one")
        fleet.submit(work)
        for _ in range(2):  # before it is made, and behind it
            with pytest.raises(KeyError, match="a mistake of ours"):
                await fleet.suspend(work)
