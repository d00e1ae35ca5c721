"""Both lanes without a network: a transport that goes nowhere, and replies put straight into the connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, cast

from rpc.address import Address
from rpc.lanes import Broken, Lane, Malformed, Response
from rpc.lanes.aiohttp import AiohttpLane
from rpc.lanes.connection import Connection
from rpc.lanes.watched import WatchedProtocol
from rpc.lanes.wire import WireLane
from tests.asking import post
from tests.fuzz.generate import Ending

ADDRESS = Address("http", "plugin.test", 80)
OPTIONS: dict[str, Any] = {"timeout": 1e6, "max_body": 500, "headers": {}}
_TURNS = 60
"""Turns of the loop within which a lane must have made up its mind."""


class Hung(Exception):
    """A call did not end although its connection did."""


@dataclass(frozen=True)
class Verdict:
    """What became of a call, and whether its connection was kept for the next."""

    outcome: Response | str
    kept: bool


class _NoSocket:
    """As much of a socket as the lanes ask for."""

    family = socket.AF_UNIX

    def fileno(self) -> int:
        """None that there is."""
        return -1

    def recv(self, size: int) -> bytes:
        raise OSError

    def getsockname(self) -> str:
        return ""

    def getpeername(self) -> str:
        return "plugin"


class Transport(asyncio.Transport):
    """Takes requests, which all end in ``{}``, and tells the feed which connection waits for a reply."""

    def __init__(self, feed: Feed, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": _NoSocket()})
        self._feed = feed
        self.protocol = protocol
        self.closing = False

    def write(self, data: Any) -> None:
        if bytes(data[-2:]) == b"{}":
            self._feed.asked = self

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def end(self, ending: Ending) -> None:
        """The peer goes away."""
        if self.closing:
            return
        if ending == "fin":
            self.protocol.eof_received()
            self.close()
        else:
            self.closing = True
            self.protocol.connection_lost(ConnectionResetError(104, "Connection reset by peer"))

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Feed:
    """One lane, and the reply that its next call gets."""

    def __init__(self) -> None:
        self.asked: Transport | None = None
        self.lane: Lane = self._make()

    def _make(self) -> Lane:
        raise NotImplementedError

    async def play(self, pieces: list[bytes], ending: Ending) -> Verdict:
        """Make a call, answer it, and see. Raises `Hung`."""
        call = asyncio.ensure_future(cast(Awaitable[Response], post(self.lane, "/", b"{}")))
        transport: Transport | None = None
        for _ in range(_TURNS):
            if self.asked is not None:  # again, where the call is replayed
                transport, self.asked = self.asked, None
                await self._answer(transport, pieces, ending, call)
            if call.done() and transport is not None:
                break
            await asyncio.sleep(0)
        else:
            call.cancel()
            raise Hung
        try:
            outcome: Response | str = call.result()
        except Malformed:
            outcome = "malformed"
        except Broken:
            outcome = "broken"
        await asyncio.sleep(0)
        return Verdict(outcome, not transport.closing)

    async def _answer(
        self, transport: Transport, pieces: list[bytes], ending: Ending, call: asyncio.Future[Response]
    ) -> None:
        for piece in pieces:
            if transport.closing:
                return
            transport.protocol.data_received(piece)
            if len(pieces) > 1:
                await asyncio.sleep(0)
        for _ in range(8):
            if call.done():
                return
            await asyncio.sleep(0)
        transport.end(ending)


class WireFeed(Feed):
    def _make(self) -> Lane:
        lane = WireLane(ADDRESS, **OPTIONS)

        async def connect() -> Connection:
            connection = Connection(lane, cast(socket.socket, _NoSocket()), 0.0)
            connection.connection_made(Transport(self, connection))
            return connection

        connector: Any = lane._connector
        connector.connect = connect
        return lane


class AiohttpFeed(Feed):
    def _make(self) -> Lane:
        feed = self

        class Fed(AiohttpLane):
            def _make_sessions(self, headers: Any, tls: Any) -> Any:
                sessions = super()._make_sessions(headers, tls)
                for session in (sessions.session, sessions.replays):
                    feed_into(sessions, session.connector)
                return sessions

        def feed_into(sessions: Any, connector: Any) -> None:
            async def connect() -> WatchedProtocol:
                protocol = WatchedProtocol(asyncio.get_running_loop(), sessions.permits)
                protocol.connection_made(Transport(feed, protocol))
                return protocol

            connector._connect = connect

        return Fed(ADDRESS, **OPTIONS)
