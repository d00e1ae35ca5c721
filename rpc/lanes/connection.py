"""One connection of the wire lane: bytes of one call out, bytes of its reply in.

The last reply that came in one piece is remembered, and bytes equal to it, on a connection at a message boundary, mean
the same reply: parsing is a pure function, so it need not be done again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol, cast

from rpc.lanes import BEWILDERED, LaneError, Malformed, Response, Waiting
from rpc.lanes.reading import Reader

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux only


class Call(NamedTuple):
    """A call without a connection. ``deadline`` is what it would be, had it not had to wait for others."""

    waiting: Waiting
    request: bytes
    deadline: float


class Owner(Protocol):
    """What a connection needs of its lane: to be told where things stand, and to tell what happened."""

    max_body: int
    known_bytes: bytes
    known_reply: Response
    idle: list[Connection]
    waiting: deque[Call]

    def answered(self, connection: Connection, *, reusable: bool) -> None: ...
    def recognize(self, data: bytes) -> Response | None: ...
    def employ(self, connection: Connection) -> None: ...
    def replay(self, call: Call) -> None: ...
    def cut_off(self, connection: Connection) -> None: ...
    def drop(self, connection: Connection, *, silent: bool = False) -> None: ...
    def disconnected(self) -> None: ...


class Connection(asyncio.Protocol):
    """One connection, with at most one call on it.

    ``call`` is None while idle. ``reader`` is None at a message boundary, once two replies were given: the first tells
    that the peer has accepted us, the second that it keeps connections.
    """

    __slots__ = (
        "_is_tcp",
        "call",
        "deadline",
        "early",
        "gone",
        "lane",
        "reader",
        "request",
        "socket",
        "take",
        "transport",
        "uploading",
        "used",
        "write",
    )

    def __init__(self, lane: Owner, connected: socket.socket, deadline: float) -> None:
        self.lane = lane
        self.socket = connected
        self._is_tcp = connected.family != socket.AF_UNIX
        self.take: Callable[[bytes], None] | None = None
        """Who is given what was read from the socket itself, where that is not we."""
        self.call: Waiting | None = None
        self.reader: Reader | None = Reader(lane.max_body)
        self.early: list[Callable[[], None]] | None = []
        self.request = b""
        self.deadline = deadline
        self.used = False
        self.uploading = False
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.write = self.transport.write
        # With no room in the buffer, pause_writing means precisely that the request could not be sent at once.
        self.transport.set_write_buffer_limits(high=0)

    def begin(self) -> None:
        """From now on events are acted upon; those that came before are made up for.

        Called once the event loop has let go of the new transport: uvloop closes a file descriptor twice, the second
        time perhaps somebody else's, when a transport is closed from within `connection_made`.
        """
        early, self.early = self.early, None
        for event in early or ():
            event()

    def send(self, call: Call, deadline: float) -> None:
        self.call = call.waiting
        self.request = call.request
        self.deadline = deadline
        self.write(call.request)

    def data_received(self, data: bytes) -> None:
        call = self.call
        if call is not None and self.reader is None:
            lane = self.lane
            reply = lane.known_reply if data == lane.known_bytes else lane.recognize(data)
            if reply is not None:
                self.call = None
                if lane.waiting:
                    lane.employ(self)
                else:
                    lane.idle.append(self)
                try:
                    call.set_result(reply)
                except asyncio.InvalidStateError:
                    return  # cancelled; the connection is none the worse for it
                return
        self._read(data)

    def _read(self, data: bytes) -> None:
        if self.early is not None:
            self.early.append(partial(self._read, data))
            return
        call, reader = self.call, self.reader
        if call is None:
            self.lane.drop(self)  # nobody asked
            return
        if reader is None:
            reader = self.reader = Reader(self.lane.max_body)
        try:
            reply = reader.feed(data)
        except Malformed as error:
            self.fail(error)
            return
        if reply is None:
            self._acknowledge()
            return
        self.call = self.reader = None
        if self.used and reply.status in BEWILDERED:
            self.lane.drop(self, silent=True)
            if not call.done():
                self.lane.replay(Call(call, self.request, self.deadline))
            return
        # A reply to half a request is honoured, but the other half can be neither sent nor left out.
        reusable = reader.reusable and not self.uploading
        self.lane.answered(self, reusable=reusable)
        if not call.done():
            call.set_result(reply)

    def _acknowledge(self) -> None:
        """Acknowledge part of a reply at once, or a server that sends head and body by themselves may wait for it.

        (Nagle's algorithm there, delayed acknowledgment here: 40 ms a call with Python's ``http.server``.)
        """
        if self._is_tcp and _QUICKACK is not None:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def fail_once_begun(self, error: LaneError) -> None:
        if self.early is not None:
            self.early.append(partial(self.fail, error))
        else:
            self.fail(error)

    def fail(self, error: LaneError) -> None:
        call, self.call = self.call, None
        self.lane.drop(self)
        if call is not None and not call.done():
            call.set_exception(error)

    @property
    def silent(self) -> bool:
        """Whether nothing has come since the request."""
        return self.reader is None or self.reader.untouched

    def look_closely(self) -> None:
        """Take no short cut with the reply to come: there is something to decide then."""
        if self.reader is None:
            self.reader = Reader(self.lane.max_body)

    def pause_writing(self) -> None:
        self.uploading = True
        self.look_closely()

    def resume_writing(self) -> None:
        self.uploading = False

    def eof_received(self) -> None:
        if self.early is not None:
            self.early.append(self.eof_received)
            return
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.early is not None:
            self.early.append(partial(self.connection_lost, exc))
            return
        if exc is not None and self.call is not None and not self.gone:
            self._salvage()
        self._ended(exc)
        self.lane.disconnected()

    def _salvage(self) -> None:
        """A failed write ends the connection at once, though a reply may have come before the reset: read it now."""
        self.uploading = True
        take = self.take or self._read
        while self.call is not None:
            try:
                data = self.socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            take(data)

    def _ended(self, reset: Exception | None) -> None:
        if self.gone:
            return
        call, self.call = self.call, None
        reader = self.reader
        if call is not None:
            self.lane.cut_off(self)
        self.lane.drop(self, silent=self.silent)
        if call is None or call.done():
            return
        if reader is None or (reader.untouched and self.used):
            self.lane.replay(Call(call, self.request, self.deadline))
            return
        try:
            reply = reader.end(reset)
        except LaneError as error:
            call.set_exception(error)
        else:
            call.set_result(reply)
