"""Lines: calls without a coroutine, told of what comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import pytest

from rpc import EMPTY, Client, FatalError, Line, Method, NodeReply, PluginError, Reply, RetryPolicy, TransientError
from rpc.plugin import Plugin, Unavailable

PRE = Method.NODE_PRE_EXECUTE


class Caller:
    """A receiver that notes what it is told, and can be awaited."""

    def __init__(self) -> None:
        self.told: list[Reply | PluginError | None] = []
        self._news = asyncio.Event()

    def replied(self, reply: Reply | None, now: float) -> None:
        self.told.append(reply)
        self._news.set()

    def failed(self, error: PluginError) -> None:
        self.told.append(error)
        self._news.set()

    async def next(self) -> Reply | PluginError | None:
        await self._news.wait()
        self._news.clear()
        return self.told[-1]


@pytest.fixture
async def connect() -> AsyncIterator[Any]:
    """``client, caller, line = await connect(handler, concurrency=1)``: a plugin of one method, and a line to it."""
    async with AsyncExitStack() as stack:

        async def start(handler: Any, **options: Any) -> tuple[Client, Caller, Line]:
            async def answer(args: dict[str, Any]) -> Any:
                reply = {} if args.get("first") else handler(args)
                return await reply if asyncio.iscoroutine(reply) else reply

            plugin = Plugin("peer")
            plugin.on("node.preExecute")(answer)
            address = await stack.enter_async_context(plugin.serve())
            client = await stack.enter_async_context(Client(address, lane="wire", timeout=30.0, **options))
            await client.exchange(PRE, b'{"first": true}')  # finds the spelling, which is not a line's to do
            caller = Caller()
            return client, caller, client.line(caller)

        yield start


async def test_a_reply_is_handed_over_typed_or_as_the_empty_one(connect: Any) -> None:
    replies = iter([{}, {"node": {"message": "hello"}}, {}])
    client, caller, line = await connect(lambda args: next(replies))
    line.send(PRE, b"{}", monotonic())
    assert await caller.next() is EMPTY
    line.send(PRE, b"{}", monotonic())
    reply = await caller.next()
    assert isinstance(reply, NodeReply)
    assert reply.node is not None
    assert reply.node.message == "hello"
    line.send(PRE, b"{}", monotonic())
    assert await caller.next() is EMPTY
    assert client.stats.in_flight == 0


async def test_a_method_that_is_not_there_is_told_as_none(connect: Any) -> None:
    client, caller, line = await connect(lambda args: {})
    line.send(Method.NODE_POST_EXECUTE, b"{}", monotonic())
    assert await caller.next() is None
    assert not client.supports(Method.NODE_POST_EXECUTE)


async def test_a_receiver_may_send_from_within(connect: Any) -> None:
    client, _, _ = await connect(lambda args: {})
    over = asyncio.get_running_loop().create_future()

    class Again(Caller):
        def replied(self, reply: Reply | None, now: float) -> None:
            self.told.append(reply)
            if len(self.told) < 500:
                line.send(PRE, b"{}", monotonic())
            else:
                over.set_result(None)

    again = Again()
    line = client.line(again)
    line.send(PRE, b"{}", monotonic())
    await over
    assert set(map(id, again.told)) == {id(EMPTY)}
    assert client.stats.attempts >= 500


async def test_a_transient_failure_is_retried_before_it_is_told(connect: Any) -> None:
    calls = 0

    def fail_once(args: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Unavailable("not now")
        return {}

    client, caller, line = await connect(fail_once, retry=RetryPolicy(attempts=3, backoff=0.001, max_backoff=0.001))
    for _ in range(2):
        line.send(PRE, b"{}", monotonic())
        assert await caller.next() is EMPTY
    assert client.stats.retries == 1


async def test_failures_are_told_by_whose_fault_they_are(connect: Any) -> None:
    answers = iter([Unavailable("not now"), {"node": {"phase": "Odd"}}])

    def answer(args: dict[str, Any]) -> Any:
        value = next(answers, {})
        if isinstance(value, Exception):
            raise value
        return value

    client, caller, line = await connect(answer, retry=RetryPolicy(attempts=1), protocol="short")
    line.send(PRE, b"{}", monotonic())
    assert isinstance(await caller.next(), TransientError)
    line.send(PRE, b"{}", monotonic())
    assert isinstance(await caller.next(), FatalError)
    line.send(PRE, b"{}", monotonic())
    assert await caller.next() is EMPTY
    assert client.stats.in_flight == 0


async def test_lines_wait_for_permits_in_turn(connect: Any) -> None:
    client, _, _ = await connect(lambda args: {}, concurrency=1, protocol="short")
    callers = [Caller() for _ in range(5)]
    lines = [client.line(caller) for caller in callers]
    for line in lines:
        line.send(PRE, b"{}", monotonic())
    assert client.stats.in_flight == 1
    for caller in callers:
        assert await caller.next() is EMPTY
    assert client.stats.in_flight == 0
    assert client.stats.waiting == 0


async def test_a_cancelled_line_hears_nothing_and_leaves_the_others_alone(connect: Any) -> None:
    asked, leave = asyncio.Event(), asyncio.Event()

    async def hang(args: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await leave.wait()
        return {}

    client, caller, line = await connect(hang, concurrency=1, protocol="short")
    other = Caller()
    waiting = client.line(other)
    third = Caller()
    last = client.line(third)
    line.send(PRE, b"{}", monotonic())
    waiting.send(PRE, b"{}", monotonic())
    last.send(PRE, b"{}", monotonic())
    await asked.wait()
    waiting.cancel()
    line.cancel()
    leave.set()
    assert await third.next() is EMPTY
    assert caller.told == other.told == []
    assert client.stats.in_flight == 0


async def test_a_closed_client_tells_those_who_wait(connect: Any) -> None:
    asked, leave = asyncio.Event(), asyncio.Event()

    async def hang(args: dict[str, Any]) -> dict[str, Any]:
        asked.set()
        await leave.wait()
        return {}

    client, caller, line = await connect(hang, protocol="short", retry=RetryPolicy(attempts=1))
    line.send(PRE, b"{}", monotonic())
    await asked.wait()
    await client.aclose()
    assert isinstance(await caller.next(), TransientError)
    leave.set()
