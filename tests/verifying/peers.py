"""Plugins that are written down to the byte: servers whose every answer a test decides, in a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from rpc.plugin import Plugin


class Request(NamedTuple):
    """What came in; ``number`` counts those of the connection from 1, ``connection`` connections from 1.

    ``path`` is empty where that was no request.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    number: int
    connection: int

    @property
    def args(self) -> dict[str, Any]:
        decoded: dict[str, Any] = orjson.loads(self.body)
        return decoded


Answer = Callable[[Request], Awaitable[bytes | None]]
"""The bytes to write back, empty to leave it at that; None hangs up. What ends in `HANG_UP` is written, then closed."""

HANG_UP = b"\0hang up"
END = b"\0end"
"""In place of an answer: the server ends."""


def response(status: int, body: bytes, *lines: str, length: int | None = None) -> bytes:
    """An HTTP/1.1 response; ``length`` is what it says of its body, where that is not so."""
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


Read = Callable[[asyncio.StreamReader], Awaitable[tuple[str, dict[str, str], bytes]]]
"""The first line, the headers and the body of the next request. Raises `asyncio.IncompleteReadError` at the end."""


async def read_whole(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """As it should be done."""
    first, headers = _parse(await reader.readuntil(b"\r\n\r\n"))
    return first, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def read_one_packet(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """As is done by those who try it with small requests on their own machine."""
    packet = await reader.read(1 << 21)
    if not packet:
        raise asyncio.IncompleteReadError(b"", 1)
    head, _, body = packet.partition(b"\r\n\r\n")
    return *_parse(head + b"\r\n\r\n"), body


async def read_no_body(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """Leaves the body for whoever comes next."""
    return *_parse(await reader.readuntil(b"\r\n\r\n")), b""


def _parse(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("utf-8", "replace").removesuffix("\r\n\r\n").split("\r\n")
    return first, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@contextlib.contextmanager
def serving(answer: Answer, read: Read = read_whole, at_once: int = 1000) -> Iterator[str]:
    """The address of a server that answers so, on so many connections at a time."""
    started = threading.Event()
    address = ""
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def run() -> None:
        nonlocal address
        connections = 0
        free = asyncio.Semaphore(at_once)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                async with free:
                    if await _converse(reader, writer, answer, read, connections):
                        server.close()
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        await stopped.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # in which transports are closed

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    started.wait()
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, read: Read, connection: int
) -> bool:
    """Whether the server is to end after that."""
    number = 0
    while True:
        first, headers, body = await read(reader)
        number += 1
        path = first.split(" ")[1] if first.startswith("POST /") else ""
        answered = await answer(Request(path, headers, body, number, connection))
        if answered is None or answered == END:
            return answered == END
        writer.write(answered.removesuffix(HANG_UP))
        await writer.drain()
        if answered.endswith(HANG_UP):
            return False


@contextlib.contextmanager
def served(plugin: Plugin, unix: Path) -> Iterator[str]:
    """The address of a plugin on the SDK, at a unix socket."""
    started, loop, stopped = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        async with plugin.serve(unix=unix):
            started.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    started.wait()
    try:
        yield f"unix://{unix}"
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()
