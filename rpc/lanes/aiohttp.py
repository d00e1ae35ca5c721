"""The aiohttp lane: the reference that the wire lane is held against.

aiohttp is a browser-minded client, so most of this file takes liberties away from it: redirects, cookies, proxies from
the environment and decompression are off, and its connections are watched (`rpc.lanes.watched`).
"""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Mapping
from time import monotonic
from typing import Final

import aiohttp
from aiohttp.http import HttpProcessingError, HttpVersion10, HttpVersion11
from yarl import URL

from rpc.address import Address
from rpc.credentials import Credentials
from rpc.destinations import ANYWHERE, Destinations
from rpc.lanes import (
    BEWILDERED,
    MAX_HEAD,
    Balance,
    Broken,
    Dark,
    Exhausted,
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
from rpc.lanes.dialing import Dialer, connect_timeout
from rpc.lanes.sessions import Reply, Sessions, Silent, Stale
from rpc.lanes.sweeping import Sweeper
from rpc.lanes.watched import WatchedProtocol, has_blank_before_colon
from rpc.tls import Tls

# A timeout noticed so many seconds late says nothing of the plugin: its reply may be lying in the socket.
_LATE: Final = 0.05
# Seconds between two looks at who still waits: how late a cancelled call's connection may be closed.
_SWEEP: Final = 0.05
_LARGE: Final = 1 << 20


_FIELDS: Final = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


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
        balance: Balance = "first",
        tls: Tls | None = None,
    ) -> None:
        self._dialer: Dialer[WatchedProtocol] = Dialer(
            address, timeout=connect_timeout(timeout), clock=monotonic, destinations=destinations, balance=balance
        )
        self._address = address
        self._max_body = max_body
        self._timeout = timeout
        self._too_late = f"no complete reply within {timeout:g} s"
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._calls: dict[asyncio.Task[Response], Waiting] = {}
        self._sweeper = Sweeper(self._sweep, period=_SWEEP, clock=self._clock)
        self._urls: dict[str, URL] = {}
        self._closed = False
        self._sessions = self._make_sessions(headers, tls)
        self._retired: set[Sessions] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def _make_sessions(self, headers: Mapping[str, str], tls: Tls | None) -> Sessions:
        timeout = aiohttp.ClientTimeout(
            total=self._timeout,
            connect=connect_timeout(self._timeout),
            ceil_threshold=math.inf,  # aiohttp rounds timeouts over 5 s up to whole seconds, unless told not to
        )
        return Sessions(self._address, self._dialer, tls, timeout, {**_FIELDS, **headers})

    def renew(self, credentials: Credentials) -> None:
        """See `rpc.lanes.OwnLane.renew`."""
        old = self._sessions
        if credentials.tls == old.tls:
            old.send_instead({**_FIELDS, **credentials.lines})
            return
        self._sessions = self._make_sessions(credentials.lines, credentials.tls)
        self._retired.add(old)
        self._let_go(old)

    def _let_go(self, sessions: Sessions) -> None:
        """Close those that were retired once nothing is under way on them."""
        if sessions in self._retired and not sessions.permits.in_flight:
            self._retired.remove(sessions)
            closing = self._loop.create_task(sessions.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _admitted(self) -> Sessions:
        """Those to send a call on, with their permit."""
        while True:
            sessions = self._sessions
            permits = sessions.permits
            if permits.in_flight < permits.limit:
                permits.in_flight += 1
                return sessions
            await permits.wait()
            if sessions is self._sessions:
                return sessions
            permits.release()
            self._let_go(sessions)

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
        """Abandon the calls for which nobody waits any more, and let go of connections that should make way."""
        self._dialer.keep_up()
        superfluous = self._dialer.addresses.superfluous(monotonic())
        for sessions in (self._sessions, *self._retired):
            sessions.retire(superfluous)
        self._abandon()
        return now + _SWEEP if self._calls else None

    def _abandon(self) -> None:
        for task, waiting in self._calls.items():
            if waiting.done():
                task.cancel()

    async def _carry(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None) -> Response:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._address.origin + path, encoded=True)
        sessions = await self._admitted()
        start = self._clock()
        try:
            if waiting.done():
                raise asyncio.CancelledError  # as the sweep would have had it
            if self._closed:
                raise Broken("the client was closed")
            try:
                return await self._post(sessions.session, url, body, headers)
            except Stale:
                return await self._post(sessions.replays, url, body, headers)
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError, RuntimeError) as error:
            late = self._clock() - start - self._timeout
            if isinstance(error, TimeoutError) and late > _LATE:
                raise Exhausted(
                    f"no reply within {self._timeout:g} s, but this process was {late:.2f} s late"
                ) from error
            if isinstance(error, Silent) and sessions.fell_silent(error.protocol):
                raise Dark(self._too_late) from error
            blamed = await sessions.blamed(error)
            raise (Untrusted(f"TLS failed: {blamed}") if blamed else self._translate(error)) from error
        finally:
            sessions.permits.release()
            if self._retired:
                self._let_go(sessions)

    async def _post(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        body: bytes,
        headers: Mapping[str, str] | None,
    ) -> Response:
        # Sent as a file, a large body is written piece by piece; aiohttp warns of one that is not.
        data = body if len(body) < _LARGE else io.BytesIO(body)
        async with session.post(url, data=data, headers=headers, allow_redirects=False) as response:
            assert isinstance(response, Reply)
            protocol = response.connection_protocol
            self._dialer.addresses.answered(protocol)
            try:
                _check_head(response)
                content = await self._read(response)
                # The end of a close-delimited body is the end of the connection, so a reset may have cut it short.
                cut = protocol.reset is not None and response.status == 200 and _is_close_delimited(response)
                if cut and not is_whole(content):
                    raise Broken(f"the connection was reset in the middle of the reply's body: {protocol.reset}")
                if response.status in BEWILDERED and protocol.replies > 1:
                    raise Stale
            except (LaneError, Stale):
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

    def _translate(self, error: BaseException) -> LaneError:
        """aiohttp's many exceptions as our two, by whose fault it was."""
        match error:
            case aiohttp.ConnectionTimeoutError():
                return Unreachable("no connection within the connect timeout")
            case TimeoutError():
                return TimedOut(self._too_late)
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
        self._dialer.close()
        self._abandon()
        for sessions in (self._sessions, *self._retired):
            await sessions.aclose()
        await asyncio.gather(*self._calls, *self._closing, return_exceptions=True)


def _check_head(response: Reply) -> None:
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
