"""The wire lane: HTTP/1.1 over plain TCP and unix sockets, at a few microseconds of our own per call.

What a call costs here: one future, one `bytes` to send, one comparison of what comes back. The last reply that came in
one piece is remembered, and bytes equal to it, on a connection at a message boundary, mean the same reply: parsing is a
pure function, so it need not be done again. All else goes through `rpc.lanes.reading`. Which connection takes which
call is decided in `rpc.lanes.pool`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, cast

from rpc.address import Address
from rpc.lanes import Broken, LaneError, Malformed, Response, TimedOut, Unreachable
from rpc.lanes.dialing import Dialer
from rpc.lanes.pool import Pool
from rpc.lanes.reading import Reader

_CONNECT_SHARE: Final = 0.9
"""Of the timeout: a connect must fail a little before the call does, so that a blackhole is told from a slow plugin."""
_SWEEP: Final = 0.05
"""Seconds between two looks at the calls in flight, at most: how late a cancelled call's connection may be closed."""
_LINGER: Final = 15.0
"""Seconds for which an unused connection is kept."""
_PROMPT: Final = 1.0
"""A connection closed within so many seconds of its last request was closed because of the reply, not of the time."""
_HEADS: Final = 1024
"""Request heads kept per path, one for each length of body."""

_Future = asyncio.Future[Response]


class _Call(NamedTuple):
    """A call without a connection."""

    future: _Future
    request: bytes
    deadline: float


class _Connection(asyncio.Protocol):
    """One connection, with at most one call on it.

    ``call`` is None while idle. ``reader`` is None at a message boundary, once two replies were given: the first tells
    that the peer has accepted us, the second that it keeps connections.
    """

    __slots__ = (
        "call",
        "deadline",
        "gone",
        "lane",
        "reader",
        "request",
        "socket",
        "transport",
        "uploading",
        "used",
        "write",
    )

    def __init__(self, lane: WireLane, connected: socket.socket) -> None:
        self.lane = lane
        self.socket = connected
        self.transport: asyncio.Transport | None = None
        self.call: _Future | None = None
        self.reader: Reader | None = Reader(lane.max_body)
        self.request = b""
        self.deadline = 0.0
        self.used = False
        self.uploading = False
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = stream = cast(asyncio.Transport, transport)
        self.write = stream.write
        # With no room in the buffer, pause_writing means precisely that the request could not be sent at once.
        stream.set_write_buffer_limits(high=0)
        self.lane.connected(self)

    def send(self, call: _Call) -> None:
        self.call, self.request, self.deadline = call
        self.write(self.request)

    def data_received(self, data: bytes) -> None:
        lane = self.lane
        if data == lane.known_bytes and self.reader is None:
            call = self.call
            if call is not None:
                self.call = None
                if lane.waiting:
                    lane.employ(self)
                else:
                    lane.idle.append(self)
                try:
                    call.set_result(lane.known_reply)
                except asyncio.InvalidStateError:
                    return  # cancelled; the connection is none the worse for it
                return
        self._read(data)

    def _read(self, data: bytes) -> None:
        call, reader = self.call, self.reader
        if call is None:
            self.lane.drop(self)  # nobody asked
            return
        if reader is None:
            reader = self.reader = Reader(self.lane.max_body)
        in_one_piece = reader.untouched
        try:
            reply = reader.feed(data)
        except Malformed as error:
            self.fail(error)
            return
        if reply is None:
            return
        self.call = self.reader = None
        # A reply to half a request is honoured, but the other half can be neither sent nor left out.
        reusable = reader.reusable and not self.uploading
        self.lane.answered(self, reusable=reusable)
        if in_one_piece and reusable:
            self.lane.remember(data, reply)
        if not call.done():
            call.set_result(reply)

    def fail(self, error: LaneError) -> None:
        call, self.call = self.call, None
        self.lane.drop(self)
        if call is not None and not call.done():
            call.set_exception(error)

    def pause_writing(self) -> None:
        self.uploading = True
        if self.reader is None:
            self.reader = Reader(self.lane.max_body)

    def resume_writing(self) -> None:
        self.uploading = False

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.call is not None:
            self._salvage()
        self._ended(exc)
        self.lane.disconnected()

    def _salvage(self) -> None:
        """A failed write ends the connection at once, though a reply may have come before the reset: read it now."""
        self.uploading = True
        while self.call is not None:
            try:
                data = self.socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            self._read(data)

    def _ended(self, reset: Exception | None) -> None:
        if self.gone:
            return
        call, self.call = self.call, None
        reader = self.reader
        silent = reader is None or reader.untouched
        self.lane.drop(self, silent=silent)
        if call is None or call.done():
            return
        if silent and self.used:
            self.lane.replay(_Call(call, self.request, self.deadline))
            return
        try:
            call.set_result((reader or Reader(0)).end(reset))
        except LaneError as error:
            call.set_exception(error)


