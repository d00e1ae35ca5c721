"""Rows "request" of the faults: what may go wrong while a request is being sent, and what is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rpc.address import Address
from rpc.lanes import Broken, Lane, Response, TimedOut
from tests.asking import post
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, PATIENCE, Line, Peer, outcome, serve_well

MakeLane = Callable[..., Lane]
MakePeer = Callable[..., Awaitable[Peer]]
MUCH = b" " * (32 << 20)
"""More than the socket buffers of both ends can take."""


async def test_what_is_sent(lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(serve_well)
    under_test = lane(it.address, headers={"Authorization": "Bearer secret"})
    assert await outcome(post(under_test, "/api/v1/node.preExecute", b'{"node":{}}')) == GOOD_REPLY
    first, *lines = it.lines[0].head.decode().rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ") for line in lines)}
    assert first == "POST /api/v1/node.preExecute HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{it.address.port}"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == "11"
    assert headers["accept-encoding"] == "identity"
    assert headers["authorization"] == "Bearer secret"
    assert "expect" not in headers


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_reply_before_the_body_is_read_is_honoured(reused: bool, lane: MakeLane, peer: MakePeer) -> None:
    received = 0

    async def script(line: Line) -> None:
        nonlocal received
        if reused:
            await line.request()
            await line.send(GOOD)
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.transport.pause_reading()
        await line.send(GOOD)
        await asyncio.wait_for(delivered.wait(), PATIENCE)
        line.writer.transport.resume_reading()
        try:
            while data := await line.reader.read(1 << 20):
                received += len(data)
        except ConnectionError:
            pass
        line.closed.set()

    delivered = asyncio.Event()
    it = await peer(script, serve_well)
    under_test = lane(it.address)
    if reused:
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", MUCH)) == GOOD_REPLY
    delivered.set()
    await asyncio.wait_for(it.lines[0].closed.wait(), PATIENCE)
    assert received < len(MUCH)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert len(it.lines) == 2


async def test_peer_that_never_reads_is_timed_out(lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        line.writer.transport.pause_reading()
        await asyncio.Event().wait()

    it = await peer(script)
    assert await outcome(post(lane(it.address, timeout=0.2), "/", MUCH)) is TimedOut


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_reset_in_mid_write_is_broken(reused: bool, lane: MakeLane, peer: MakePeer) -> None:
    """On a reused connection it is replayed once, and here breaks again."""

    async def broken(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.transport.pause_reading()
        line.reset()

    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        await broken(line)

    it = await peer(script if reused else broken, broken)
    under_test = lane(it.address)
    if reused:
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", MUCH)) is Broken
    assert len(it.lines) == (2 if reused else 1)


async def test_reset_in_mid_write_behind_a_reply_is_delivered(lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.transport.pause_reading()
        line.writer.write(GOOD)
        line.reset()

    it = await peer(script)
    assert await outcome(post(lane(it.address), "/", MUCH)) == GOOD_REPLY


@pytest.mark.parametrize("size", [2, 10_000, 1_000_000])
async def test_http_server_that_never_reads_the_body_is_served(size: int, lane: MakeLane) -> None:
    """Python's own server closes with the body unread, so that its close sends a RST after the reply."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            under_test = lane(Address("http", "127.0.0.1", server.server_port))
            outcomes = await asyncio.gather(*(outcome(post(under_test, "/", b" " * size)) for _ in range(20)))
            assert set(outcomes) == {Response(200, b"{}")}
        finally:
            server.shutdown()
            thread.join()
