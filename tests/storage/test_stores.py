"""What every store promises: the same tests for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import MemoryStore, SqliteStore, Store, StoreError
from engine.storage.store import Change, Head
from tests.storage.doubles import Making


def head(uid: str = "u1", name: str = "w", namespace: str = "default", **fields: Any) -> Head:
    return Head(uid, namespace, name, **fields)


def change(*entries: tuple[str, str, Any], whole: bool = False, **fields: Any) -> Change:
    """What becomes of some entries; of those that are None nothing is left."""
    put: dict[str, dict[str, Any]] = {}
    gone: dict[str, list[str]] = {}
    for kind, key, value in entries:
        if value is None:
            gone.setdefault(kind, []).append(key)
        else:
            put.setdefault(kind, {})[key] = value
    return Change(head(**fields), put, gone, whole)


async def values(store: Store, uid: str = "u1", *kinds: str) -> list[tuple[str, str, Any]]:
    return [(kind, key, orjson.loads(value)) for kind, key, value in await store.entries(uid, kinds or None)]


async def test_a_commit_writes_what_changed_and_leaves_the_rest(make: Making) -> None:
    async with make() as store:
        await store.commit(change(("node", "a", {"phase": "Running"}), ("node", "b", [1, None]), ("leaf", "a", "run")))
        await store.commit(change(("node", "b", "new"), ("leaf", "a", None), ("leaf", "never", None)))
        assert await values(store) == [("node", "a", {"phase": "Running"}), ("node", "b", "new")]


async def test_what_was_committed_is_there_when_the_store_is_opened_again(make: Making) -> None:
    async with make() as store:
        first = await store.commit(change(("node", "a", 1), phase="Running"))
        await store.put("ConfigMap", "blue", "sizes", {"data": {"one": "1"}})
        revision = store.revision
    async with make() as store:
        assert store.revision == revision > first
        assert await store.heads() == [head(phase="Running", revision=first)]
        assert await values(store) == [("node", "a", 1)]
        found = await store.get("ConfigMap", "blue", "sizes")
        assert found is not None
        assert found.document == {"data": {"one": "1"}}
        assert await store.commit(change(("node", "a", 2))) > revision


async def test_a_whole_change_lets_go_of_everything_else(make: Making) -> None:
    async with make() as store:
        await store.commit(change(("node", "a", 1), ("visit", "a", 1)))
        await store.commit(change(("node", "b", 2), whole=True))
        assert await values(store) == [("node", "b", 2)]


async def test_a_large_change_has_many_entries_of_one_kind_and_few_of_another(make: Making) -> None:
    names = [str(number) for number in range(300)]
    async with make() as store:
        await store.commit(change(*(("node", name, 1) for name in names), ("leaf", "a", 1), ("leaf", "b", 1)))
        await store.commit(change(*(("node", name, None) for name in names[1:]), ("leaf", "a", None)))
    async with make() as store:
        assert await values(store) == [("node", "0", 1), ("leaf", "b", 1)]


async def test_entries_keep_their_places_unless_they_were_gone(make: Making) -> None:
    async with make() as store:
        await store.commit(change(*(("node", key, key) for key in "dbca")))
        await store.commit(change(("node", "b", "new"), ("node", "z", "z"), ("node", "d", None)))
        await store.commit(change(("node", "c", None), ("node", "d", "again"), ("node", "c", "moved")))
        assert [key for _, key, _ in await values(store)] == ["b", "a", "z", "d", "c"]


async def test_entries_of_some_kinds_only(make: Making) -> None:
    async with make() as store:
        await store.commit(change(("part", "a", 1), ("node", "a", 2), ("walk", "", 3)))
        assert sorted(await values(store, "u1", "part", "walk")) == [("part", "a", 1), ("walk", "", 3)]
        assert await values(store, "nobody") == []


async def test_workflows_are_found_by_state_namespace_and_name_in_the_order_of_their_coming(make: Making) -> None:
    async with make() as store:
        for uid, namespace, name in (("3", "red", "w"), ("1", "blue", "w"), ("2", "blue", "v")):
            await store.commit(change(uid=uid, namespace=namespace, name=name))
        await store.commit(change(uid="3", namespace="red", name="w", finished=True, phase="Failed"))
        assert [each.uid for each in await store.heads()] == ["3", "1", "2"]
        assert [(each.uid, each.phase) for each in await store.heads(finished=True)] == [("3", "Failed")]
        assert [each.uid for each in await store.heads(finished=False, namespace="blue")] == ["1", "2"]
        assert [each.uid for each in await store.heads(name="w")] == ["3", "1"]


async def test_a_deleted_workflow_is_gone_with_its_entries(make: Making) -> None:
    async with make() as store:
        await store.commit(change(("node", "a", 1)))
        assert await store.delete("u1")
        assert not await store.delete("u1")
        assert await store.heads() == []
        await store.commit(change(("node", "b", 1)))
        assert await values(store) == [("node", "b", 1)]


async def test_documents_are_kept_by_kind_namespace_and_name(make: Making) -> None:
    async with make() as store:
        for kind, namespace, name in (("T", "red", "a"), ("T", "blue", "b"), ("T", "blue", "a"), ("C", "", "a")):
            await store.put(kind, namespace, name, {"of": f"{namespace}/{name}"})
        last = await store.put("T", "blue", "a", {"of": "anew"})
        listed = await store.items("T")
        assert [(each.namespace, each.name) for each in listed] == [("blue", "a"), ("blue", "b"), ("red", "a")]
        assert (listed[0].document, listed[0].revision) == ({"of": "anew"}, last)
        assert [each.name for each in await store.items("T", "red")] == ["a"]
        assert await store.remove("T", "blue", "a")
        assert not await store.remove("T", "blue", "a")
        assert await store.get("T", "blue", "a") is None
        assert await store.get("C", "", "a") is not None


async def test_every_change_has_a_revision_of_its_own_also_across_openings(make: Making) -> None:
    seen = [0]
    for _ in range(3):
        async with make() as store:
            wanted = [store.commit(change(uid=str(number))) for number in range(5)]
            seen += await asyncio.gather(*wanted, store.put("T", "", "a", {}))
            await store.delete("0")
    assert seen == sorted(set(seen))


async def test_what_is_gone_counts_first(make: Making) -> None:
    async with make() as store:
        await store.commit(change(("node", "a", 1), ("node", "b", 1)))
        await store.commit(Change(head(), {"node": {"a": 2}}, {"node": ["a"]}))
        assert await values(store) == [("node", "b", 1), ("node", "a", 2)]


async def test_many_changes_at_once_are_written_in_the_order_in_which_they_were_asked_for(make: Making) -> None:
    async with make() as store:
        await asyncio.gather(*(store.commit(change(("node", "a", number))) for number in range(200)))
        assert await values(store) == [("node", "a", 199)]


async def test_whoever_reads_sees_what_was_asked_for_before(make: Making) -> None:
    async with make() as store:
        writing = asyncio.ensure_future(store.commit(change(("node", "a", 1))))
        await asyncio.sleep(0)
        assert await values(store) == [("node", "a", 1)]
        await writing
        wanted = [asyncio.ensure_future(store.commit(change(("node", "a", number)))) for number in range(100)]
        for number in (1, 50, 99):
            await wanted[number]
            last = asyncio.ensure_future(store.commit(change(("node", "a", -number))))
            await asyncio.sleep(0)
            assert await values(store) == [("node", "a", -number)]
            await last


@pytest.mark.parametrize("value", [{"deep": object()}, "\udcff", {1.5: {"a": {2}, "b": object}}])
async def test_what_json_cannot_say_is_refused_and_nothing_of_the_change_is_there(make: Making, value: Any) -> None:
    async with make() as store:
        await store.commit(change(("node", "a", 1)))
        good = store.commit(change(("node", "a", 1), uid="u2", name="v"))
        results = await asyncio.gather(
            store.commit(change(("node", "a", None), ("node", "b", 2), ("node", "c", value), phase="Failed")),
            good,
            return_exceptions=True,
        )
        assert isinstance(results[0], StoreError)
        assert "u1: expected what JSON can say" in str(results[0])
        assert await values(store) == [("node", "a", 1)]
        assert [each.phase for each in await store.heads(name="w")] == [""]
        assert await values(store, "u2") == [("node", "a", 1)]
        with pytest.raises(StoreError, match="expected what JSON can say"):
            await store.put("T", "", "a", {"a": value})


async def test_a_change_that_nobody_waits_for_any_more_is_written(make: Making) -> None:
    async with make() as store:
        writing = asyncio.ensure_future(store.commit(change(("node", "a", 1))))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        assert await values(store) == [("node", "a", 1)]


async def test_an_open_store_may_be_entered_again(make: Making) -> None:
    async with make() as store:
        async with store:
            await store.commit(change(("node", "a", 1)))
        assert await values(store) == [("node", "a", 1)]


keys = st.sampled_from("abc")
kinds = st.sampled_from(("node", "leaf"))
json_values = st.none() | st.integers(0, 9) | st.text(max_size=3) | st.just("long" * 10_000)
changes = st.builds(
    Change,
    st.builds(Head, st.sampled_from("12"), st.just("n"), st.just("w"), st.text(max_size=2), st.booleans()),
    st.dictionaries(kinds, st.dictionaries(keys, json_values, max_size=4)),
    st.dictionaries(kinds, st.lists(keys, max_size=4)),
    st.booleans(),
)


@settings(max_examples=40)
@given(st.lists(st.one_of(changes, st.sampled_from(("delete", "reopen", "wait"))), max_size=12))
def test_a_file_and_memory_hold_the_same(tmp_path_factory: pytest.TempPathFactory, actions: list[Any]) -> None:
    path = tmp_path_factory.mktemp("store") / "oarlock.db"

    async def play(store: Store, again: Callable[[], Store]) -> list[Any]:
        told: list[Any] = []
        asked: list[asyncio.Future[Any]] = []  # what is asked for at once may share a transaction
        await store.__aenter__()
        for action in [*actions, "wait"]:
            if action in ("reopen", "wait"):
                told += [each for each in await asyncio.gather(*asked) if isinstance(each, bool)]
                asked.clear()
            if action == "reopen":
                await store.__aexit__(None, None, None)
                store = await again().__aenter__()
            elif action == "delete":
                asked.append(asyncio.ensure_future(store.delete("1")))
                await asyncio.sleep(0)
            elif action != "wait":
                asked.append(asyncio.ensure_future(store.commit(action)))
                await asyncio.sleep(0)
        told += [await store.heads(), *[await values(store, uid, kind) for uid in "12" for kind in ("node", "leaf")]]
        await store.__aexit__(None, None, None)
        return told

    memory = MemoryStore()
    in_memory = asyncio.run(play(memory, lambda: memory))
    assert asyncio.run(play(SqliteStore(path), lambda: SqliteStore(path))) == in_memory