class WireLane:
    """A `rpc.lanes.Lane` for ``http`` and ``unix`` addresses."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        max_body: int,
        headers: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._create_future: Callable[[], _Future] = self._loop.create_future
        self._clock = clock
        self._timeout = timeout
        self.max_body = max_body
        self._fields = _fields(address, headers)
        self._heads: dict[str, dict[int, bytes]] = {}
        self._dialer = Dialer(address, timeout=timeout * _CONNECT_SHARE, clock=clock)
        self._pool: Pool[_Connection, _Call] = Pool()
        self.idle = self._pool.idle
        self.waiting = self._pool.waiting
        self.known_bytes = b""
        self.known_reply = Response(204, b"")
        self._openings: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0
        self._postponed = False
        self._sockets = 0
        self._closed = False
        self._drained = asyncio.Event()

    def post(self, path: str, body: bytes) -> asyncio.Future[Response]:
        """See `rpc.lanes.Lane.post`. The request is on its way when this returns, if a connection was idle."""
        future = self._create_future()
        size = len(body)
        try:
            request = self._heads[path][size] + body
        except KeyError:
            request = self._head(path, size) + body
        deadline = self._clock() + self._timeout
        if self.idle:
            connection = self.idle.pop()
            connection.call = future
            connection.request = request
            connection.deadline = deadline
            connection.write(request)
        else:
            self._wait(_Call(future, request, deadline))
        return future

    def _head(self, path: str, size: int) -> bytes:
        heads = self._heads.setdefault(path, {})
        if len(heads) >= _HEADS:
            heads.clear()
        head = heads[size] = f"POST {path} HTTP/1.1\r\n{self._fields}Content-Length: {size}\r\n\r\n".encode("ascii")
        return head

    def _wait(self, call: _Call) -> None:
        if self._closed:
            call.future.set_exception(Broken("the client was closed"))
            return
        self.waiting.append(call)
        self._open_more()

    def replay(self, call: _Call) -> None:
        """Send `call` once more: its connection had been closed before the request came."""
        if self._closed:
            call.future.set_exception(Broken("the client was closed"))
            return
        self._pool.replays.append(call)
        self._open_more()

    def _open_more(self) -> None:
        if self._closed:
            return
        for _ in range(self._pool.to_open()):
            task = self._loop.create_task(self._open())
            self._openings.add(task)
            task.add_done_callback(self._openings.discard)
        if self._sweeper is None:
            self._schedule_sweep(self._clock(), _SWEEP)

    async def _open(self) -> None:
        try:
            connected = await self._dialer.dial()
        except LaneError as error:
            self._refused(error)
            return
        except BaseException:
            self._pool.refused()
            raise
        connection = _Connection(self, connected)
        family, loop = connected.family, self._loop
        connect = loop.create_unix_connection if family == socket.AF_UNIX else loop.create_connection
        try:
            await connect(lambda: connection, sock=connected)
        except BaseException as error:
            connected.close()
            if connection.transport is None:
                if not isinstance(error, OSError):
                    self._pool.refused()
                    raise
                self._refused(Unreachable(f"the connection broke as it was made: {error}"))

    def _refused(self, error: LaneError) -> None:
        self._pool.refused()
        call = self._next_call(new=True)
        if call is not None:
            call.future.set_exception(error)
        self._open_more()

    def connected(self, connection: _Connection) -> None:
        """A connection has come up."""
        self._sockets += 1
        self._pool.opened(connection)
        self.employ(connection)

    def disconnected(self) -> None:
        """A socket has been closed, on our side too."""
        self._sockets -= 1
        if not self._sockets:
            self._drained.set()

    def employ(self, connection: _Connection) -> None:
        """`connection` is free: give it a call, or let it rest."""
        call = self._next_call(new=not connection.used)
        if call is not None:
            connection.send(call)
        elif self._pool.rest(connection):
            connection.used = True
        else:
            self.drop(connection)

    def _next_call(self, *, new: bool) -> _Call | None:
        while (call := self._pool.next_call(new=new)) is not None and call.future.done():
            pass
        return call

    def answered(self, connection: _Connection, *, reusable: bool) -> None:
        """`connection` has read a reply to its end."""
        connection.used = True
        if not self._pool.answered(connection, reusable=reusable):
            self.drop(connection)
            return
        if self._pool.connections[connection] < 2:
            connection.reader = Reader(self.max_body)
        self.employ(connection)

    def remember(self, data: bytes, reply: Response) -> None:
        """Bytes equal to `data` will be taken for `reply` from now on."""
        if self._pool.keeps:
            self.known_bytes, self.known_reply = data, reply

    def drop(self, connection: _Connection, *, silent: bool = False) -> None:
        """Close `connection` if it is still open, and forget it. `silent`: the peer closed it, without a word."""
        if connection.gone:
            return
        connection.gone = True
        prompt = self._clock() - (connection.deadline - self._timeout) < _PROMPT
        self._pool.lost(connection, silent=silent and prompt)
        if not self._pool.keeps:
            self.known_bytes = b""
        if connection.transport is not None:
            connection.transport.abort()
        self._open_more()

    def _schedule_sweep(self, now: float, delay: float) -> None:
        self._sweep_due = now + delay
        self._sweeper = self._loop.call_later(delay, self._sweep)

    def _sweep(self) -> None:
        """Time out what is over its deadline, close what was cancelled or has lain idle for long."""
        now = self._clock()
        if now > self._sweep_due + _SWEEP and not self._postponed:
            # Somebody held up the loop. What arrived meanwhile must be read before it may be called late.
            self._postponed = True
            self._schedule_sweep(now, 0.001)
            return
        self._postponed = False
        self._sweeper = None
        soonest = now + _SWEEP
        for connection in tuple(self._pool.connections):
            call = connection.call
            if call is None:
                continue
            if call.done():
                self.drop(connection)
            elif connection.deadline <= now:
                connection.fail(TimedOut(f"no complete reply within {self._timeout:g} s"))
            else:
                soonest = min(soonest, connection.deadline)
        for queue in (self._pool.replays, self.waiting):
            while queue and (queue[0].future.done() or queue[0].deadline <= now):
                call = queue.popleft().future
                if not call.done():
                    call.set_exception(TimedOut(f"no connection was free within {self._timeout:g} s"))
            if queue:
                soonest = min(soonest, queue[0].deadline)
        while self.idle and self.idle[0].deadline - self._timeout + _LINGER < now:
            self.drop(self.idle[0])
        if self._sweeper is None and (self._pool.connections or self._openings):
            self._schedule_sweep(now, soonest - now)

    async def aclose(self) -> None:
        """See `rpc.lanes.Lane.aclose`."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._dialer.close()
        error = Broken("the client was closed")
        for queue in (self._pool.replays, self.waiting):
            while queue:
                call = queue.popleft().future
                if not call.done():
                    call.set_exception(error)
        for connection in tuple(self._pool.connections):
            connection.fail(error)
        for opening in self._openings:
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)
        while self._sockets:
            self._drained.clear()
            await self._drained.wait()


def _fields(address: Address, headers: Mapping[str, str]) -> str:
    """The header lines that all requests share."""
    lines = {
        "Host": address.authority,
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        **headers,
    }
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items())
