"""The aiohttp lane: https and anything odd, and the reference that the wire lane is held against.

aiohttp is a browser-minded client, so most of this file takes liberties away from it: redirects, cookies, proxies from
the environment and decompression are off, and its connections are watched (`rpc.lanes.watched`).
"""

from __future__ import annotations

import asyncio
import functools
import io
import math
import socket
import ssl
from collections.abc import Mapping
from typing import Final, Self

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpVersion10, HttpVersion11
from yarl import URL

from rpc.address import Address
from rpc.credentials import Credentials
from rpc.destinations import ANYWHERE, Destinations
from rpc.lanes import (
    BEWILDERED,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_NEWCOMERS,
    OWN_FAULTS,
    Broken,
    Exhausted,
    Forbidden,
    LaneError,
    Malformed,
    Response,
    TimedOut,
    TooLarge,
    Unreachable,
    Untrusted,
    Waiting,
    is_whole,
)
from rpc.lanes.dialing import STAGGER, permitted
from rpc.lanes.sweeping import Sweeper
from rpc.lanes.watched import WatchedProtocol, has_blank_before_colon
from rpc.permits import Permits
from rpc.tls import Tls, failure

# A connect must fail a little before the whole call does, so that a blackholed plugin is told from a slow one.
_CONNECT_SHARE: Final = 0.9
# A timeout noticed so many seconds late says nothing of the plugin: its reply may be lying in the socket.
_LATE: Final = 0.05
# Seconds between two looks at who still waits: how late a cancelled call's connection may be closed.
_SWEEP: Final = 0.05
_LARGE: Final = 1 << 20


_FIELDS: Final = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


class _Stale(Exception):
    """A connection used before was no good: it died without a byte of reply, or the peer was `BEWILDERED`."""


class _Response(aiohttp.ClientResponse):
    """A reply that knows its connection for longer than aiohttp does."""

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
                raise _Stale from error
            raise
        return self


class _Resolver(aiohttp.ThreadedResolver):
    """Leaves out what may not be dialled; aiohttp dials what it is told here, and does not look it up again."""

    def __init__(self, destinations: Destinations) -> None:
        super().__init__()
        self._destinations = destinations

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        return permitted(self._destinations, host, found, lambda each: each["host"])


class _Connections:
    """Those that are made with one and the same settings."""

    def __init__(
        self,
        address: Address,
        destinations: Destinations,
        tls: Tls | None,
        timeout: aiohttp.ClientTimeout,
        headers: Mapping[str, str],
    ) -> None:
        self._address = address
        self._destinations = destinations
        self.tls = tls
        self.server_name = tls.server_name if tls is not None else None
        self._timeout = timeout
        self._headers = headers
        # A context of its own is read now, with SSL_CERT_FILE as it is now; aiohttp's was read at its import.
        self._context: ssl.SSLContext | bool = True
        if address.scheme == "https":
            self._context = tls.context if tls is not None else ssl.create_default_context()
        # As many calls as connections that have replied before, and the newcomers. Those who wait here are not being
        # timed: the plugin has not been asked yet.
        self.permits = Permits(MAX_NEWCOMERS)
        self._alert: ssl.SSLError | None = None
        self.session = self._make_session(force_close=False)
        self._replays: aiohttp.ClientSession | None = None

    @property
    def replays(self) -> aiohttp.ClientSession:
        """For calls whose connection was no good."""
        if self._replays is None:
            self._replays = self._make_session(force_close=True)
        return self._replays

    def _make_session(self, *, force_close: bool) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self._address.scheme == "unix":
            connector = aiohttp.UnixConnector(self._address.socket, limit=0, force_close=force_close)
        else:
            assert self._timeout.connect is not None
            stagger = min(STAGGER, self._timeout.connect / 4)  # aiohttp begins with another one each time
            connector = aiohttp.TCPConnector(
                limit=0,
                force_close=force_close,
                ssl=self._context,
                happy_eyeballs_delay=stagger,
                resolver=_Resolver(self._destinations),
            )
        connector._factory = functools.partial(self._make_protocol, asyncio.get_running_loop())
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            response_class=_Response,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEADERS,
        )

    def _make_protocol(self, loop: asyncio.AbstractEventLoop) -> ResponseHandler:
        protocol = WatchedProtocol(loop, self.permits)
        protocol.on_alert = self._hear
        return protocol

    def _hear(self, alert: ssl.SSLError) -> None:
        self._alert = alert

    async def blamed(self, error: BaseException) -> ssl.SSLError | None:
        """What TLS made of it, if it was TLS: uvloop tells that only after a call has failed to be written for it."""
        blamed = _tls_error(error)
        if blamed is None and isinstance(error, aiohttp.ClientOSError) and self.tls is not None:
            await asyncio.sleep(0)
            blamed, self._alert = self._alert, None
        return blamed

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


