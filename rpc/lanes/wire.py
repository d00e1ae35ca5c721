"""The wire lane: HTTP/1.1 over TCP, with or without TLS, and unix sockets, at a few microseconds of our own per call.

What a call costs here: one `bytes` to send, one comparison of what comes back (`rpc.lanes.connection`), and a future
for those who want to await it. Which connection takes which call is decided in `rpc.lanes.pool`. This is the shell
around both: it opens, closes, and keeps time by one sweep over the calls in flight instead of a timer for each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from rpc.address import Address
from rpc.credentials import Credentials
from rpc.destinations import ANYWHERE, Destinations
from rpc.lanes import (
    BEWILDERED,
    Balance,
    Broken,
    Dark,
    Exhausted,
    LaneError,
    Response,
    TimedOut,
    Unreachable,
    Waiting,
)
from rpc.lanes.connecting import Connector
from rpc.lanes.connection import Call, Connection
from rpc.lanes.pool import Pool
from rpc.lanes.reading import Reader, read_at_once
from rpc.lanes.sweeping import Sweeper
from rpc.tls import Tls

_SWEEP: Final = 0.05
"""Seconds between two looks at the calls in flight, at most: how late a cancelled call's connection may be closed."""
_LINGER: Final = 15.0
"""Seconds for which an unused connection is kept."""
_PROMPT: Final = 1.0
"""A connection closed within so many seconds of its last request was closed because of the reply, not of the time."""
_PATIENCE: Final = 0.1
"""Seconds after which a new connection without a reply is suspected to be shut out by our old ones."""
_LATE: Final = 0.05
"""A deadline noticed so many seconds late says nothing of the plugin: it was this process that had no time."""
_HEADS: Final = 1024
"""Request heads kept per path, one for each length of body."""


