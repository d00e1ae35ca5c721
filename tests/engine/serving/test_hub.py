"""A watcher knows in the end what there is, whatever happened, and whenever it looked."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.serving.errors import ApiError
from engine.serving.hub import ADDED, DELETED, MODIFIED, Hub
from engine.serving.logs import _news
from engine.serving.records import Record, Records


@dataclass
class Thing:
    uid: str
    created: int
    revision: int
    wanted: bool = True
    workflow: None = None


class World:
    """Things that come, change and go, under revisions that grow."""

    def __init__(self) -> None:
        self.revision = 10
        self.hub: Hub[Thing] = Hub(10, tombstones=3)

    def step(self, action: str, uid: str) -> None:
        known = self.hub.items.get(uid)
        self.revision += 1
        if action == "remove":
            if known is not None:
                self.hub.remove(uid, self.revision)
        elif known is None:
            self.hub.put(Thing(uid, self.revision, self.revision))
        else:
            known.revision = self.revision
            known.wanted = action == "put"
            self.hub.put(known)


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "hide", "remove", "look"]), st.sampled_from("abc")), max_size=30
)


@given(STEPS, STEPS)
def test_a_watcher_knows_in_the_end_what_is_selected(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    async def check() -> None:
        world = World()
        for action, uid in before:
            world.step(action, uid)
        known = {uid for uid, thing in world.hub.items.items() if thing.wanted}  # as a list had told
        watching = world.hub.watch(world.revision, lambda thing: thing.wanted)

        async def look() -> None:
            async for type_, thing in watching:
                assert type_ in ((MODIFIED, DELETED) if thing.uid in known else (ADDED,))
                known.discard(thing.uid) if type_ == DELETED else known.add(thing.uid)

        looking = asyncio.create_task(look())
        await asyncio.sleep(0)
        for action, uid in after:
            if action == "look":
                await asyncio.sleep(0)
            else:
                world.step(action, uid)
        world.hub.close()
        await looking
        assert known == {uid for uid, thing in world.hub.items.items() if thing.wanted}

    asyncio.run(check())


async def test_a_watch_without_a_revision_begins_with_all_there_is() -> None:
    world = World()
    world.step("put", "a")
    world.step("put", "b")
    world.step("put", "a")
    world.hub.close()
    assert [(each.type, each.item.uid) async for each in world.hub.watch(0, lambda _: True)] == [
        (ADDED, "a"),
        (ADDED, "b"),
    ]


async def test_a_watch_from_before_the_deletions_that_are_remembered_is_refused() -> None:
    world = World()
    for uid in "abcde":
        world.step("put", uid)
        world.step("remove", uid)
    world.hub.close()
    with pytest.raises(ApiError, match="too old resource version: 11") as raised:
        await anext(world.hub.watch(11, lambda _: True))
    assert raised.value.status == 410
    assert [(each.type, each.item.uid) async for each in world.hub.watch(17, lambda _: True)] == [
        (DELETED, "d"),
        (ADDED, "e"),
    ][:1]


async def test_a_watcher_who_sleeps_is_told_the_last_state_once() -> None:
    world = World()
    world.step("put", "a")
    watching = world.hub.watch(world.revision, lambda _: True)
    for _ in range(1000):
        world.step("put", "a")
    assert (await anext(watching)).type == MODIFIED
    world.hub.close()
    assert [each async for each in watching] == []


async def test_what_changed_last_is_told_last() -> None:
    world = World()
    watching = world.hub.watch(world.revision, lambda _: True)
    coming = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    for uid in "abca":
        world.step("put", uid)
    world.hub.close()
    found = [await coming, *[each async for each in watching]]
    assert [each.item.uid for each in found] == ["b", "c", "a"]
    assert [each.item.revision for each in found] == sorted(each.item.revision for each in found)


async def test_who_has_taken_all_that_there_is_waits_for_more() -> None:
    world = World()
    with world.hub.watching(0, lambda _: True) as watcher:
        world.step("put", "a")
        assert await watcher.more()
        assert watcher.take() is not None
        more = asyncio.ensure_future(watcher.more())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not more.done()
        world.step("put", "a")
        assert await more
        assert watcher.take() is not None
        world.hub.close()
        assert not await watcher.more()


async def test_what_is_not_selected_wakes_nobody() -> None:
    world, looked = World(), list[str]()

    def selected(thing: Thing) -> bool:
        looked.append(thing.uid)
        return thing.uid == "a"

    watching = world.hub.watch(0, selected)
    coming = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0)
    for _ in range(10):
        world.step("put", "b")
        await asyncio.sleep(0)
    assert looked == ["b"] * 10  # once each: nobody has looked again
    world.step("put", "a")
    assert (await coming).item.uid == "a"


async def test_the_log_of_what_goes_just_as_it_is_asked_for_ends() -> None:
    world = World()
    world.step("put", "a")
    records, record = cast(Records, world), cast(Record, world.hub.items["a"])
    async with aclosing(_news(records, record, [])) as news:
        assert await anext(news) is False, "the workflow is over"
        world.step("remove", "a")
        assert await anext(news, None) is None
