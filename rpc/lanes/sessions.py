"""aiohttp's sessions as the aiohttp lane needs them: dialled as the wire lane's connections are, and watched."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Self

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from rpc.address import Address
from rpc.lanes import MAX_HEAD, MAX_HEADERS, MAX_NEWCOMERS, Unreachable, Untrusted
from rpc.lanes.dialing import Dialer
from rpc.lanes.watched import WatchedProtocol
from rpc.permits import Permits
from rpc.tls import Tls, foreign_protocol


class Stale(Exception):
    """A connection used before was no good: it died without a byte of reply, or the peer was `BEWILDERED`."""


class Silent(TimeoutError):
    """In all the time of a call nothing came on its connection, ``protocol``."""

    def __init__(self, protocol: WatchedProtocol) -> None:
        super().__init__()
        self.protocol = protocol


class Reply(aiohttp.ClientResponse):
    """One that knows its connection for longer than aiohttp does."""

    connection_protocol: WatchedProtocol

    async def start(self, connection: Connection) -> Self:
        protocol = connection.protocol
        assert isinstance(protocol, WatchedProtocol)
        self.connection_protocol = protocol
        earlier = protocol.replies
        try:
            await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if earlier and not protocol.heard:
                raise Stale from error
            raise
        except TimeoutError as error:
            if not protocol.heard:
                raise Silent(protocol) from error
            raise
        return self


class _Connector(aiohttp.BaseConnector):
    """Keeps the connections that ``connect`` makes."""

    def __init__(self, connect: Callable[[], Awaitable[WatchedProtocol]], *, force_close: bool) -> None:
        super().__init__(limit=0, force_close=force_close)
        self._connect = connect

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> WatchedProtocol:
        return await self._connect()

    def idle(self) -> Iterator[tuple[WatchedProtocol, float]]:
        """Connections with no call, and since when, as `time.monotonic` says."""
        for kept in self._conns.values():
            for protocol, since in kept:
                assert isinstance(protocol, WatchedProtocol)
                yield protocol, since


class Sessions:
    """Connections that are made with one and the same settings."""

    def __init__(
        self,
        address: Address,
        dialer: Dialer[WatchedProtocol],
        tls: Tls | None,
        timeout: aiohttp.ClientTimeout,
        headers: Mapping[str, str],
    ) -> None:
        self._dialer = dialer
        self.tls = tls
        settings = (tls or Tls()) if address.scheme == "https" else None
        self._context = settings.context if settings is not None else None
        self._host = settings.name(address.host) if settings is not None else None
        self._failure = settings.failure if settings is not None else str
        self._timeout = timeout
        self._headers = headers
        # As many calls as connections that have replied before, and the newcomers. Those who wait here are not being
        # timed: the plugin has not been asked yet.
        self.permits = Permits(MAX_NEWCOMERS)
        self._alert: ssl.SSLError | None = None
        self._connector = _Connector(self._connect, force_close=False)
        self.session = self._make_session(self._connector)
        self._replays: aiohttp.ClientSession | None = None

    @property
    def replays(self) -> aiohttp.ClientSession:
        """For calls whose connection was no good."""
        if self._replays is None:
            self._replays = self._make_session(_Connector(self._connect, force_close=True))
        return self._replays

    def _make_session(self, connector: _Connector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            response_class=Reply,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEADERS,
        )

    async def _connect(self) -> WatchedProtocol:
        while (protocol := await self._connect_once()) is None:
            pass
        return protocol

    async def _connect_once(self) -> WatchedProtocol | None:
        """None where it came to nothing, and another address is next."""
        loop = asyncio.get_running_loop()
        addresses = self._dialer.addresses
        connected, address = await self._dialer.dial()
        protocol = WatchedProtocol(loop, self.permits)
        protocol.on_end = self._ended
        addresses.opened(protocol, address)
        made = False
        try:
            if self._context is not None:
                transport, _ = await loop.create_connection(
                    lambda: protocol, sock=connected, ssl=self._context, server_hostname=self._host
                )
                if (problem := foreign_protocol(transport.get_extra_info("ssl_object"))) is not None:
                    transport.abort()
                    raise Untrusted(f"TLS failed: {problem}")
            else:
                connect = loop.create_unix_connection if connected.family == socket.AF_UNIX else loop.create_connection
                await connect(lambda: protocol, sock=connected)
            made = True
        except (OSError, asyncio.CancelledError) as error:  # the latter mostly at the connect timeout
            addresses.failed(protocol, monotonic())
            if isinstance(error, asyncio.CancelledError):
                raise
            if isinstance(error, ssl.SSLError):
                raise Untrusted(f"TLS failed: {self._failure(error)}") from error
            if not addresses.is_left(protocol):
                hung_up = self._context is not None and isinstance(error, ConnectionError) and error.errno is None
                raise Unreachable(f"cannot connect: {self._failure(error) if hung_up else error}") from error
        finally:
            if not made:
                addresses.lost(protocol)
        return protocol if made else None

    def _ended(self, protocol: WatchedProtocol, error: BaseException | None) -> None:
        if protocol.cut_off:  # its process may be about to go, and new connections are no better
            self._dialer.addresses.failed(protocol, monotonic())
        self._dialer.addresses.lost(protocol)
        if isinstance(error, ssl.SSLError):
            self._alert = error

    def fell_silent(self, protocol: WatchedProtocol) -> bool:
        """Nothing came on it of the call that it carried last. Whether the next connections are made elsewhere."""
        addresses = self._dialer.addresses
        for stale in addresses.fell_silent(protocol, protocol.sent, self._connector.idle(), monotonic()):
            stale.close()
        return addresses.is_left(protocol)

    def retire(self, connections: Iterable[WatchedProtocol]) -> None:
        """Let no call more travel by these."""
        idle = dict(self._connector.idle())
        for protocol in connections:
            if protocol in idle:
                protocol.close()
            else:
                protocol.force_close()

    async def blamed(self, error: BaseException) -> str | None:
        """What TLS made of it, if it was TLS: uvloop tells that only after a call has failed to be written for it."""
        blamed = _tls_error(error)
        if blamed is None and isinstance(error, aiohttp.ClientOSError) and self._context is not None:
            await asyncio.sleep(0)
            blamed, self._alert = self._alert, None
        return self._failure(blamed) if blamed is not None else None

    def send_instead(self, headers: Mapping[str, str]) -> None:
        """Send these instead of those so far."""
        self._headers = headers
        for session in (self.session, self._replays):
            if session is not None:
                session.headers.clear()
                session.headers.update(headers)

    async def aclose(self) -> None:
        for session in (self.session, self._replays):
            if session is not None:
                await session.close()


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """What TLS made of it, if it was TLS. (aiohttp's errors are TLS's, too, and say less; and one may cause itself.)"""
    for each in (error, error.__cause__, error.__cause__ and error.__cause__.__cause__):
        if isinstance(each, ssl.SSLError) and not isinstance(each, aiohttp.ClientError):
            return each
    return None