class AiohttpLane:
    """A `rpc.lanes.OwnLane` on aiohttp. ``tls`` is for an https address; without it the system's authorities are."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        max_body: int,
        headers: Mapping[str, str],
        destinations: Destinations = ANYWHERE,
        tls: Tls | None = None,
    ) -> None:
        self._destinations = destinations
        # What is an address already, aiohttp does not have resolved.
        self._refusal = destinations.refusal_unseen(address.host) if address.host else None
        self._address = address
        self._max_body = max_body
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._calls: dict[asyncio.Task[Response], Waiting] = {}
        self._sweeper = Sweeper(self._sweep, period=_SWEEP, clock=self._clock)
        self._urls: dict[str, URL] = {}
        self._closed = False
        self._connections = self._make_connections(headers, tls)
        self._retired: set[_Connections] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def _make_connections(self, headers: Mapping[str, str], tls: Tls | None) -> _Connections:
        timeout = aiohttp.ClientTimeout(
            total=self._timeout,
            connect=self._timeout * _CONNECT_SHARE,
            ceil_threshold=math.inf,  # aiohttp rounds timeouts over 5 s up to whole seconds, unless told not to
        )
        return _Connections(self._address, self._destinations, tls, timeout, {**_FIELDS, **headers})

    def renew(self, credentials: Credentials) -> None:
        """See `rpc.lanes.OwnLane.renew`."""
        old = self._connections
        if credentials.tls == old.tls:
            old.send_instead({**_FIELDS, **credentials.lines})
            return
        self._connections = self._make_connections(credentials.lines, credentials.tls)
        self._retired.add(old)
        self._let_go(old)

    def _let_go(self, connections: _Connections) -> None:
        """Close those that were retired once nothing is under way on them."""
        if connections in self._retired and not connections.permits.in_flight:
            self._retired.remove(connections)
            closing = self._loop.create_task(connections.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _admitted(self) -> _Connections:
        """Those to send a call on, with their permit."""
        while True:
            connections = self._connections
            permits = connections.permits
            if permits.in_flight < permits.limit:
                permits.in_flight += 1
                return connections
            await permits.wait()
            if connections is self._connections:
                return connections
            permits.release()
            self._let_go(connections)

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None = None) -> None:
        """See `rpc.lanes.Lane.send`."""
        task = self._loop.create_task(self._carry(path, body, waiting, headers))
        self._calls[task] = waiting
        task.add_done_callback(self._carried)
        self._sweeper.start()

    def _carried(self, task: asyncio.Task[Response]) -> None:
        waiting = self._calls.pop(task)
        error = Broken("the client was closed") if task.cancelled() else task.exception()
        if waiting.done():
            return
        if error is None:
            waiting.set_result(task.result())
        elif isinstance(error, Exception):
            waiting.set_exception(error)

    def _sweep(self, now: float) -> float | None:
        """Abandon the calls for which nobody waits any more."""
        for task, waiting in self._calls.items():
            if waiting.done():
                task.cancel()
        return now + _SWEEP if self._calls else None

    async def _carry(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None) -> Response:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._address.origin + path, encoded=True)
        connections = await self._admitted()
        start = self._clock()
        try:
            if waiting.done():
                raise asyncio.CancelledError  # as the sweep would have had it
            if self._closed:
                raise Broken("the client was closed")
            if self._refusal is not None:
                raise Forbidden(self._refusal)
            try:
                return await self._post(connections.session, connections.server_name, url, body, headers)
            except _Stale:
                return await self._post(connections.replays, connections.server_name, url, body, headers)
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError, RuntimeError) as error:
            late = self._clock() - start - self._timeout
            if isinstance(error, TimeoutError) and late > _LATE:
                raise Exhausted(
                    f"no reply within {self._timeout:g} s, but this process was {late:.2f} s late"
                ) from error
            raise self._translate(error, await connections.blamed(error), connections.tls) from error
        finally:
            connections.permits.release()
            if self._retired:
                self._let_go(connections)

    async def _post(
        self,
        session: aiohttp.ClientSession,
        server_name: str | None,
        url: URL,
        body: bytes,
        headers: Mapping[str, str] | None,
    ) -> Response:
        # Sent as a file, a large body is written piece by piece; aiohttp warns of one that is not.
        data = body if len(body) < _LARGE else io.BytesIO(body)
        async with session.post(
            url, data=data, headers=headers, allow_redirects=False, server_hostname=server_name
        ) as response:
            assert isinstance(response, _Response)
            protocol = response.connection_protocol
            try:
                _check_head(response)
                content = await self._read(response)
                # The end of a close-delimited body is the end of the connection, so a reset may have cut it short.
                cut = protocol.reset is not None and response.status == 200 and _is_close_delimited(response)
                if cut and not is_whole(content):
                    raise Broken(f"the connection was reset in the middle of the reply's body: {protocol.reset}")
                if response.status in BEWILDERED and protocol.replies > 1:
                    raise _Stale
            except (LaneError, _Stale):
                protocol.abort()
                raise
            return Response(response.status, content, response.headers.get("Retry-After"))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        size = 0 if response.status in (204, 304) else response.content_length or 0
        body = bytearray()  # no list of pieces, each of which may be one byte and an object
        if size <= self._max_body:
            try:
                while chunk := await response.content.readany():
                    body += chunk
                    size = len(body)
                    if size > self._max_body:
                        break
                if (broken := response.content.exception()) is not None:
                    raise broken
            except aiohttp.ClientPayloadError as error:
                raise Broken("the connection was closed in the middle of the reply's body") from error
        if size > self._max_body:
            raise TooLarge(f"the reply's body is over {self._max_body} bytes")
        return bytes(body)

    def _translate(self, error: BaseException, blamed: ssl.SSLError | None, tls: Tls | None) -> LaneError:
        """aiohttp's many exceptions as our two, by whose fault it was."""
        shown = tls is not None and "cert_file" in tls.files
        if blamed is not None:
            return Untrusted(f"TLS failed: {failure(blamed, shown=shown)}")
        match error:
            case aiohttp.ConnectionTimeoutError():
                return Unreachable("no connection within the connect timeout")
            case aiohttp.ClientConnectorError(os_error=ConnectionError() as hung_up) if hung_up.errno is None:
                return Unreachable(f"cannot connect: {failure(hung_up, shown=shown)}")
            case aiohttp.ClientConnectorError():
                kind = Exhausted if error.errno in OWN_FAULTS else Unreachable
                return kind(f"cannot connect: {error.os_error.strerror or error.os_error}")
            case TimeoutError():
                return TimedOut(f"no complete reply within {self._timeout:g} s")
            case aiohttp.ClientResponseError() | HttpProcessingError():
                return Malformed(f"not an HTTP reply we can accept: {error.message}")
            case aiohttp.ServerDisconnectedError():
                return Broken("the connection was closed before the reply")
            case _:
                return Broken(f"the connection broke before the reply: {error}")

    async def aclose(self) -> None:
        """See `rpc.lanes.Lane.aclose`."""
        self._closed = True
        self._sweeper.stop()
        self._sweep(0.0)
        for connections in (self._connections, *self._retired):
            await connections.aclose()
        await asyncio.gather(*self._calls, *self._closing, return_exceptions=True)


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """What TLS made of it, if it was TLS. (aiohttp's errors are TLS's, too, and say less; and one may cause itself.)"""
    for each in (error, error.__cause__, error.__cause__ and error.__cause__.__cause__):
        if isinstance(each, ssl.SSLError) and not isinstance(each, aiohttp.ClientError):
            return each
    return None


