"""The wire lane's own ways, which the conformance suite has no words for. Its clock is the tests'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rpc.address import Address
from rpc.lanes import Exhausted, Response, TimedOut
from rpc.lanes.wire import WireLane
from tests.asking import post
from tests.threads import serving
from tests.undisturbed import undisturbed

EMPTY = Response(200, b"{}")
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def lane(clock: Clock) -> AsyncIterator[Callable[[Handler], Awaitable[WireLane]]]:
    """``await lane(handler)`` is a lane to a server that does `handler` with each connection."""
    servers: list[asyncio.Server] = []
    lanes: list[WireLane] = []
    tasks: list[asyncio.Task[None]] = []

    async def start(handler: Handler) -> WireLane:
        async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            try:
                await handler(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(follow, "127.0.0.1", 0)
        servers.append(server)
        address = Address("http", "127.0.0.1", server.sockets[0].getsockname()[1])
        lanes.append(WireLane(address, timeout=1.0, max_body=1000, headers={}, clock=clock))
        return lanes[-1]

    yield start
    for it in lanes:
        await it.aclose()
    for server in servers:
        server.close()
    await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n{}")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await request(reader)
        writer.write(REPLY)


async def test_an_unused_connection_is_let_go(lane: Callable[[Handler], Awaitable[WireLane]], clock: Clock) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(REPLY)
        assert await reader.read() == b""
        gone.set()

    gone = asyncio.Event()
    it = await lane(handler)
    assert await post(it, "/", b"{}") == EMPTY
    clock.now += 14
    await asyncio.sleep(0.06)  # a sweep
    assert not gone.is_set()
    clock.now += 2
    await gone.wait()


async def test_a_reply_that_came_while_the_loop_was_held_up_is_not_late(
    lane: Callable[[Handler], Awaitable[WireLane]], clock: Clock
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        clock.now += 5  # from here on nothing happens for five seconds, as far as the lane can tell
        writer.write(REPLY)
        await reader.read()

    it = await lane(handler)
    assert await post(it, "/", b"{}") == EMPTY


async def test_a_timeout_that_is_noticed_late_is_not_the_plugins_fault(
    lane: Callable[[Handler], Awaitable[WireLane]], clock: Clock
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        clock.now += 5
        await reader.read()

    it = await lane(handler)
    with pytest.raises(Exhausted, match=r"this process was 4\.\d\d s late"):
        await post(it, "/", b"{}")


async def test_a_timeout_that_is_noticed_in_time_is(
    lane: Callable[[Handler], Awaitable[WireLane]], clock: Clock
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        clock.now += 1.01
        await reader.read()

    it = await lane(handler)
    with pytest.raises(TimedOut):
        await post(it, "/", b"{}")


async def test_a_peer_that_closes_silently_is_asked_hardly_more_often_than_there_are_calls(
    lane: Callable[[Handler], Awaitable[WireLane]],
) -> None:
    asked = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await request(reader)
        asked += 1
        writer.write(REPLY)
        await request(reader)
        asked += 1  # and closes, as it would have done before had it been quicker

    it = await lane(handler)
    for _ in range(60):
        assert await post(it, "/", b"{}") == EMPTY
    assert asked <= 60 + 3


async def test_replies_alike_and_different_are_told_apart(
    lane: Callable[[Handler], Awaitable[WireLane]],
) -> None:
    bodies = [b"{}", b"{}", b"{}", b'{"node":{}}', b'{"node":{}}', b'{"nodf":{}}', b"{}", b"", b"{}"] * 3

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in bodies:
            await request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    it = await lane(handler)
    assert [(await post(it, "/", b"{}")).body for _ in bodies] == bodies


class Receiver:
    """Sends the next call from within the reply to the last."""

    def __init__(self, lane: WireLane, calls: int) -> None:
        self.lane = lane
        self.calls = calls
        self.got: list[Response | Exception] = []
        self.over = asyncio.Event()
        self.gone = False

    def done(self) -> bool:
        return self.gone

    def set_result(self, result: Response) -> None:
        self.got.append(result)
        self.send()

    def set_exception(self, exception: Exception) -> None:
        self.got.append(exception)
        self.send()

    def send(self) -> None:
        if len(self.got) < self.calls:
            self.lane.send("/", b"{}", self)
        else:
            self.over.set()


async def test_receivers_may_call_again_from_within_a_reply(lane: Callable[[Handler], Awaitable[WireLane]]) -> None:
    it = await lane(answer)
    receivers = [Receiver(it, 100) for _ in range(10)]
    for receiver in receivers:
        receiver.send()
    await asyncio.gather(*(receiver.over.wait() for receiver in receivers))
    assert all(receiver.got == [EMPTY] * 100 for receiver in receivers)


async def test_receivers_may_call_again_from_within_a_failure(
    lane: Callable[[Handler], Awaitable[WireLane]],
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"garbage")
        await reader.read()

    it = await lane(handler)
    receiver = Receiver(it, 20)
    receiver.send()
    await receiver.over.wait()
    assert len(receiver.got) == 20
    assert not any(isinstance(it, Response) for it in receiver.got)


async def test_the_connection_of_a_receiver_that_is_gone_is_closed(
    lane: Callable[[Handler], Awaitable[WireLane]],
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        asked.set()
        assert await reader.read() == b""
        closed.set()

    asked, closed = asyncio.Event(), asyncio.Event()
    it = await lane(handler)
    receiver = Receiver(it, 1)
    receiver.send()
    await asked.wait()
    receiver.gone = True
    await closed.wait()
    assert receiver.got == []


@pytest.fixture
def patient_server() -> Iterator[Address]:
    """Python's own server with one thread, and HTTP/1.1: as long as a connection is open, it serves no other."""

    class Once(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a connection was reset, in order to make way

    with serving(Quiet(("127.0.0.1", 0), Once)) as server:
        yield Address("http", "127.0.0.1", server.server_port)


@undisturbed
async def test_a_server_that_serves_one_connection_at_a_time_is_not_held_by_one(patient_server: Address) -> None:
    lane = WireLane(patient_server, timeout=1.0, max_body=1000, headers={})

    async def worker() -> None:
        for _ in range(25):
            assert await post(lane, "/", b"{}") == EMPTY

    await asyncio.gather(*(worker() for _ in range(4)))
    await lane.aclose()
