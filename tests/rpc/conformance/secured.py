"""Peers that see what a client makes of TLS."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from rpc.address import Address

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LAST = REPLY.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


@dataclass
class Server:
    """Answers each request with ``reply``, and says of each connection whether it resumed a session."""

    address: Address
    reply: bytes = LAST
    resumed: list[bool] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    chosen: list[str | None] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    asked_by: list[tuple[str, str]] = field(default_factory=list)
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured: Any = writer.get_extra_info("ssl_object")
        self.resumed.append(secured.session_reused)
        self.chosen.append(secured.selected_alpn_protocol())
        certificate: Any = secured.getpeercert() or {"subject": ()}
        shown = next((value for part in certificate["subject"] for key, value in part if key == "commonName"), "")
        self.shown.append(shown)
        while head := await reader.read(65536):
            self.asked_by.append((head.split()[1].decode(), shown))
            self.asked.set()
            await self.answering.wait()
            writer.write(self.reply)
            if self.reply is LAST:
                return
        self.left.set()


def _offers_a_session(hello: bytes) -> bool:
    """Whether its last extension is pre_shared_key, number 41 (RFC 8446, 4.2.11), which ends with what is random."""
    return any(
        each.end() + 2 + int.from_bytes(hello[each.end() : each.end() + 2]) == len(hello)
        for each in re.finditer(rb"\x00\x29", hello)
    )


@dataclass
class Front:
    """Stands before servers, and sees whether clients offer a session of TLS 1.3. ``intolerant``: and hangs up then."""

    behind: Address
    intolerant: bool = False
    offered: list[bool] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        hello = await reader.readexactly(int.from_bytes(head[3:]))
        self.offered.append(_offers_a_session(hello))
        if self.intolerant and self.offered[-1]:
            return
        reading, writing = await asyncio.open_connection(self.behind.host, self.behind.port)
        writing.write(head + hello)
        await asyncio.gather(self._relay(reader, writing), self._relay(reading, writer))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()
