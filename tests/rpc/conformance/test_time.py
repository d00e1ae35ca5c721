"""Rows "time" of the faults. Timeouts are real and short, since time is what these are about."""

from __future__ import annotations

import asyncio

import pytest

from rpc.lanes import TimedOut
from tests.asking import post
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, PATIENCE, Line, MakeLane, MakePeer, outcome, serve_well
from tests.undisturbed import undisturbed

SHORT = 0.5


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize(
    "part",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", GOOD[:-1]],
    ids=["silence", "half_a_head", "head_then_stall", "interim_then_stall", "all_but_the_last_byte"],
)
@undisturbed
async def test_stall_is_timed_out_and_closed(part: bytes, reused: bool, lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        if reused:
            await line.request()
            await line.send(GOOD)
        await line.request()
        await line.send(part)
        await line.gone()

    it = await peer(script, serve_well)
    under_test = lane(it.address, timeout=SHORT)
    if reused:
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", b"{}")) is TimedOut
    await asyncio.wait_for(it.lines[0].closed.wait(), PATIENCE)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert len(it.lines) == 2


@undisturbed
async def test_one_byte_now_and_then_is_timed_out_all_the_same(lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        for at in range(len(GOOD)):
            await line.send(GOOD[at : at + 1])
            await asyncio.sleep(SHORT / 5)

    it = await peer(script)
    assert await outcome(post(lane(it.address, timeout=SHORT), "/", b"{}")) is TimedOut


@undisturbed
async def test_reply_after_its_timeout_is_dropped(lane: MakeLane, peer: MakePeer) -> None:
    late = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await late.wait()
        await line.send(GOOD.replace(b"true", b"late"))
        await line.gone()

    it = await peer(script, serve_well)
    under_test = lane(it.address, timeout=SHORT)
    assert await outcome(post(under_test, "/", b"{}")) is TimedOut
    late.set()
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert len(it.lines) == 2


@undisturbed
async def test_waiting_for_others_is_not_the_plugins_time(lane: MakeLane, peer: MakePeer) -> None:
    """More calls than connections, and together they take several timeouts: none of them is late."""

    async def script(line: Line) -> None:
        while True:
            await line.request()
            async with one_at_a_time:
                await asyncio.sleep(0.04)
            await line.send(GOOD)
            line.fin()

    one_at_a_time = asyncio.Lock()
    it = await peer(script)
    under_test = lane(it.address, timeout=0.8)
    outcomes = await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(40)))
    assert set(outcomes) == {GOOD_REPLY}
