"""Functions that are not async: they may block, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from rpc import Client, FatalError
from rpc.plugin import Plugin
from rpc.plugin.threads import Threaded, Threads

PRE, POST = "workflow.preOperate", "workflow.postOperate"
SECONDS = 20.0
"""That a test may be held up before it fails."""


async def post(address: str, method: str, document: dict[str, Any], *, times: int = 1) -> list[Any]:
    """The replies to so many requests, each on a connection of its own."""

    async def one(session: aiohttp.ClientSession) -> Any:
        async with session.post(f"{address}/{method}", json=document) as answer:
            return await answer.json()

    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(*(one(session) for _ in range(times)))


async def test_functions_that_block_run_side_by_side() -> None:
    plugin = Plugin("p")
    all_here = threading.Barrier(8)

    @plugin.on(PRE)
    def meet(args: dict[str, Any]) -> None:
        all_here.wait(SECONDS)

    async with plugin.serve() as address:
        assert await post(address, PRE, {}, times=16) == [{}] * 16


async def test_calls_of_a_batch_that_block_run_side_by_side() -> None:
    plugin = Plugin("p")
    all_here = threading.Barrier(8)

    @plugin.on("node.preExecute")
    def meet(args: dict[str, Any]) -> dict[str, Any]:
        all_here.wait(SECONDS)
        return {"node": {"message": args["node"]["id"]}}

    batch = {
        "workflow": {},
        "templates": {"t": {}},
        "calls": [{"template": "t", "node": {"id": str(number)}} for number in range(8)],
    }
    async with plugin.serve() as address:
        (answer,) = await post(address, "node.preExecute.batch", batch)
    assert answer["replies"] == [{"node": {"message": str(number)}} for number in range(8)]


async def test_while_one_blocks_others_are_answered() -> None:
    plugin = Plugin("p")
    answered = threading.Event()

    @plugin.on(PRE)
    def block(args: dict[str, Any]) -> dict[str, Any]:
        return {"workflow": {"others": answered.wait(SECONDS)}}

    @plugin.on(POST)
    async def answer(args: dict[str, Any]) -> None:
        answered.set()

    async with plugin.serve() as address, Client(address, timeout=SECONDS) as client:
        replies = await asyncio.gather(client.call(PRE, {}), client.call(POST, {}))
    assert replies[0] == {"workflow": {"others": True}}


async def test_so_many_threads_and_no_more() -> None:
    plugin = Plugin("p", threads=2)
    lock, names = threading.Lock(), set()
    two_here = threading.Barrier(2)

    @plugin.on(PRE)
    def meet(args: dict[str, Any]) -> None:
        two_here.wait(SECONDS)
        with lock:
            names.add(threading.current_thread().name)

    async with plugin.serve() as address:
        await post(address, PRE, {}, times=12)
    assert names == {"p_0", "p_1"}
    with pytest.raises(ValueError, match="expected at least one thread, got threads=0"):
        Plugin("p", threads=0)


@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration(), RuntimeError(), asyncio.CancelledError()])
async def test_whatever_is_raised_in_a_thread_is_answered(error: BaseException) -> None:
    plugin = Plugin("p")

    @plugin.on(PRE)
    def fail(args: dict[str, Any]) -> None:
        raise error

    async with plugin.serve() as address, Client(address) as client:
        with pytest.raises(FatalError, match="the plugin failed"):
            await client.call(PRE, {})


async def test_an_awaitable_from_a_function_that_is_not_async_is_awaited_in_the_loop() -> None:
    plugin = Plugin("p")
    mine = threading.get_ident()

    async def look_up() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"workflow": {"in the loop": threading.get_ident() == mine}}

    plugin.on(PRE)(lambda args: look_up())
    async with plugin.serve() as address, Client(address) as client:
        assert await client.call(PRE, {}) == {"workflow": {"in the loop": True}}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, for who measures how long a function takes."""
    time = [0.0]
    monkeypatch.setattr("rpc.plugin.threads.perf_counter", lambda: time[0])
    return time


async def call(function: Callable[[Any], Any], given: Any, *, times: int) -> list[bool]:
    """Call it so often, one call after the other: whether each was made in a thread."""
    hops = []
    for _ in range(times):
        reply = function(given)
        hops.append(asyncio.iscoroutine(reply))
        if hops[-1]:
            await reply
    return hops


async def test_a_quick_function_is_called_in_the_loop_until_it_is_slow_there(now: list[float]) -> None:
    def take(seconds: float) -> None:
        now[0] += seconds

    threads = Threads("p", 1)
    function = Threaded(take, threads)
    assert await call(function, 0.0005, times=31) == [True] * 31
    assert await call(function, 0.002, times=1) == [True], "from the beginning, then"
    assert await call(function, 0.0005, times=33) == [True] * 32 + [False]
    assert await call(function, 0.004, times=2) == [False] * 2, "not quick, and not slow"
    assert await call(function, 0.006, times=1) == [False]
    assert await call(function, 0.0, times=65) == [True] * 64 + [False], "twice as often as before"
    threads.close()


async def test_a_function_runs_in_threads_and_in_the_loop_never_at_a_time() -> None:
    blocked = threading.Event()
    threads = Threads("p", 2)

    def block(really: bool) -> None:
        if really:
            blocked.wait(SECONDS)

    function = Threaded(block, threads)
    held = asyncio.ensure_future(function(True))
    await asyncio.sleep(0)
    assert await call(function, False, times=40) == [True] * 40
    blocked.set()
    await held
    assert await call(function, False, times=33) == [True] * 32 + [False]
    threads.close()
