"""Plugins that are written down to the byte: servers whose every answer a test decides, in a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import orjson


class Request(NamedTuple):
    """What came in; ``number`` counts those of the connection from 1, ``connection`` connections from 1."""

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


def response(status: int, body: bytes, *lines: str, length: int | None = None) -> bytes:
    """An HTTP/1.1 response; ``length`` is what it says of its body, where that is not so."""
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server that answers so."""
    started = threading.Event()
    address = ""
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def run() -> None:
        nonlocal address
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await _converse(reader, writer, answer, connections)
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
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, connection: int
) -> None:
    number = 0
    while True:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        number += 1
        answered = await answer(Request(lines[0].split(" ")[1], headers, body, number, connection))
        if answered is None:
            return
        writer.write(answered.removesuffix(HANG_UP))
        await writer.drain()
        if answered.endswith(HANG_UP):
            return