def _check_head(response: _Response) -> None:
    """Refuse what aiohttp lets pass. Raises `Malformed`."""
    if response.version not in (HttpVersion10, HttpVersion11):
        raise Malformed(f"the reply is in HTTP/{'.'.join(map(str, response.version or ()))}")
    if response.status < 100:
        raise Malformed(f"the reply has the status {response.status:03d}")
    if response.status == 101:
        raise Malformed("the plugin switched protocols, and was not asked to")
    if sum(len(name) + len(value) + 4 for name, value in response.raw_headers) > MAX_HEAD:
        raise Malformed(f"the reply's head is over {MAX_HEAD} bytes")
    if has_blank_before_colon(response.raw_headers):
        raise Malformed("a header of the reply has a blank before its colon")
    codings = [coding.strip(" \t").lower() for coding in response.headers.getall("Transfer-Encoding", ())]
    if codings not in ([], ["chunked"]) or (codings and not response.connection_protocol.chunked):
        raise Malformed(f"the reply has a Transfer-Encoding of {', '.join(codings)[:64]!r}, only chunked is known")
    for encoding in response.headers.getall("Content-Encoding", ()):
        if encoding.strip(" \t").lower() != "identity":
            raise Malformed(f"the reply has Content-Encoding {encoding[:64]!r}, and none was asked for")


def _is_close_delimited(response: aiohttp.ClientResponse) -> bool:
    return response.content_length is None and "Transfer-Encoding" not in response.headers
