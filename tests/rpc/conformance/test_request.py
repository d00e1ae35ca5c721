"""Rows "request" of the faults: what may go wrong while a request is being sent, and what is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import pytest

from rpc.address import Address
from rpc.lanes import BEWILDERED, Broken, Response, TimedOut
from tests.asking import post
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, PATIENCE, Line, MakeLane, MakePeer, outcome, serve_well
from tests.threads import serving
from tests.undisturbed import undisturbed

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


async def test_headers_of_one_request_go_with_that_one_alone(lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(serve_well)
    under_test = lane(it.address)
    for headers in ({"traceparent": "00-1-1-01", "tracestate": "a=b"}, None, {"traceparent": "00-1-2-00"}):
        assert await outcome(post(under_test, "/", b"{}", headers)) == GOOD_REPLY
        sent = it.lines[0].head.decode().lower().split("\r\n")
        assert [line for line in sent if line.startswith("trace")] == [f"{k}: {v}" for k, v in (headers or {}).items()]
    assert len(it.lines) == 1


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_reply_before_the_body_is_read_is_honoured(reused: bool, lane: MakeLane, peer: MakePeer) -> None:
    received = 0

    async def script(line: Line) -> None:
        nonlocal received
        if reused:
            await line.request()
            await line.send(GOOD)
        await line.reader.readuntil(b"\r\n\r\n")
        line.pause_reading()
        await line.send(GOOD)
        await asyncio.wait_for(delivered.wait(), PATIENCE)
        line.resume_reading()
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


@undisturbed
async def test_peer_that_never_reads_is_timed_out(lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        line.pause_reading()
        await asyncio.Event().wait()

    it = await peer(script)
    assert await outcome(post(lane(it.address, timeout=1.0), "/", MUCH)) is TimedOut


@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_reset_in_mid_write_is_broken(reused: bool, lane: MakeLane, peer: MakePeer) -> None:
    """On a reused connection it is replayed once, and here breaks again."""

    async def broken(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        line.pause_reading()
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
        line.pause_reading()
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

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        under_test = lane(Address("http", "127.0.0.1", server.server_port))
        outcomes = await asyncio.gather(*(outcome(post(under_test, "/", b" " * size)) for _ in range(20)))
        assert set(outcomes) == {Response(200, b"{}")}


@contextlib.contextmanager
def keeping_server(kind: type[HTTPServer], status: int, body: bytes) -> Iterator[Address]:
    """Python's own server, which keeps its connections and never reads a request's body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # its thread may outlive this test, and would tell another's
                super().handle()

        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(kind(("127.0.0.1", 0), Handler)) as server:
        yield Address("http", "127.0.0.1", server.server_port)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"a":"b c"}', b'{"a":"HTTP/0.9"}', b"[" + b"1," * 5000 + b"1]", b" " * 100_000]
)
@pytest.mark.parametrize(("status", "said"), [(404, b""), (200, b'{"node":{}}')], ids=["404", "200"])
@pytest.mark.parametrize("kind", [HTTPServer, ThreadingHTTPServer], ids=["one_thread", "threads"])
async def test_a_server_that_keeps_the_connection_and_never_reads_the_body_is_served(
    kind: type[HTTPServer], status: int, said: bytes, body: bytes, lane: MakeLane
) -> None:
    """It takes each body for the beginning of the next request, and that one for nonsense."""
    with keeping_server(kind, status, said) as address:
        under_test = lane(address)
        for _ in range(10):
            assert await outcome(post(under_test, "/", body)) == Response(status, said)
        if kind is ThreadingHTTPServer:
            outcomes = await asyncio.gather(*(outcome(post(under_test, "/", body)) for _ in range(10)))
            assert set(outcomes) == {Response(status, said)}
        await under_test.aclose()


@pytest.mark.parametrize("status", sorted(BEWILDERED))
async def test_a_server_that_means_it_is_asked_twice_and_believed(status: int, lane: MakeLane, peer: MakePeer) -> None:
    reply = b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status

    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        while True:
            await line.request()
            await line.send(reply)

    async def second(line: Line) -> None:
        while True:
            await line.request()
            await line.send(reply)

    it = await peer(script, second, serve_well)
    under_test = lane(it.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", b"{}")) == Response(status, b"no")
    assert len(it.lines) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 405, 409, 500, 503])
async def test_what_a_server_says_that_has_read_the_request_is_believed_at_once(
    status: int, lane: MakeLane, peer: MakePeer
) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.send(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)

    it = await peer(script)
    under_test = lane(it.address)
    for _ in range(4):
        assert await outcome(post(under_test, "/", b"{}")) == Response(status, b"no")
    assert len(it.lines) == 1
