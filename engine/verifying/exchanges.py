"""Requests to a plugin as the engine's, one at a time and looked at closely: what came back, byte for byte.

Replies are read by the same reader as the engine's, so what it refuses is refused here. A lane would make up for what
a server does wrong, on another connection or by another attempt; here it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from time import perf_counter
from typing import AnyStr, Final, NamedTuple

from rpc.address import Address
from rpc.client import MAX_BODY, TIMEOUT
from rpc.credentials import without
from rpc.lanes import Broken, Malformed, Response, TooLarge
from rpc.lanes.head import CHUNKED, Head, HeadReader
from rpc.lanes.reading import Reader
from rpc.tls import Tls

_PAUSE: Final = 0.01
"""Seconds between the pieces of a request that is dribbled."""


class Answer(NamedTuple):
    """A complete reply, and the seconds until it was. ``kept``: it says that the connection may be used again.

    In the ``body`` ``***`` stands for our token: what is found wrong with it is shown.
    """

    status: int
    body: bytes
    seconds: float
    kept: bool


class Failed(Exception):
    """There is no complete reply: ``kind`` is the name of what is wrong (`engine.verifying.findings`)."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what


class NobodyHome(Exception):
    """No connection can be made."""


class Exchanges:
    """With one plugin. ``timeout``: seconds for a request and its reply, ``max_body``: bytes of a reply."""

    def __init__(
        self,
        address: Address,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT,
        max_body: int = MAX_BODY,
        tls: Tls | None = None,
    ) -> None:
        self._address = address
        self._tls = (tls or Tls()) if address.scheme == "https" else None
        self.timeout = timeout
        self.max_body = max_body
        self.count = 0
        """Requests so far."""
        self._secrets = () if token is None else (token,)
        lines = [f"Host: {address.authority}", "Content-Type: application/json", "Accept-Encoding: identity"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        self._lines = "".join(f"{line}\r\n" for line in lines)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """A connection of its own. Raises `NobodyHome`."""
        address = self._address
        try:
            async with asyncio.timeout(self.timeout):
                if address.scheme == "unix":
                    reader, writer = await asyncio.open_unix_connection(address.socket)
                else:
                    context = self._tls.context if self._tls is not None else None
                    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        except ssl.SSLError as error:
            why = self._tls.failure(error) if self._tls is not None else error
            raise NobodyHome(f"TLS with {address} failed: {why}") from None
        except TimeoutError:
            raise NobodyHome(f"nobody answers at {address} within {self.timeout:g} s") from None
        except OSError as error:
            raise NobodyHome(f"cannot connect to {address}: {_why(error)}") from None
        connection = Connection(self, reader, writer)
        try:
            yield connection
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def ask(self, path: str, body: bytes, *, dribbled: bool = False) -> Answer:
        """What is answered on a connection of its own. Raises `Failed`, also where none can be made any more."""
        try:
            async with self.connected() as connection:
                return await connection.ask(path, body, dribbled=dribbled)
        except NobodyHome as error:
            raise Failed("no-reply", str(error)) from None

    def shown(self, text: AnyStr) -> AnyStr:
        """What came back, with nothing in it that nobody should see."""
        return without(text, self._secrets)

    def request(self, path: str, body: bytes) -> bytes:
        """The bytes of a request."""
        head = f"POST {self._address.prefix}{path} HTTP/1.1\r\n{self._lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


class Connection:
    """One connection, for one request after the other."""

    def __init__(self, exchanges: Exchanges, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._exchanges = exchanges
        self._reader = reader
        self._writer = writer

    async def ask(self, path: str, body: bytes, *, dribbled: bool = False) -> Answer:
        """What is answered to a request, in one piece or ``dribbled``. Raises `Failed`."""
        request = self._exchanges.request(path, body)
        self._exchanges.count += 1
        raw = bytearray()
        start = perf_counter()
        timeout = self._exchanges.timeout
        try:
            async with asyncio.timeout(timeout):
                # The reply may come before all of the request is written, or instead of that.
                writing = asyncio.ensure_future(self._write(_pieces(request) if dribbled else [request]))
                try:
                    response, kept = await self._read(raw)
                finally:
                    writing.cancel()
                    await asyncio.gather(writing, return_exceptions=True)
        except TimeoutError:
            head, _ = _head(bytes(raw))
            if head is not None:
                raise Failed("wrong-length", f"{_length(bytes(raw))} within {timeout:g} s") from None
            raise Failed("timeout", f"no reply within {timeout:g} s") from None
        except TooLarge as error:
            raise Failed("too-large", str(error)) from None
        except Malformed as error:
            kind = "compressed" if "Content-Encoding" in str(error) else "bad-framing"
            raise Failed(kind, self._exchanges.shown(str(error))) from None
        except Broken as error:
            head, _ = _head(bytes(raw))
            if head is not None and head.length != CHUNKED:
                raise Failed("wrong-length", f"{_length(bytes(raw))} before the connection was closed") from None
            kind = "bad-framing" if head is not None else "no-reply"
            raise Failed(kind, self._exchanges.shown(str(error))) from None
        seconds = perf_counter() - start
        head, rest = _head(bytes(raw))
        if head is not None and 0 <= head.length < len(rest):
            raise Failed("wrong-length", _length(bytes(raw)))
        return Answer(response.status, self._exchanges.shown(response.body), seconds, kept)

    async def _write(self, pieces: Sequence[bytes]) -> None:
        with contextlib.suppress(OSError):  # what became of the request is read from the reply
            for at, piece in enumerate(pieces):
                if at:
                    await asyncio.sleep(_PAUSE)
                self._writer.write(piece)
                await self._writer.drain()

    async def _read(self, raw: bytearray) -> tuple[Response, bool]:
        """The reply, and whether the connection is kept; ``raw`` gets all that was read for it."""
        reader = Reader(self._exchanges.max_body)
        while True:
            try:
                data = await self._reader.read(1 << 16)
            except OSError as error:
                return reader.end(error), False
            if not data:
                return reader.end(None), False
            raw += data
            response = reader.feed(data)
            if response is not None:
                return response, reader.reusable


def _pieces(request: bytes) -> list[bytes]:
    """The head in three pieces and the body in as many, cut in the middle of lines and of characters."""
    end = request.find(b"\r\n\r\n") + 4
    cuts = [0, 3, end // 2, end, end + 1, (end + len(request)) // 2, len(request)]
    return [request[start:stop] for start, stop in pairwise(cuts) if start < stop]


def _head(raw: bytes) -> tuple[Head | None, bytes]:
    """The head of a reply and what came after it; None where that did not all come."""
    reader = HeadReader()
    try:
        rest = reader.feed_up_to_the_end(raw)
    except Malformed:
        return None, b""
    return reader.head, rest


def _length(raw: bytes) -> str:
    head, rest = _head(raw)
    promised = "a chunked body" if head is None or head.length < 0 else f"{head.length} bytes of body"
    return f"the head says {promised}, {len(rest)} bytes came"


def _why(error: OSError) -> str:
    number = error.errno
    return os.strerror(number) if number and number > 0 else error.strerror or str(error)
