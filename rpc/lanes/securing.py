"""TLS on the wire lane: OpenSSL in memory (`ssl.SSLObject`), between the socket's transport and a connection.

Event loops have TLS of their own. It costs more, since it asks OpenSSL for more until that raises an exception, tells
late or not at all why a plugin ended a connection, and has no place for sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from rpc.lanes import LaneError, Unreachable, Untrusted
from rpc.lanes.addresses import SocketAddress
from rpc.lanes.connection import Connection
from rpc.lanes.dialing import address_of
from rpc.tls import Tls, foreign_protocol

_RECORD: Final = 16 * 1024
"""Bytes that one record carries at most (RFC 8446, 5.1)."""
_BUFFER: Final = 64 * 1024
"""Bytes that are read, and that are encrypted, at a time."""
_RESUMED_FOR: Final = 3600.0
"""Seconds for which a session may stand in for a look at the plugin's certificate."""
_MOST_SESSIONS: Final = 256


@dataclass
class _Kept:
    """What is known of a peer. ``session`` is None where none is to be offered, and neither another be taken."""

    session: ssl.SSLSession | None
    until: float
    resumed: bool = False


class Handshakes:
    """Those of one lane, by the same settings: ``tls``, or the system's authorities. ``host``: the address's.

    Sessions are kept by socket address, since those behind one name need not be able to read each other's tickets. They
    are gone with the settings that they were made with. One is taken after a full handshake, and offered again and
    again: Python copies it at each taking, which is more than resuming spares.
    """

    def __init__(self, tls: Tls | None, host: str, clock: Callable[[], float]) -> None:
        self.tls = tls
        settings = tls if tls is not None else Tls()
        self.failure = settings.failure
        self._context = settings.context
        self._name = settings.name(host)
        self._clock = clock
        self._sessions: dict[SocketAddress | None, _Kept] = {}
        self.buffer = memoryview(bytearray(_BUFFER))
        """For what comes on any of the connections, since it is read at once."""

    async def secure(self, connection: Connection, connected: socket.socket, until: float) -> bool:
        """Shake hands until that loop time, and let `connection` send and receive by TLS. Raises `LaneError`.

        False where a resumed session made it fail, which is not offered again: a new connection may do.
        """
        loop = asyncio.get_running_loop()
        peer = address_of(connected)
        kept = self._kept(peer)
        secured = Secured(self, connection, kept.session if kept is not None else None)
        try:
            async with asyncio.timeout_at(until):
                await loop.create_connection(lambda: secured, sock=connected)
                await secured.shaken
        except BaseException as error:
            secured.give_up()
            if isinstance(error, TimeoutError):
                raise Unreachable("TLS failed: no handshake within the connect timeout") from error
            if not isinstance(error, LaneError) or kept is None or kept.session is None:
                raise
            kept.session = None
            return False
        if kept is None:
            secured.on_reply = lambda spoken: self._keep(peer, spoken)
        elif kept.session is not None:
            self._judge(peer, kept, secured.spoken.session_reused)
        return True

    def open(self, session: ssl.SSLSession | None) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
        """One's end of TLS, what it is to read, and what it has to send."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        spoken = self._context.wrap_bio(incoming, outgoing, server_hostname=self._name, session=session)
        return spoken, incoming, outgoing

    def _kept(self, peer: SocketAddress | None) -> _Kept | None:
        kept = self._sessions.get(peer)
        if kept is not None and kept.until <= self._clock():
            del self._sessions[peer]
            return None
        return kept

    def _keep(self, peer: SocketAddress | None, spoken: ssl.SSLObject) -> None:
        """Called with a reply, since in TLS 1.3 tickets come after the handshake."""
        session, lifetime = spoken.session, _RESUMED_FOR
        if session is not None and (session.has_ticket or (session.id and spoken.version() != "TLSv1.3")):
            lifetime = min(session.ticket_lifetime_hint or session.timeout, lifetime)
        else:
            session = None
        if len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.clear()
        self._sessions[peer] = _Kept(session, self._clock() + lifetime)

    def _judge(self, peer: SocketAddress | None, kept: _Kept, resumed: bool) -> None:
        """A session was `resumed`, or not: by a server that has begun anew, or by one that never does."""
        if resumed:
            kept.resumed = True
        elif not kept.resumed:
            kept.session = None
        elif self._sessions.get(peer) is kept:
            del self._sessions[peer]


class Secured(asyncio.Transport, asyncio.BufferedProtocol):
    """The protocol of a socket's transport, and the transport of ``connection``.

    ``shaken`` is a future: done with the handshake, or failed with a `LaneError`.
    """

    def __init__(self, handshakes: Handshakes, connection: Connection, session: ssl.SSLSession | None) -> None:
        super().__init__()
        self._handshakes = handshakes
        self._connection = connection
        self._buffer = handshakes.buffer
        self.spoken, self._incoming, self._outgoing = handshakes.open(session)
        self.shaken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_reply: Callable[[ssl.SSLObject], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._unsent = memoryview(b"")
        self._speaks = self._ended = self._paused = False

    # The socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send = self._transport.write
        self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.take(self._buffer[:nbytes])

    def take(self, data: bytes | memoryview) -> None:
        """What was read from the socket."""
        self._incoming.write(data)
        if not self._speaks and not self._shake():
            return
        try:
            said = self.spoken.read(_RECORD)
        except ssl.SSLError as error:
            self._pass_on(b"", error)
            return
        # OpenSSL reads no further than to the end of a record; to ask it in vain would cost an exception.
        if said and not self._incoming.pending and self.on_reply is None:
            self._connection.data_received(said)
        else:
            self._pass_on(*self._rest(said))

    def _rest(self, said: bytes) -> tuple[bytes, ssl.SSLError | None]:
        """All that has come with what was `said`, and how it ended."""
        pieces = [said]
        try:
            while pieces[-1]:
                pieces.append(self.spoken.read(_RECORD))
        except ssl.SSLError as error:
            return b"".join(pieces), error
        return b"".join(pieces), None

    def _pass_on(self, said: bytes, end: ssl.SSLError | None) -> None:
        """Tell the connection what was `said`, and then of the `end`: None is a good one."""
        connection = self._connection
        if said:
            if self.on_reply is not None:
                self.on_reply(self.spoken)
                self.on_reply = None
            connection.data_received(said)
        self._flush()
        if end is None:
            self._ended = True
            connection.eof_received()
        elif not isinstance(end, ssl.SSLWantReadError):
            connection.fail_once_begun(Untrusted(f"TLS failed: {self._handshakes.failure(end)}"))

    def _shake(self) -> bool:
        """Whether the handshake is over, and was good."""
        if self.shaken.done():
            return False
        try:
            self.spoken.do_handshake()
            problem = foreign_protocol(self.spoken)
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            problem = self._handshakes.failure(error)
        self._flush()
        if problem is not None:
            self.shaken.set_exception(Untrusted(f"TLS failed: {problem}"))
            return False
        self._speaks = True
        self._connection.take = self.take
        self._connection.connection_made(self)
        self.shaken.set_result(None)
        return True

    def eof_received(self) -> None:
        """Whatever ends without TLS's own end may have been cut short by anybody; `connection_lost` tells."""

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._speaks:
            if not self.shaken.done():
                hung_up = exc if isinstance(exc, OSError) else ConnectionAbortedError()
                self.shaken.set_exception(Unreachable(f"cannot connect: {self._handshakes.failure(hung_up)}"))
            return
        if exc is None and not self._ended:
            exc = ConnectionAbortedError("closed without the end of TLS")
        self._connection.connection_lost(exc)
        del self._connection  # which refers to us, and need not wait for the garbage collector

    def pause_writing(self) -> None:
        self._paused = True
        if self._speaks:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()
        if self._speaks and not self._unsent and not self._paused:  # the rest may have filled the socket again
            self._connection.resume_writing()

    # The connection's side

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if len(data) > _RECORD:
            self._unsent = memoryview(data)
            self._go_on()
            return
        try:
            self.spoken.write(data)
        except ssl.SSLError:
            return  # it is over, and whoever writes is told of that by an event
        self._send(self._outgoing.read())

    def _go_on(self) -> None:
        """Encrypt little more than the socket takes: a large request would hold up the loop, and be there twice."""
        while self._unsent and not self._paused:
            try:
                sent = self.spoken.write(self._unsent[:_BUFFER])
            except ssl.SSLError:
                return
            self._unsent = self._unsent[sent:]
            self._send(self._outgoing.read())

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high, low)

    def abort(self) -> None:
        """Close at once, and not without taking leave: a server may forget a session that ended otherwise."""
        transport = self._transport
        if transport is None:
            return
        if self._speaks and not transport.is_closing():
            with contextlib.suppress(ssl.SSLError):  # it waits for the other's
                self.spoken.unwrap()
            self._flush()
        transport.abort()

    def give_up(self) -> None:
        """End what will not be awaited."""
        self.shaken.cancel()
        self.abort()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._send(self._outgoing.read())