class WireLane:
    """A `rpc.lanes.OwnLane`. ``tls`` is for an https address; without it the system's authorities are."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        max_body: int,
        headers: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        destinations: Destinations = ANYWHERE,
        balance: Balance = "first",
        tls: Tls | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._timeout = timeout
        self.max_body = max_body
        self._address = address
        self._fields = _fields(address, headers)
        self._heads: dict[str, dict[int, bytes]] = {}
        self._headers: Mapping[str, str] | None = None
        self._lines = b""
        self._connector = Connector(
            self, address, timeout=timeout, clock=clock, destinations=destinations, balance=balance, tls=tls
        )
        self._addresses = self._connector.dialer.addresses
        self._pool: Pool[Connection, Call] = Pool()
        self.idle = self._pool.idle
        self.waiting = self._pool.waiting
        self._steady = False
        self.known_bytes = b""
        self.known_reply = Response(204, b"")
        self._openings: set[asyncio.Task[None]] = set()
        self._period = min(_SWEEP, timeout)
        self._patience = min(_PATIENCE, timeout / 4)
        self._sweeper = Sweeper(self._sweep, period=self._period, clock=clock)
        self._progress = 0.0
        self._sockets = 0
        self._closed = False
        self._drained = asyncio.Event()

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None = None) -> None:
        """See `rpc.lanes.Lane.send`. The request is on its way when this returns, if a connection was idle."""
        size = len(body)
        try:
            head = self._heads[path][size]
        except KeyError:
            head = self._head(path, size)
        if headers is None:
            request = head + body
        else:
            if headers is not self._headers:  # those of a trace that is not recorded are the same for many
                self._headers, self._lines = headers, _lines(headers).encode("ascii") + b"\r\n"
            request = b"".join((head[:-2], self._lines, body))
        idle = self.idle
        if idle:
            connection = idle.pop()
            connection.call = waiting
            connection.request = request
            connection.deadline = self._clock() + self._timeout
            write = connection.write
            write(request)
        else:
            self._wait(Call(waiting, request, self._clock() + self._timeout))

    def renew(self, credentials: Credentials) -> None:
        """See `rpc.lanes.OwnLane.renew`. Calls that wait for a connection have their old ones."""
        self._fields = _fields(self._address, credentials.lines)
        self._heads.clear()
        if self._connector.renew(credentials.tls):
            self._retire(tuple(self._pool.connections))

    def _head(self, path: str, size: int) -> bytes:
        heads = self._heads.setdefault(path, {})
        if len(heads) >= _HEADS:
            heads.clear()
        head = heads[size] = f"POST {path} HTTP/1.1\r\n{self._fields}Content-Length: {size}\r\n\r\n".encode("ascii")
        return head

    def _wait(self, call: Call) -> None:
        if self._closed:
            call.waiting.set_exception(Broken("the client was closed"))
            return
        self.waiting.append(call)
        self._open_more()

    def replay(self, call: Call) -> None:
        """Send `call` once more: its connection was no good any more when the request came."""
        if self._closed:
            call.waiting.set_exception(Broken("the client was closed"))
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
        self._sweeper.start()

    async def _open(self) -> None:
        try:
            connection = await self._connector.connect()
        except LaneError as error:
            self._refused(error)
            return
        except BaseException:
            self._pool.refused()
            raise
        self._sockets += 1
        self._pool.opened(connection)
        self.employ(connection)
        connection.begin()

    def _refused(self, error: LaneError) -> None:
        self._pool.refused()
        # A server that has one thread and serves others on its connection has no time for another: calls wait for that.
        served = isinstance(error.__cause__, TimeoutError) and self._clock() < self._progress + self._timeout
        call = None if served and not self._pool.replays else self._next_call(new=True)
        if call is not None:
            call.waiting.set_exception(error)
        self._open_more()

    def disconnected(self) -> None:
        """A socket has been closed, on our side too."""
        self._sockets -= 1
        if not self._sockets:
            self._drained.set()

    def employ(self, connection: Connection) -> None:
        """`connection` is free: give it a call, or let it rest."""
        call = self._next_call(new=not connection.used)
        if call is not None:
            # Time spent in the queue is not the plugin's; time spent on this connection's making is.
            now = self._progress = self._clock()
            connection.send(call, now + self._timeout if connection.used else max(call.deadline, connection.deadline))
        elif self._pool.rest(connection):
            connection.used = True
        else:
            self.drop(connection)

    def _next_call(self, *, new: bool) -> Call | None:
        while (call := self._pool.next_call(new=new)) is not None and call.waiting.done():
            pass
        return call

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """`connection` has read a reply to its end."""
        connection.used = True
        self._addresses.answered(connection)
        kept = self._pool.answered(connection, reusable=reusable)
        self._reconsider()
        if not kept or connection in self._connector.retired:
            self.drop(connection)
            return
        if self._pool.connections[connection] < 2:
            connection.reader = Reader(self.max_body)
        self.employ(connection)
        if self._pool.replays:  # only a new connection will do for them, and now there may be room for one
            self._open_more()

    def recognize(self, data: bytes) -> Response | None:
        """The reply that `data` is, if it is a plain one and leaves nothing to decide; the next such may be known."""
        if not self._steady:
            return None
        reply = read_at_once(data, self.max_body)
        if reply is not None and reply.status in BEWILDERED:
            return None
        if reply is not None:
            self.known_bytes, self.known_reply = data, reply
        return reply

    def _reconsider(self) -> None:
        """Take short cuts only as long as a reply means nothing to the pool."""
        self._steady = self._pool.steady
        if not self._steady:
            self.known_bytes = b""

    def cut_off(self, connection: Connection) -> None:
        """The peer ended `connection` with a call on it: its process may be about to go, and new ones are no better."""
        self._addresses.failed(connection, self._clock())

    def drop(self, connection: Connection, *, silent: bool = False) -> None:
        """Close `connection` if it is still open, and forget it. `silent`: it was of no use for another call."""
        if connection.gone:
            return
        connection.gone = True
        self._connector.forget(connection)
        prompt = self._clock() - (connection.deadline - self._timeout) < _PROMPT
        self._pool.lost(connection, silent=silent and prompt)
        self._reconsider()
        connection.transport.abort()
        self._open_more()

    def _sweep(self, now: float) -> float | None:
        """Time out what is over its deadline, close what was cancelled, has lain idle for long, or should make way."""
        soonest = now + self._period
        long_ago = now + self._timeout - self._patience
        for connection in tuple(self._pool.connections):
            call = connection.call
            if call is None:
                connection.request = b""
            elif call.done():
                self.drop(connection)
            elif connection.deadline <= now:
                self._time_out(connection, now)
            else:
                soonest = min(soonest, connection.deadline)
                if not connection.used and connection.deadline < long_ago:
                    self._make_way(connection)
        for queue in (self._pool.replays, self.waiting):
            # As long as others are served, the wait is not the plugin's fault.
            while queue and (queue[0].waiting.done() or max(queue[0].deadline, self._progress + self._timeout) <= now):
                self._give_up(queue.popleft())
        while self.idle and self.idle[0].deadline - self._timeout + _LINGER < now:
            self.drop(self.idle[0])
        self._connector.dialer.keep_up()
        self._retire(self._addresses.superfluous(now))
        return soonest if self._pool.connections or self._openings else None

    def _make_way(self, newcomer: Connection) -> None:
        idle = self._pool.make_way(newcomer)
        if idle is not None:
            self.drop(idle)
        self._reconsider()

    def _time_out(self, connection: Connection, now: float) -> None:
        late = now - connection.deadline
        if late > _LATE:
            connection.fail(
                Exhausted(f"no complete reply within {self._timeout:g} s, but this process was {late:.2f} s late")
            )
            return
        error = TimedOut
        if connection.silent:
            idle = ((each, each.deadline - self._timeout) for each in self.idle)
            for stale in self._addresses.fell_silent(connection, connection.deadline - self._timeout, idle, now):
                self.drop(stale)
            error = Dark if self._addresses.is_left(connection) else TimedOut
        connection.fail(error(f"no complete reply within {self._timeout:g} s"))

    def _retire(self, connections: Iterable[Connection]) -> None:
        """Let no call more travel by these, some of which may not have been made yet."""
        for connection in connections:
            if connection.call is None and connection in self._pool.connections:
                self.drop(connection)
            else:
                self._connector.retired.add(connection)
                connection.look_closely()

    def _give_up(self, call: Call) -> None:
        if call.waiting.done():
            return
        if self._pool.connections:
            call.waiting.set_exception(TimedOut(f"every connection was busy, and none got free in {self._timeout:g} s"))
        else:
            call.waiting.set_exception(Unreachable(f"no connection within {self._timeout:g} s"))

    async def aclose(self) -> None:
        """See `rpc.lanes.Lane.aclose`."""
        self._closed = True
        self._sweeper.stop()
        self._connector.dialer.close()
        error = Broken("the client was closed")
        for queue in (self._pool.replays, self.waiting):
            while queue:
                call = queue.popleft().waiting
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
    return _lines(lines)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
