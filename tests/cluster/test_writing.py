"""Changes that are written as one come to what they come to one by one; and who follows them sees what a store has."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import ClassVar

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from engine import Engine, MemoryStore, SimulatedExecutor, Workflow
from engine.cluster.following import Following, entries_of
from engine.cluster.journal import FEW, Remembered, Stored, merged
from engine.cluster.mail import Committed, committed, seal, unseal
from engine.reconciling.entries import read
from engine.storage.store import Change, Head
from tests.cluster.doubles import fan

HEAD = Head("u", "default", "w")
keys = st.sampled_from(["a", "b", "c"])
kinds = st.sampled_from(["node", "leaf"])
puts = st.dictionaries(kinds, st.dictionaries(keys, st.integers(0, 9))).map(seal)
changes = st.builds(Committed, st.just(HEAD), puts, st.dictionaries(kinds, st.lists(keys)), st.booleans())


@given(st.lists(changes, min_size=1))
async def test_several_changes_as_one_are_the_same_in_any_store(some: list[Committed]) -> None:
    found = []
    for journal in (Stored(MemoryStore()), Remembered()):
        for written in (some, [merged(some)]):
            await journal.delete("u")
            for each in written:
                await journal.commit(each)
            entries = unseal(await journal.entries("u"))
            found.append({kind: [*entries.get(kind, {}).items()] for kind in ("node", "leaf")})
    assert all(each == found[0] for each in found)


async def test_what_changes_often_is_kept_a_few_times_and_what_is_over_not_at_all() -> None:
    journal, text = Remembered(), "x" * 1000
    for number in range(1000):
        await journal.commit(Committed(HEAD, seal({"node": {"a": f"{number} {text}", "b": text}})))
    assert len(journal._kept["u"].changes) <= FEW
    assert await journal.entries("u") == seal({"node": {"a": f"999 {text}", "b": text}})
    await journal.commit(Committed(msgspec.structs.replace(HEAD, finished=True)))
    assert await journal.entries("u") == {}


class Followed(MemoryStore):
    """A workflow that is told of all that is written of another one."""

    def __init__(self, follower: Workflow) -> None:
        super().__init__()
        self.follower = follower
        self.following = Following(follower)
        self.seen: list[tuple[bytes, bytes]] = []

    async def commit(self, change: Change) -> int:
        revision = await super().commit(change)
        self.following.follow(committed(change))
        stored, _ = await read(change.head.uid, await self.entries(change.head.uid))
        self.seen.append((self.follower.encode(), stored.encode()))
        return revision


async def test_who_follows_what_is_committed_has_what_the_store_has() -> None:
    work, follower = (Workflow({**fan("one", width=600).document}) for _ in range(2))
    store = Followed(follower)
    async with Engine(executor=SimulatedExecutor(), store=store) as engine:
        await engine.run([work])
    assert len(store.seen) > 2
    assert all(followed == stored for followed, stored in store.seen)
    assert len(follower.nodes) == 604
    assert max(len(node.children or ()) for node in follower.nodes.values()) == 600


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
async def test_a_workflow_is_copied_whose_nodes_nobody_has_looked_at(copied: Callable[[Workflow], Workflow]) -> None:
    work, follower = (Workflow(fan("one").document) for _ in range(2))
    await Engine().run([work])
    Following(follower).follow(Committed(HEAD, entries_of(work), whole=True))
    assert copied(follower).encode() == work.encode()


async def test_a_workflow_that_begins_is_written_as_it_is() -> None:
    work = fan("one")
    await Engine().run([work])
    store = MemoryStore()
    await Stored(store).commit(Committed(HEAD, entries_of(work), whole=True))
    again, record = await read("u", await store.entries("u"))
    assert again.encode() == work.encode()
    assert record.leaves == set()


@given(st.dictionaries(keys, st.integers(0, 9)), st.sets(keys))
def test_nodes_to_be_started_stand_together_in_those_that_changed(nodes: dict[str, int], leaves: set[str]) -> None:
    change = committed(Change(HEAD, {"node": nodes, "leaf": dict.fromkeys(leaves, "given")}))
    assert change.put == seal({"node": nodes, "leaf": dict.fromkeys(leaves, "given")})
    first, end = change.starting
    those = msgspec.json.decode(b"{%b}" % change.put["node"][first:end])
    assert those.items() <= nodes.items()
    assert nodes.keys() & leaves <= those.keys()


async def test_the_nodes_of_leaves_that_start_are_read_without_the_others() -> None:
    class Starting(MemoryStore):
        """Sees which nodes are read by who follows."""

        following = Following(Workflow({**fan("one", width=20).document}))
        seen: ClassVar[list[set[str]]] = []

        async def commit(self, change: Change) -> int:
            self.following.follow(committed(change))
            self.seen.append({node.display_name for node in self.following.starting.values()})
            return await super().commit(change)

    store = Starting()
    async with Engine(executor=SimulatedExecutor(), store=store) as engine:
        await engine.run([fan("one", width=20)])
    assert {f"a({number}:{number})" for number in range(20)} in store.seen
    assert {"b"} in store.seen
