"""Memory stays bounded, whatever a peer sends and however little it reads."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rpc import Client, FatalError, Method, Outcome, RetryPolicy
from rpc.lanes import MAX_NEWCOMERS, Broken, Malformed, Response
from tests.asking import post
from tests.rpc.conformance.peers import Line, MakeLane, MakePeer, outcome, serve_well
from tests.undisturbed import undisturbed

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"
SLACK = 3 * MIB
"""Buffers of sockets and event loops, on both ends."""


@pytest.fixture
def traced(settled: None) -> Iterator[Callable[[], tuple[int, int]]]:
    """Bytes allocated since the test began: those that are still, and the most that were at a time."""
    tracemalloc.start()

    def read() -> tuple[int, int]:
        gc.collect()
        return tracemalloc.get_traced_memory()

    yield read
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"Content-Length: 1000000000\r\n\r\n", b" " * 65536),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b" " * 65536),
        (OK + b"X: ", b"y" * 65536),
        (OK, b"X: y\r\n" * 10_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2500),
    ],
    ids=["long_body", "endless_chunks", "endless_close_delimited", "endless_header", "endless_headers", "endless_1xx"],
)
async def test_too_long_a_reply_is_given_up_at_its_limit(
    head: bytes, piece: bytes, lane: MakeLane, peer: MakePeer, traced: Callable[[], tuple[int, int]]
) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(head)
        while True:
            await line.send(piece)

    limit = MIB
    it = await peer(script)
    came = await outcome(post(lane(it.address, max_body=limit), "/", b"{}"))
    assert isinstance(came, type)
    assert issubclass(came, Malformed)
    await it.lines[0].closed.wait()
    _, most = traced()
    assert most < 3 * limit + SLACK


async def test_a_reply_in_tiny_chunks_costs_what_it_says(
    lane: MakeLane, peer: MakePeer, traced: Callable[[], tuple[int, int]]
) -> None:
    size = MIB // 8  # kept whole, its 64 thousand chunks would take 6 MiB and more
    chunks = b"2\r\n  \r\n" * 4096

    async def script(line: Line) -> None:
        await line.request()
        await line.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // 8192):
            await line.send(chunks)
        await line.send(b"0\r\n\r\n")
        await line.gone()

    it = await peer(script)
    under_test = lane(it.address, max_body=size)
    assert await outcome(post(under_test, "/", b"{}")) == Response(200, b" " * size)
    _, most = traced()
    assert most < 4 * size + SLACK


@undisturbed
async def test_a_peer_that_never_reads_costs_what_is_in_flight_and_that_is_let_go(
    lane: MakeLane, peer: MakePeer, traced: Callable[[], tuple[int, int]]
) -> None:
    async def script(line: Line) -> None:
        line.pause_reading()
        await asyncio.Event().wait()

    it = await peer(script)
    under_test = lane(it.address, timeout=0.3)
    body = b" " * (8 * MIB)
    before, _ = traced()
    calls = [asyncio.ensure_future(outcome(post(under_test, "/", body))) for _ in range(MAX_NEWCOMERS)]
    for came in await asyncio.gather(*calls):
        assert isinstance(came, type)
        assert issubclass(came, Broken)
    del calls
    after, most = traced()
    # asyncio's own transport keeps what it could not send at once as a copy, while the lane has the whole.
    assert most - before < 2 * MAX_NEWCOMERS * len(body) + SLACK
    # Not one of the bodies; the peer has half a MiB of each at most, read before it paused.
    assert after - before < len(body)


@pytest.mark.parametrize("lane_name", ["aiohttp", "wire"])
async def test_a_body_over_4_mib_is_fatal_by_default(lane_name: Any, peer: MakePeer) -> None:
    opening, end = b'{"node": {"message": "', b'"}}'
    fits = opening + b"x" * (4 * MIB - len(opening) - len(end)) + end

    async def script(line: Line) -> None:
        for body in (fits, fits + b" "):
            await line.request()
            await line.send(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await line.gone()

    it = await peer(script, serve_well)
    address = f"http://127.0.0.1:{it.address.port}"
    async with Client(address, lane=lane_name, protocol="short", timeout=10, retry=RetryPolicy(attempts=1)) as client:
        await client.call(Method.NODE_PRE_EXECUTE, {})
        with pytest.raises(FatalError, match=str(4 * MIB)):
            await client.call(Method.NODE_PRE_EXECUTE, {})
        await it.lines[0].closed.wait()
        assert client.stats.outcomes[Outcome.MALFORMED] == 1
