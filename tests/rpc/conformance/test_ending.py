"""Calls that are cancelled wherever they wait, and lanes that are closed: nothing is left behind."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rpc.address import Address
from rpc.lanes import Broken
from tests.asking import post
from tests.rpc.conformance.peers import (
    GOOD,
    GOOD_REPLY,
    PATIENCE,
    Line,
    MakeLane,
    MakePeer,
    Peer,
    Script,
    outcome,
    serve_well,
)

MUCH = b" " * (32 << 20)


async def hang_before_reading(line: Line) -> None:
    line.pause_reading()
    line.reached.set()
    await hang(line)


async def hang_before_the_head(line: Line) -> None:
    await line.request()
    line.reached.set()
    await hang(line)


async def hang_in_the_head(line: Line) -> None:
    await line.request()
    await line.send(GOOD[:10])
    line.reached.set()
    await hang(line)


async def hang_in_the_body(line: Line) -> None:
    await line.request()
    await line.send(GOOD[:-1])
    line.reached.set()
    await hang(line)


async def hang_in_a_chunk(line: Line) -> None:
    await line.request()
    await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{")
    line.reached.set()
    await hang(line)


async def hang(line: Line) -> None:
    await line.unhang.wait()
    line.resume_reading()
    await line.gone()


HANGS = pytest.mark.parametrize(
    "hanging", [hang_before_reading, hang_before_the_head, hang_in_the_head, hang_in_the_body, hang_in_a_chunk]
)


async def cancel(call: asyncio.Task[object]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def reached(it: Peer, count: int = 1) -> None:
    await it.connected(count)
    await asyncio.wait_for(it.lines[count - 1].reached.wait(), PATIENCE)


@HANGS
async def test_a_cancelled_call_leaves_the_lane_clean(hanging: Script, lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(hanging, serve_well)
    under_test = lane(it.address)
    call = asyncio.ensure_future(outcome(post(under_test, "/", MUCH if hanging is hang_before_reading else b"{}")))
    await reached(it)
    await cancel(call)
    it.lines[0].unhang.set()
    await asyncio.wait_for(it.lines[0].closed.wait(), PATIENCE)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert len(it.lines) == 2


async def test_a_call_cancelled_while_it_connects_leaves_the_lane_clean(lane: MakeLane) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        under_test = lane(Address("http", *full.getsockname()))
        call = asyncio.ensure_future(outcome(post(under_test, "/", b"{}")))
        await asyncio.sleep(0.01)
        await cancel(call)
        await under_test.aclose()
        for filler in fillers:
            filler.close()


async def test_a_call_cancelled_while_it_queues_is_not_sent(lane: MakeLane, peer: MakePeer) -> None:
    bodies: list[bytes] = []

    async def script(line: Line) -> None:
        while True:
            bodies.append(await line.request())
            line.reached.set()
            await go_on.wait()
            await line.send(GOOD)

    go_on = asyncio.Event()
    it = await peer(script)
    under_test = lane(it.address)
    first = [asyncio.ensure_future(outcome(post(under_test, "/", b"first"))) for _ in range(6)]
    await reached(it, 6)
    queued = asyncio.ensure_future(outcome(post(under_test, "/", b"queued")))
    last = asyncio.ensure_future(outcome(post(under_test, "/", b"last")))
    await asyncio.sleep(0)
    await cancel(queued)
    go_on.set()
    assert set(await asyncio.gather(*first, last)) == {GOOD_REPLY}
    assert sorted(bodies) == [b"first"] * 6 + [b"last"]


async def test_a_storm_of_cancellations_leaves_nothing(lane: MakeLane, peer: MakePeer) -> None:
    async def one() -> object:
        return await outcome(post(under_test, "/", b"{}"))

    it = await peer(serve_well)
    under_test = lane(it.address)
    for round_ in range(20):
        calls = [asyncio.ensure_future(one()) for _ in range(30)]
        for _ in range(round_):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    await under_test.aclose()
    async with asyncio.timeout(PATIENCE):
        for line in it.lines:
            await line.closed.wait()


@HANGS
async def test_closing_the_lane_breaks_calls_in_flight(hanging: Script, lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(hanging)
    under_test = lane(it.address)
    call = asyncio.ensure_future(outcome(post(under_test, "/", MUCH if hanging is hang_before_reading else b"{}")))
    await reached(it)
    await under_test.aclose()
    assert await call is Broken
    it.lines[0].unhang.set()
    await asyncio.wait_for(it.lines[0].closed.wait(), PATIENCE)


async def test_closing_the_lane_breaks_calls_that_queue(lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(hang_before_the_head)
    under_test = lane(it.address)
    calls = [asyncio.ensure_future(outcome(post(under_test, "/", b"{}"))) for _ in range(20)]
    await reached(it)
    await under_test.aclose()
    assert set(await asyncio.gather(*calls)) == {Broken}
    for line in it.lines:
        line.unhang.set()


async def test_a_closed_lane_sends_nothing(lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    await under_test.aclose()
    await under_test.aclose()
    assert await outcome(post(under_test, "/", b"{}")) is Broken
    await asyncio.wait_for(it.lines[0].closed.wait(), PATIENCE)
    assert len(it.lines) == 1
