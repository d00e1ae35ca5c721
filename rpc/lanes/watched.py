"""A connection of the aiohttp lane, watched: for what aiohttp leaves unbounded or untold.

Interim replies, the size of a head, which connections are new, and where one reply ends and the next begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from rpc.lanes import MAX_HEAD, MAX_INTERIM
from rpc.lanes.dialing import is_own_end
from rpc.permits import Permits

_FRAMING: Final = ("Content-Length", "Transfer-Encoding")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")


class WatchedProtocol(ResponseHandler):
    """One connection: counts what arrives on it, and lets no byte through that no call has asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, permits: Permits) -> None:
        super().__init__(loop)
        self._permits = permits
        self.replies = 0
        self.heard = False
        self.reset: BaseException | None = None
        self.sent = 0.0
        """When it was given its last request, as `time.monotonic` says."""
        self.cut_off = False
        """Whether the peer ended it with a call on it."""
        self.on_end: Callable[[WatchedProtocol, BaseException | None], None] | None = None
        """Who is told when the connection is closed, and by what error, if any."""
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
        self.sent = monotonic()
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
            elif has_blank_before_colon(message.raw_headers) or any(name in message.headers for name in _FRAMING):
                self._refuse("an interim reply has a body")
            return
        self._awaiting = False
        self._body = body
        self.chunked = bool(message.chunked)
        length = message.headers.get("Content-Length", "")
        self._remaining = int(length) if length.isdecimal() and not message.chunked else None
        if message.code == 204 and (self.chunked or self._remaining):  # it may have a body, against the rules
            self.force_close()
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
        if exc is not None:
            self._salvage()
        self.reset = exc
        self.cut_off = self._awaiting and self.transport is not None  # else we did
        if self.on_end is not None:
            self.on_end(self, exc)
        if self.chunked:  # aiohttp forgets that it is, where a trailer says Transfer-Encoding
            self._break_body(aiohttp.ClientPayloadError("cut short"))
        if self.replies:
            self._permits.resize(self._permits.limit - 1)
        super().connection_lost(exc)

    def _salvage(self) -> None:
        """A failed write ends the connection at once, though a reply may have come before the reset: read it now."""
        transport = self.transport
        if transport is None or transport.get_extra_info("ssl_object") is not None:
            return
        descriptor = transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):
            while (self._awaiting or not self._body.is_eof()) and (data := os.read(descriptor, 65536)):
                self.data_received(data)

    def _refuse(self, why: str) -> None:
        self.set_exception(HttpProcessingError(message=why))
        self._end()

    def _end(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()


def has_blank_before_colon(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether some would see a header, such as Content-Length, where others do not."""
    return any(name[-1:] in b" \t" for name, _ in headers)
