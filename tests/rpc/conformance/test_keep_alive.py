"""Rows "keep-alive" of the faults: connections that die between calls, and what must not be made of it."""

from __future__ import annotations

import asyncio

import pytest

from rpc.lanes import MAX_NEWCOMERS, Broken, Response
from tests.asking import post
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, PATIENCE, Line, MakeLane, MakePeer, outcome, serve_well

ENDINGS = pytest.mark.parametrize("ending", ["fin", "reset"])


def end(line: Line, ending: str) -> None:
    line.reset() if ending == "reset" else line.fin()


async def settle() -> None:
    """Let what was sent over the loopback arrive."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_connection_is_used_again(lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(serve_well)
    under_test = lane(it.address)
    for _ in range(10):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert len(it.lines) == 1


@ENDINGS
async def test_closed_before_the_write_takes_another_connection(ending: str, lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        end(line, ending)

    it = await peer(script, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    await settle()
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert len(it.lines) == 2


@ENDINGS
@pytest.mark.parametrize("replies", [1, 2, 3])
async def test_closed_after_the_write_is_replayed_once_on_a_new_connection(
    ending: str, replies: int, lane: MakeLane, peer: MakePeer
) -> None:
    async def script(line: Line) -> None:
        for _ in range(replies):
            await line.request()
            await line.send(GOOD)
        await line.request()
        end(line, ending)

    bodies: list[bytes] = []

    async def second(line: Line) -> None:
        bodies.append(await line.request())
        await line.send(GOOD)
        await serve_well(line)

    it = await peer(script, second)
    under_test = lane(it.address)
    for _ in range(replies):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", b'{"once":"more"}')) == GOOD_REPLY
    assert bodies == [b'{"once":"more"}']


@ENDINGS
async def test_it_is_replayed_only_once(ending: str, lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        await line.request()
        end(line, ending)

    async def second(line: Line) -> None:
        await line.request()
        end(line, ending)

    it = await peer(script, second, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", b"{}")) is Broken
    assert len(it.lines) == 2
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


@ENDINGS
async def test_many_stale_connections_are_each_replayed(ending: str, lane: MakeLane, peer: MakePeer) -> None:
    """As when a plugin is restarted: all connections are stale at the same time."""
    stale: list[Line] = []

    async def script(line: Line) -> None:
        if len(stale) == 20:
            await serve_well(line)
        stale.append(line)
        await line.request()
        if len(stale) == 20:
            all_there.set()
        await all_there.wait()
        await line.send(GOOD)
        await line.request()
        end(line, ending)

    all_there = asyncio.Event()
    it = await peer(script)
    under_test = lane(it.address)
    calls = [asyncio.ensure_future(outcome(post(under_test, "/", b"{}"))) for _ in range(6)]
    await asyncio.sleep(0.02)
    stale.extend(it.lines[:1] * (20 - len(stale)))
    all_there.set()
    assert set(await asyncio.gather(*calls)) == {GOOD_REPLY}
    again = await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(6)))
    assert set(again) == {GOOD_REPLY}


@ENDINGS
async def test_more_stale_connections_than_may_be_opened_at_a_time(ending: str, lane: MakeLane, peer: MakePeer) -> None:
    """As when a busy plugin is killed: each call is sent again, though nothing else happens meanwhile."""
    many = 3 * MAX_NEWCOMERS
    held, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def script(line: Line) -> None:
        if go_on.is_set():
            await serve_well(line)
        await line.request()
        await line.send(GOOD)
        await line.request()
        held.release()
        await go_on.wait()
        await line.send(GOOD)
        await line.request()
        end(line, ending)

    it = await peer(script)
    under_test = lane(it.address)
    calls = []
    for _ in range(many):  # a connection each
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
        calls.append(asyncio.ensure_future(outcome(post(under_test, "/", b"{}"))))
        await held.acquire()
    go_on.set()
    assert set(await asyncio.gather(*calls)) == {GOOD_REPLY}
    again = await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(many)))
    assert set(again) == {GOOD_REPLY}


@ENDINGS
async def test_closed_without_a_reply_on_a_fresh_connection_is_broken(
    ending: str, lane: MakeLane, peer: MakePeer
) -> None:
    async def script(line: Line) -> None:
        await line.request()
        end(line, ending)

    it = await peer(script, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) is Broken
    assert len(it.lines) == 1
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


@ENDINGS
async def test_closed_after_a_byte_of_the_reply_is_not_replayed(ending: str, lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        await line.request()
        await line.send(b"H")
        end(line, ending)

    it = await peer(script, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", b"{}")) is Broken
    assert len(it.lines) == 1


@ENDINGS
@pytest.mark.parametrize("together", [1, 4])
async def test_peer_that_closes_silently_after_each_reply_is_served_every_time(
    ending: str, together: int, lane: MakeLane, peer: MakePeer
) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        end(line, ending)

    it = await peer(script)
    under_test = lane(it.address)
    for _ in range(100 // together):
        outcomes = await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(together)))
        assert set(outcomes) == {GOOD_REPLY}


async def test_garbage_while_idle_closes(lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        await idle.wait()
        await line.send(GOOD.replace(b"true", b"evil"))
        await line.gone()

    idle = asyncio.Event()
    it = await peer(script, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    idle.set()
    await asyncio.wait_for(it.lines[0].closed.wait(), PATIENCE)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert len(it.lines) == 2


@pytest.mark.parametrize("framing", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
async def test_the_body_of_a_204_that_comes_late_is_no_part_of_the_next_reply(
    framing: bytes, lane: MakeLane, peer: MakePeer
) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 204 No Content\r\n" + framing + b"\r\n\r\n")
        await line.request()
        await line.send(b"{}" + GOOD)

    it = await peer(script, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) == Response(204, b"")
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


async def test_few_connections_serve_many_calls(lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(serve_well)
    under_test = lane(it.address)

    async def worker() -> None:
        for _ in range(50):
            assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY

    await asyncio.gather(*(worker() for _ in range(10)))
    assert len(it.lines) <= 20
