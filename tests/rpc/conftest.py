"""Plugins to call: scripted raw sockets, and the proposal's own ``http.server`` plugin."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from aiohttp import web

from rpc import Client
from tests.rpc.batching import Answer, Batching


@pytest.fixture(scope="session", autouse=True)
def _patient() -> Iterator[None]:
    """Clients that are not told how long they are to wait have all the time that a busy machine needs."""
    defaults = {**(Client.__init__.__kwdefaults__ or {}), "timeout": 60.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client.__init__, "__kwdefaults__", defaults)
        yield


class Scripted:
    """A server that answers each request with the next of some canned replies, and with the last one for ever."""

    def __init__(self, *replies: bytes, close: bool = False) -> None:
        self.replies = list(replies)
        self.close = close
        self.connections = 0
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.address = ""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def paths(self) -> Counter[str]:
        return Counter(path for path, _, _ in self.requests)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append((lines[0].split(" ")[1], headers, body))
                writer.write(self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])
                await writer.drain()
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
            self._tasks.discard(task)

    def drop(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def http() -> Callable[..., bytes]:
    """``http("200 OK", body, "Name: value", ...)`` is one HTTP/1.1 reply with Content-Length."""
    return _http


@pytest.fixture
async def scripted() -> AsyncIterator[Callable[..., Awaitable[Scripted]]]:
    """``await scripted(reply, ...)`` starts a `Scripted` server."""
    started: list[tuple[asyncio.Server, Scripted]] = []

    async def start(*replies: bytes, close: bool = False) -> Scripted:
        peer = Scripted(*replies, close=close)
        server = await asyncio.start_server(peer.handle, "127.0.0.1", 0, limit=1 << 26)
        peer.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.append((server, peer))
        return peer

    yield start
    for server, peer in started:
        server.close()
        await peer.stop()
        await server.wait_closed()


class ProposalPlugin:
    """The plugin of the proposal: ``http.server``, one thread, HTTP/1.0, the request's body never read."""

    def __init__(self, implemented: str) -> None:
        self.asked: Counter[str] = Counter()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked[self.path] += 1
                if self.path == implemented:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(json.dumps({}).encode())
                else:
                    self.send_response(404)
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def proposal_plugin() -> Iterator[Callable[[str], ProposalPlugin]]:
    """``proposal_plugin("/workflow.preOperate")`` starts one in a thread."""
    started: list[tuple[ProposalPlugin, threading.Thread]] = []

    def start(implemented: str) -> ProposalPlugin:
        plugin = ProposalPlugin(implemented)
        thread = threading.Thread(target=plugin.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((plugin, thread))
        return plugin

    yield start
    for plugin, thread in started:
        plugin.server.shutdown()
        thread.join()
        plugin.server.server_close()


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Each test ends with the tasks it began with."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"leaked: {left}"


@pytest.fixture
def brief_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connect may take a tenth of a call's time: on a busy machine nine tenths and all of it end at one moment."""
    monkeypatch.setattr("rpc.lanes.dialing._CONNECT_SHARE", 0.1)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[Answer], Awaitable[Batching]]]:
    """Starts a server that answers batches as the test says. That a busy machine takes its time makes none smaller."""
    monkeypatch.setattr("rpc.sizing._GOOD_TIME", 60.0)
    async with AsyncExitStack() as stack:

        async def start(answer: Answer) -> Batching:
            peer = Batching(answer)
            app = web.Application(client_max_size=1 << 26)
            app.router.add_post("/{path:.*}", peer.handle)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            peer.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return peer

        yield start
