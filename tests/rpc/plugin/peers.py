"""A peer that writes what it likes to a plugin, and a plugin to write to."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from rpc.plugin import Plugin


class Peer:
    """A connection to a plugin."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(cls, address: str) -> Peer:
        return cls(*await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), limit=1 << 24))

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self, *, bodiless: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = b"" if bodiless else await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body

    async def rest(self) -> bytes:
        """What comes until the plugin closes."""
        return await self.reader.read()

    def reset(self) -> None:
        """Be gone, with no word of it that a plugin might take for an end of what is sent."""
        connected = self.writer.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def talk(address: str, *pieces: bytes) -> bytes:
    """All that is sent in answer, until the plugin closes."""
    peer = await Peer.of(address)
    await peer.send(*pieces)
    answer = await peer.rest()
    await peer.close()
    return answer


def request(path: str, body: bytes = b"{}", *headers: str, verb: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{verb} {path} HTTP/{version}", "Host: h", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def echo(**options: Any) -> Plugin:
    plugin = Plugin("echo", **options)

    @plugin.on("workflow.preOperate")
    def at_once(args: dict[str, Any]) -> dict[str, Any]:
        return {"workflow": args}

    @plugin.on("workflow.postOperate")
    async def later(args: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"workflow": args}

    return plugin
