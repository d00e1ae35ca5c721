"""The aiohttp lane: https and anything odd, and the reference that the wire lane is held against.

aiohttp is a browser-minded client, so most of this file takes liberties away from it: redirects, cookies, proxies from
the environment and decompression are off, and what it leaves unbounded or untold (interim replies, the size of a head,
which connections are new) is watched in the protocol class.
"""

from __future__ import annotations

import asyncio
import functools
import io
import math
import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpVersion10, HttpVersion11, RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from yarl import URL

from rpc.address import Address
from rpc.lanes import (
    BEWILDERED,
    MAX_HEAD,
    MAX_HEADERS,
    MAX_INTERIM,
    MAX_NEWCOMERS,
    OWN_FAULTS,
    Broken,
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
from rpc.lanes.dialing import STAGGER, is_own_end
from rpc.lanes.sweeping import Sweeper
from rpc.permits import Permits

# A connect must fail a little before the whole call does, so that a blackholed plugin is told from a slow one.
_CONNECT_SHARE: Final = 0.9
# A timeout noticed so many seconds late says nothing of the plugin: its reply may be lying in the socket.
_LATE: Final = 0.05
# Seconds between two looks at who still waits: how late a cancelled call's connection may be closed.
_SWEEP: Final = 0.05
_LARGE: Final = 1 << 20
_FRAMING: Final = ("Content-Length", "Transfer-Encoding")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")


class _Protocol(ResponseHandler):
    """One connection: counts what arrives on it, and lets no byte through that no call has asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, permits: Permits) -> None:
        super().__init__(loop)
        self._permits = permits
        self.replies = 0
        self.heard = False
        self.reset: BaseException | None = None
        self._awaiting = False
        self._asked = False
        self._interim = 0
        self._head = 0  # bytes of the head that is being read, blank lines before it included
        self._last = b""  # two bytes of a body, so that an empty line cut in two is found
        self._body: StreamReader = EMPTY_PAYLOAD
        self.chunked = False
        self._remaining: int | None = 0  # bytes of a body whose length was told

    def set_response_params(self, **options: Any) -> None:
        self.heard = False
        self._last = b""
        self._awaiting = self._asked = True
        self._interim = self._head = 0
        super().set_response_params(**options)
        # Not as soon as it is made: uvloop has not let go of the socket by then.
        if self.replies == 0 and self.transport is not None and is_own_end(self.transport.get_extra_info("socket")):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Feed aiohttp's parser no more than one message part at a time.

        It loses a complete reply when bad bytes follow it in the same read, and says nothing of blank lines there.
        """
        if not self._asked:  # aiohttp keeps it for the first request
            super().data_received(data)
            return
        self.heard = True
        while data:
            if not self._awaiting and (self._body.is_eof() or self._remaining == 0):
                self._end()  # more than was asked for
                return
            end = len(data)
            if self._awaiting:  # only the parser knows which form of an empty line ends a head
                end = data.find(b"\n") + 1 or end
                self._head += end
                if self._head > MAX_HEAD:
                    self._refuse(f"the reply's head is over {MAX_HEAD} bytes")
                    return
            elif self._remaining is not None:
                end = min(end, self._remaining)
                self._remaining -= end
            else:  # after each blank line, since one of them ends the last chunk
                known, text = len(self._last), self._last + data
                blank = _BLANK_LINE.search(text)
                if blank is not None and blank.end() <= known:
                    blank = _BLANK_LINE.search(text, blank.start() + 1)
                if blank is not None:
                    end = blank.end() - known
                self._last = text[: known + end][-2:]
            super().data_received(data[:end])
            data = data[end:]

    def pause_reading(self) -> None:
        """Leave the socket alone while nobody reads the body, but not what has come from it.

        aiohttp stops its parser too, in the middle of what it was fed, after many chunks as after many bytes; then it
        is not known any more where the reply ends.
        """
        self._reading_paused = True
        self._pause_transport_reading()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        message, body = data
        if not self._awaiting:
            self._end()
            return
        if 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            self._head = 0
            if self._interim > MAX_INTERIM:
                self._refuse(f"over {MAX_INTERIM} interim replies")
            elif _has_blank_before_colon(message.raw_headers) or any(name in message.headers for name in _FRAMING):
                self._refuse("an interim reply has a body")
            return
        self._awaiting = False
        self._body = body
        self.chunked = bool(message.chunked)
        length = message.headers.get("Content-Length", "")
        self._remaining = int(length) if length.isdecimal() and not message.chunked else None
        if self.replies == 0:  # not a newcomer any more: there is room for another
            self._permits.resize(self._permits.limit + 1)
        self.replies += 1
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        self._awaiting = False
        if isinstance(exc, HttpProcessingError):
            self._break_body(exc)
        super().set_exception(exc, exc if exc_cause is None else exc_cause)

    def close(self) -> None:
        self._break_body(aiohttp.ClientPayloadError("closed"))
        super().close()

    def abort(self) -> None:
        self._break_body(aiohttp.ClientPayloadError("closed"))
        super().abort()

    def _break_body(self, error: Exception) -> None:
        """Tell whoever reads the body that it has no end, or they would wait for ever.

        One who was just woken by the end of a chunk goes back to sleep without a look at the exception, but not at EOF.
        """
        if not self._body.is_eof():
            self._body.set_exception(error)
            self._body.feed_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.reset = exc
        if self.chunked:  # aiohttp forgets that it is, where a trailer says Transfer-Encoding
            self._break_body(aiohttp.ClientPayloadError("cut short"))
        if self.replies:
            self._permits.resize(self._permits.limit - 1)
        super().connection_lost(exc)

    def _refuse(self, why: str) -> None:
        self.set_exception(HttpProcessingError(message=why))
        self._end()

    def _end(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()


class _Stale(Exception):
    """A connection used before was no good: it died without a byte of reply, or the peer was `BEWILDERED`."""


class _Response(aiohttp.ClientResponse):
    """A reply that knows its connection for longer than aiohttp does."""

    connection_protocol: _Protocol

    async def start(self, connection: Connection) -> Self:
        protocol = connection.protocol
        assert isinstance(protocol, _Protocol)
        self.connection_protocol = protocol
        earlier = protocol.replies
        try:
            await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if earlier and not protocol.heard:
                raise _Stale from error
            raise
        return self


def _make_protocol(loop: asyncio.AbstractEventLoop, permits: Permits) -> ResponseHandler:
    return _Protocol(loop, permits)


class AiohttpLane:
    """A `rpc.lanes.Lane` on one aiohttp session."""

    def __init__(self, address: Address, *, timeout: float, max_body: int, headers: Mapping[str, str]) -> None:
        self._address = address
        self._max_body = max_body
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._calls: dict[asyncio.Task[Response], Waiting] = {}
        self._sweeper = Sweeper(self._sweep, period=_SWEEP, clock=self._clock)
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
        self._urls: dict[str, URL] = {}
        # As many calls as connections that have replied before, and the newcomers. Those who wait here are not being
        # timed: the plugin has not been asked yet.
        self._permits = Permits(MAX_NEWCOMERS)
        self._closed = False
        self._session = self._make_session(force_close=False)
        self._replays: aiohttp.ClientSession | None = None

    def _make_session(self, *, force_close: bool) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self._address.scheme == "unix":
            connector = aiohttp.UnixConnector(self._address.socket, limit=0, force_close=force_close)
        else:
            # A context of its own is read now, with SSL_CERT_FILE as it is now; aiohttp's was read at its import.
            tls = ssl.create_default_context() if self._address.scheme == "https" else True
            stagger = min(STAGGER, self._timeout * _CONNECT_SHARE / 4)  # aiohttp begins with another one each time
            connector = aiohttp.TCPConnector(limit=0, force_close=force_close, ssl=tls, happy_eyeballs_delay=stagger)
        connector._factory = functools.partial(_make_protocol, asyncio.get_running_loop(), self._permits)
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=self._timeout,
                connect=self._timeout * _CONNECT_SHARE,
                ceil_threshold=math.inf,  # aiohttp rounds timeouts over 5 s up to whole seconds, unless told not to
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            response_class=_Response,
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEADERS,
        )

    def send(self, path: str, body: bytes, waiting: Waiting) -> None:
        """See `rpc.lanes.Lane.send`."""
        task = self._loop.create_task(self._carry(path, body, waiting))
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

    async def _carry(self, path: str, body: bytes, waiting: Waiting) -> Response:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._address.origin + path, encoded=True)
        permits = self._permits
        if permits.in_flight < permits.limit:
            permits.in_flight += 1
        else:
            await permits.wait()
        start = self._clock()
        try:
            if waiting.done():
                raise asyncio.CancelledError  # as the sweep would have had it
            if self._closed:
                raise Broken("the client was closed")
            try:
                return await self._post(self._session, url, body)
            except _Stale:
                if self._replays is None:
                    self._replays = self._make_session(force_close=True)
                return await self._post(self._replays, url, body)
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError, RuntimeError) as error:
            late = self._clock() - start - self._timeout
            if isinstance(error, TimeoutError) and late > _LATE:
                raise Exhausted(
                    f"no reply within {self._timeout:g} s, but this process was {late:.2f} s late"
                ) from error
            raise self._translate(error) from error
        finally:
            permits.release()

    async def _post(self, session: aiohttp.ClientSession, url: URL, body: bytes) -> Response:
        # Sent as a file, a large body is written piece by piece; aiohttp warns of one that is not.
        data = body if len(body) < _LARGE else io.BytesIO(body)
        async with session.post(url, data=data, allow_redirects=False) as response:
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

    def _translate(self, error: BaseException) -> LaneError:
        """aiohttp's many exceptions as our two, by whose fault it was."""
        match error:
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
                return Untrusted(f"TLS failed: {error.__cause__ or error}")
            case aiohttp.ConnectionTimeoutError():
                return Unreachable("no connection within the connect timeout")
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
        for session in (self._session, self._replays):
            if session is not None:
                await session.close()
        await asyncio.gather(*self._calls, return_exceptions=True)


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
    if _has_blank_before_colon(response.raw_headers):
        raise Malformed("a header of the reply has a blank before its colon")
    codings = [coding.strip(" \t").lower() for coding in response.headers.getall("Transfer-Encoding", ())]
    if codings not in ([], ["chunked"]) or (codings and not response.connection_protocol.chunked):
        raise Malformed(f"the reply has a Transfer-Encoding of {', '.join(codings)[:64]!r}, only chunked is known")
    for encoding in response.headers.getall("Content-Encoding", ()):
        if encoding.strip(" \t").lower() != "identity":
            raise Malformed(f"the reply has Content-Encoding {encoding[:64]!r}, and none was asked for")


def _has_blank_before_colon(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether some would see a header, such as Content-Length, where others do not."""
    return any(name[-1:] in b" \t" for name, _ in headers)


def _is_close_delimited(response: aiohttp.ClientResponse) -> bool:
    return response.content_length is None and "Transfer-Encoding" not in response.headers
