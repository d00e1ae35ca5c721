"""Calls that travel one by one: each gets its outcome, few are in flight, and what goes wrong ends it all at once."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest

import rpc.attempts
from rpc import BatchPolicy, Client, FatalError, Method, Outcome, Request, RetryPolicy, TransientError
from rpc.batches import Call, CallBatch
from rpc.plugin import Plugin, Unavailable
from rpc.replies import EMPTY, NodeReply
from rpc.window import Outcomes

PRE = Method.NODE_PRE_EXECUTE
ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, backoff=0.001, max_backoff=0.001)


@pytest.fixture(params=["aiohttp", "wire"])
def lane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Seen:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def requested(self, request: Request) -> None:
        self.requests.append(request)


@pytest.fixture
async def connect(lane: Literal["aiohttp", "wire"]) -> AsyncIterator[Any]:
    """``await connect(handler, concurrency=1)``: a client of a plugin whose one method takes no batches."""
    async with AsyncExitStack() as stack:

        async def start(handler: Any, **options: Any) -> Client:
            plugin = Plugin("peer")
            plugin.on("node.preExecute")(handler)
            address = await stack.enter_async_context(plugin.serve())
            options = {"protocol": "short", "batch": BatchPolicy(enabled=False), "timeout": 30.0, **options}
            return await stack.enter_async_context(Client(address, lane=lane, **options))

        yield start


def batch(count: int) -> CallBatch:
    head = b'{"workflow":{},"template":{}'
    return CallBatch(b"{}", [Call(head, "t", b"{}", b',"node":{"id":"%d"}}' % number) for number in range(count)])


async def send(client: Client, count: int, method: Method = PRE, **options: Any) -> Outcomes:
    outcomes: Outcomes = [None] * count
    await client.ask(method, batch(count), outcomes, **options)
    return outcomes


def number(args: dict[str, Any]) -> int:
    return int(args["node"]["id"])


async def test_each_call_gets_its_own_reply_or_the_empty_one(connect: Any) -> None:
    client = await connect(lambda args: {"node": {"message": "hello"}} if number(args) == 7 else {})
    outcomes = await send(client, 20)
    reply = outcomes.pop(7)
    assert isinstance(reply, NodeReply)
    assert reply.node is not None
    assert reply.node.message == "hello"
    assert set(map(id, outcomes)) == {id(EMPTY)}
    assert client.stats.in_flight == 0


class Calls(list[Call]):
    """A list that can be referred to weakly."""


async def test_what_was_asked_goes_with_the_last_outcome_and_not_when_the_collector_comes_by(connect: Any) -> None:
    """Memory is to follow what is in flight. It comes by late: calls are not among what it counts."""
    client = await connect(lambda args: {})
    calls = Calls(batch(20).calls)
    asked = weakref.ref(calls)
    gc.collect()
    gc.disable()
    try:
        await client.ask(PRE, CallBatch(b"{}", calls), [None] * 20)
        del calls
        assert asked() is None
    finally:
        gc.enable()


async def test_a_method_that_is_not_there_has_nothing_to_say_to_anything(connect: Any) -> None:
    client = await connect(lambda args: {})
    assert await send(client, 50, Method.NODE_POST_EXECUTE) == [EMPTY] * 50
    assert not client.supports(Method.NODE_POST_EXECUTE)
    assert client.stats.attempts == 1


async def test_a_method_that_goes_away_is_refused_by_the_call_that_meets_it(connect: Any, scripted: Any) -> None:
    head = b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}"
    peer = await scripted(head % b"200 OK", head % b"404 Gone")
    async with Client(peer.address, protocol="short", batch=BatchPolicy(enabled=False)) as client:
        assert await send(client, 1) == [EMPTY]
        assert client.supports(PRE)
        assert await send(client, 3, width=1) == [EMPTY] * 3
        assert not client.supports(PRE)
    assert len(peer.requests) == 2


async def test_no_more_travel_at_a_time_than_the_width_and_the_permits_allow(connect: Any) -> None:
    under_way = most = 0

    async def answer(args: dict[str, Any]) -> dict[str, Any]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return {}

    client = await connect(answer, concurrency=8)
    await send(client, 1)
    for width, bound in ((3, 3), (50, 8)):
        most = 0
        assert await send(client, 200, width=width) == [EMPTY] * 200
        assert most <= bound
    assert client.stats.in_flight == client.stats.waiting == 0


async def test_a_transient_failure_is_retried_before_it_counts(connect: Any) -> None:
    failed: set[int] = set()

    def fail_once(args: dict[str, Any]) -> dict[str, Any]:
        if number(args) % 10 == 5 and number(args) not in failed:
            failed.add(number(args))
            raise Unavailable("not now")
        return {}

    client = await connect(fail_once, retry=TWICE)
    assert await send(client, 40) == [EMPTY] * 40
    assert client.stats.retries == 4


async def test_a_fatal_failure_is_the_outcome_of_its_call(connect: Any) -> None:
    client = await connect(lambda args: {"node": {"phase": "Odd"}} if number(args) == 3 else {})
    outcomes = await send(client, 10)
    assert isinstance(outcomes.pop(3), FatalError)
    assert outcomes == [EMPTY] * 9


async def test_a_transient_failure_ends_it_all_unless_it_is_tolerated(connect: Any) -> None:
    def refuse(args: dict[str, Any]) -> dict[str, Any]:
        if number(args) == 4:
            raise Unavailable("not now")
        return {}

    client = await connect(refuse, retry=ONCE, concurrency=1)
    outcomes: Outcomes = [None] * 100
    with pytest.raises(TransientError, match="not now"):
        await client.ask(PRE, batch(100), outcomes, width=1)
    assert outcomes == [EMPTY] * 4 + [None] * 96
    outcomes = await send(client, 100, tolerant=True)
    assert isinstance(outcomes.pop(4), TransientError)
    assert outcomes == [EMPTY] * 99
    assert client.stats.in_flight == 0


async def test_nothing_that_waits_for_its_turn_is_sent_after_the_failure_that_ends_it_all(connect: Any) -> None:
    asked: list[int] = []

    def refuse(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(number(args))
        if len(asked) > 5:
            raise Unavailable("not now")
        return {}

    client = await connect(refuse, retry=ONCE, concurrency=1)
    await send(client, 1)  # finds the path
    with pytest.raises(TransientError, match="not now"):
        await send(client, 100, width=10)
    assert asked == [0, 0, 1, 2, 3, 4]
    assert client.stats.in_flight == client.stats.waiting == 0


async def test_nor_is_it_sent_after_a_connection_that_broke(lane: Any, scripted: Any) -> None:
    peer = await scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n", close=True)
    options: dict[str, Any] = {"protocol": "short", "batch": BatchPolicy(enabled=False), "retry": ONCE}
    async with Client(peer.address, lane=lane, concurrency=1, **options) as client:
        await send(client, 1)
        with pytest.raises(TransientError):
            await send(client, 100, width=10)
        assert len(peer.requests) == 2
        assert client.stats.in_flight == client.stats.waiting == 0


async def test_cancelled_it_sends_nothing_more_and_leaves_nothing_in_flight(connect: Any) -> None:
    asked, leave = asyncio.Event(), asyncio.Event()
    calls = 0

    async def hang(args: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        if args.get("first"):
            return {}
        calls += 1
        asked.set()
        await leave.wait()
        return {}

    client = await connect(hang, concurrency=2)
    await client.call(PRE, {"first": True})
    task = asyncio.ensure_future(send(client, 100, width=10))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.stats.in_flight == client.stats.waiting == 0
    assert client.stats.outcomes[Outcome.CANCELLED] <= 2
    leave.set()
    assert await send(client, 3) == [EMPTY] * 3
    assert calls <= 2 + 3


async def test_a_client_that_is_closed_ends_what_is_in_flight(connect: Any) -> None:
    asked, leave = asyncio.Event(), asyncio.Event()

    async def hang(args: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await leave.wait()
        return {}

    client = await connect(hang, retry=ONCE)
    task = asyncio.ensure_future(send(client, 30))
    await asked.wait()
    await client.aclose()
    with pytest.raises(TransientError, match="closed"):
        await task
    leave.set()


async def test_a_mistake_of_ours_on_the_way_ends_it_at_once(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(args: dict[str, Any]) -> dict[str, Any]:
        if number(args) == 4:
            raise Unavailable("not now")
        return {}

    async def mistake(*_: Any, **__: Any) -> None:
        raise RuntimeError("a mistake of ours")

    client = await connect(refuse)
    await send(client, 1)
    monkeypatch.setattr(rpc.attempts, "retry", mistake)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        await send(client, 100)
    assert client.stats.in_flight == 0


async def test_an_observer_that_raises_ends_it_at_once(connect: Any) -> None:
    class Broken:
        def requested(self, request: Request) -> None:
            raise RuntimeError("a mistake in an observer")

    client = await connect(lambda args: {}, observer=Broken())
    with pytest.raises(RuntimeError, match="a mistake in an observer"):
        await send(client, 10)
    assert client.stats.in_flight == 0


async def test_an_observer_is_told_of_every_request_what_came_of_it(connect: Any) -> None:
    seen = Seen()
    replies: dict[int, Any] = {1: {"node": {"phase": "Odd"}}, 2: {"node": {"message": "m"}}}

    def answer(args: dict[str, Any]) -> dict[str, Any]:
        if number(args) == 3:
            raise Unavailable("not now")
        reply: dict[str, Any] = replies.get(number(args), {})
        return reply

    client = await connect(answer, retry=ONCE, observer=seen, name="p", concurrency=1)
    await send(client, 5, tolerant=True, width=1)
    await send(client, 1, Method.NODE_POST_EXECUTE)
    assert [(it.method, it.outcome) for it in seen.requests] == [
        (PRE, Outcome.ANSWERED),
        (PRE, Outcome.ILLEGAL),
        (PRE, Outcome.ANSWERED),
        (PRE, Outcome.BUSY),
        (PRE, Outcome.ANSWERED),
        (Method.NODE_POST_EXECUTE, Outcome.UNSUPPORTED),
    ]
    assert {it.plugin for it in seen.requests} == {"p"}
    assert {it.calls for it in seen.requests} == {1}
    assert seen.requests[2].reply == b'{"node":{"message":"m"}}'
    assert seen.requests[0].body == batch(1).calls[0].body
    assert all(it.travelled > 0 for it in seen.requests)


async def test_waiting_for_a_permit_and_travelling_are_told_apart(connect: Any) -> None:
    seen = Seen()
    client = await connect(lambda args: {}, observer=seen, concurrency=1)
    await send(client, 1)
    seen.requests.clear()
    await send(client, 8, width=8)
    waited = [it.waited for it in seen.requests]
    assert waited[0] == 0
    assert all(wait > 0 for wait in waited[1:])
    # One travels at a time, so what they travelled does not overlap, and what they waited does.
    elapsed = seen.requests[-1].ended - seen.requests[0].ended
    assert sum(it.travelled for it in seen.requests[1:]) <= elapsed
