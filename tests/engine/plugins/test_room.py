"""How much of what plugins have answered is kept: bytes over all workflows, whatever there is of each."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plugins.cache import ReplyCache
from engine.plugins.journal import Journal
from engine.plugins.room import Room, weight
from rpc import FatalError, Method
from rpc.replies import EMPTY, NodeReply, NodeResult, Reply, decode

PRE = Method.NODE_PRE_EXECUTE


def key(number: int) -> bytes:
    """A digest."""
    return number.to_bytes(16, "big")


def saying(text: str) -> Reply:
    return NodeReply(NodeResult(message=text))


def test_journals_share_a_room_and_keep_no_more_than_fits() -> None:
    room = Room(100_000)
    first, second = Journal(room), Journal(room)
    for number in range(100):
        for journal in (first, second):
            journal.keep("p", PRE, key(number), saying("x" * 10_000))
            assert room.taken <= room.most
    kept = [journal.find("p", PRE, key(n)) for journal in (first, second) for n in range(100)]
    assert 8 <= len(kept) - kept.count(None) <= 10


def test_what_is_forgotten_makes_room() -> None:
    room = Room(100_000)
    for _ in range(5):
        first, second = Journal(room), Journal(room)
        first.keep("p", PRE, key(1), saying("x" * 60_000))
        second.keep("p", PRE, key(1), saying("x" * 60_000))
        assert second.find("p", PRE, key(1)) is None
        first.clear()
        second.keep("p", PRE, key(1), saying("x" * 60_000))
        assert second.find("p", PRE, key(1)) is not None
        del first, second  # a workflow that is done takes its journal with it
        assert room.taken == 0


def test_the_same_answer_twice_takes_room_once() -> None:
    room = Room(100_000)
    journal = Journal(room)
    for _ in range(1000):
        journal.keep("p", PRE, key(1), saying("x"))
        journal.keep_empty_chains(PRE, [key(2), key(3)])
    assert room.taken < 1000
    assert journal.find("p", PRE, key(2)) is EMPTY


def test_empty_replies_take_room_too() -> None:
    room = Room(10_000)
    journal = Journal(room)
    for number in range(1000):
        journal.keep_empty_chains(PRE, [key(number)])
    assert room.taken <= room.most
    assert journal.find("p", PRE, key(0)) is EMPTY
    assert journal.find("p", PRE, key(999)) is None


def test_a_cached_reply_gives_its_room_to_the_one_that_follows() -> None:
    room = Room(100_000)
    cache = ReplyCache(room)
    for digest in range(100):
        cache.keep("p", "a", key(digest), saying("x" * 60_000))
        assert cache.find("p", "a", key(digest)) is not None
    cache.keep("p", "a", key(1), saying("x" * 200_000))
    assert cache.find("p", "a", key(1)) is None
    assert room.taken == 0


def test_an_error_that_is_kept_holds_on_to_nothing() -> None:
    journal = Journal(Room(100_000))
    with pytest.raises(FatalError) as caught:
        raise FatalError("p", PRE, "no", status=500) from ValueError()
    journal.keep("p", PRE, key(1), caught.value)
    kept = journal.find("p", PRE, key(1))
    assert isinstance(kept, FatalError)
    assert str(kept) == str(caught.value)
    assert (kept.status, kept.__traceback__, kept.__cause__) == (500, None, None)


BODIES: list[Any] = [
    {"node": {"message": "x" * 100_000}},
    {"node": {"message": "\U0001f600" * 10_000}},
    {"node": {"outputs": {"x": [[] for _ in range(10_000)]}}},
    {"node": {"outputs": {"x": [{} for _ in range(10_000)]}}},
    {"node": {"outputs": {"x": [{"a": str(number)} for number in range(5_000)]}}},
    {"node": {"outputs": {f"key-{number}": number for number in range(10_000)}}},
]


@pytest.mark.parametrize("body", BODIES, ids=["text", "wide text", "lists", "mappings", "members", "keys"])
def test_an_answer_weighs_what_it_takes(body: Any) -> None:
    text = orjson.dumps(body)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        reply, _ = decode(PRE, text)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.8 * taken < weight(reply) < 2 * taken


@given(st.dictionaries(st.text(max_size=3), st.none() | st.text() | st.lists(st.integers()), max_size=3))
def test_every_reply_weighs_something_and_the_empty_one_nothing(outputs: dict[str, Any]) -> None:
    assert weight(NodeReply(NodeResult(outputs=outputs))) > 0
    assert weight(EMPTY) == 0
