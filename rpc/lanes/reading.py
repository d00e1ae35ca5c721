"""Reading one reply: bytes in, a `Response` or an error out. No sockets, no clock, no event loop.

The outcome depends on the bytes alone, never on how the network cut them up.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from rpc.lanes import MAX_HEAD, MAX_HEADERS, MAX_INTERIM, Broken, Malformed, Response, is_whole
from rpc.lanes.head import CHUNKED, UNTIL_CLOSE, Head, be_lenient, parse_head, read_lines

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_PREAMBLE: Final = b"HTTP/1."
_CHUNKED_HEAD: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read_at_once(data: bytes, max_body: int) -> Response | None:
    """The reply that `data` is, if it is no less and no more than a plain one, and the connection may be kept.

    A short cut for what a `Reader` would say of nearly every reply; None where that one has to be asked.
    """
    end = data.find(b"\r\n\r\n") + 4
    head = _plain_head(data[:end])
    if head is None or head.length != len(data) - end or head.length > max_body:
        return None
    return Response(head.status, data[end:], head.retry_after)


# A server's replies differ in their bodies, but within one second (the Date header) rarely in their heads.
@functools.lru_cache(maxsize=16)
def _plain_head(raw: bytes) -> Head | None:
    """`raw` parsed, if it is one good and final head after which the connection may be kept."""
    match = _END_OF_HEAD.search(raw)
    if match is None or match.end() != len(raw) or not raw.startswith(_PREAMBLE):
        return None
    try:
        head = parse_head(raw)
    except Malformed:
        return None
    return head if head.keep_alive and not head.interim else None


class Reader:
    """Reads the one reply to one request.

    ``untouched``: no byte came yet. ``reusable``, once a reply is read: the connection is at a message boundary, and
    the peer means to keep it open.
    """

    __slots__ = ("_body", "_buffer", "_chunks", "_head", "_interim", "_max_body", "reusable", "untouched")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._head: Head | None = None
        self._interim = 0
        self._chunks: _Chunks | None = None
        self.untouched = True
        self.reusable = False

    def feed(self, data: bytes) -> Response | None:
        """Take the next bytes; the reply once it is complete, else None. Raises `Malformed`."""
        self.untouched = False
        head = self._head
        if head is None:
            head = self._feed_head(data)
            if head is None:
                return None
            data = bytes(self._buffer)
            self._buffer.clear()
            if head.length > self._max_body:
                raise Malformed(f"the reply's body is {head.length} bytes, {self._max_body} are allowed")
        if head.length == CHUNKED:
            return self._feed_chunks(head, data)
        buffer = self._buffer
        buffer += data
        if head.length == UNTIL_CLOSE:
            if len(buffer) > self._max_body:
                raise Malformed(f"the reply's body is over {self._max_body} bytes")
            return None
        if len(buffer) < head.length:
            return None
        return self._finish(head, bytes(buffer[: head.length]), surplus=len(buffer) > head.length)

    def end(self, reset: BaseException | None) -> Response:
        """The connection is gone, by a FIN or a `reset`: the reply if that completes it. Raises `Broken`, `Malformed`.

        A reset may cut a close-delimited body short and a FIN may not, so after a reset the body must prove itself.
        """
        how = "closed" if reset is None else f"lost ({reset})"
        head = self._head
        if head is None:
            if self._buffer:
                read_lines(bytes(self._buffer))
                raise Broken(f"the connection was {how} in the middle of the reply's head")
            raise Broken(f"the connection was {how} before the reply")
        body = bytes(self._buffer)
        if head.length != UNTIL_CLOSE or (reset is not None and head.status == 200 and not is_whole(body)):
            raise Broken(f"the connection was {how} in the middle of the reply's body")
        return self._finish(head, body, surplus=False)

    def _feed_head(self, data: bytes) -> Head | None:
        """The final head once it is complete; what follows it is left in the buffer."""
        buffer = self._buffer
        seen = len(buffer)
        buffer += data
        while True:
            if buffer and buffer[0] in b"\r\n":  # llhttp skips empty lines before a status line
                stripped = buffer.lstrip(b"\r\n")
                seen -= len(buffer) - len(stripped)
                self._buffer = buffer = stripped
            if not buffer.startswith(_PREAMBLE[: len(buffer)]):
                raise Malformed(f"not an HTTP/1 reply: it begins with {bytes(buffer[:16])!r}")
            match = _END_OF_HEAD.search(buffer, max(0, seen - 2))
            if match is None:
                if len(buffer) > MAX_HEAD:
                    raise Malformed(f"the reply's head is over {MAX_HEAD} bytes")
                return None
            head = parse_head(bytes(buffer[: match.end()]))
            del buffer[: match.end()]
            if not head.interim:
                self._head = head
                return head
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise Malformed(f"over {MAX_INTERIM} interim replies")
            seen = 0

    def _feed_chunks(self, head: Head, data: bytes) -> Response | None:
        chunks = self._chunks
        if chunks is None:
            chunks = self._chunks = _Chunks(self._max_body)
        chunks.feed(data)
        if not chunks.complete:
            return None
        return self._finish(head, b"".join(chunks.body), surplus=chunks.surplus)

    def _finish(self, head: Head, body: bytes, *, surplus: bool) -> Response:
        self.reusable = head.keep_alive and not surplus
        return Response(head.status, body, head.retry_after)


class _Chunks:
    """Undoes chunked transfer coding with llhttp, and bounds what llhttp does not. Methods are named by httptools."""

    def __init__(self, max_body: int) -> None:
        self.body: list[bytes] = []
        self.complete = False
        self.surplus = False
        self._room = max_body
        self._silence = 0
        self._trailers = self._trailer_bytes = 0
        self._parser = be_lenient(HttpResponseParser(self))
        self._parser.feed_data(_CHUNKED_HEAD)
        self._trailers = self._trailer_bytes = 0  # that head's own line does not count

    def feed(self, data: bytes) -> None:
        """Raises `Malformed`, unless the reply was complete before the bad bytes came."""
        self._silence += len(data)
        # llhttp says nothing of line ends after the last chunk, so the last four bytes, the most that a message may
        # end in, are fed one by one: then we know whether anything was left over.
        edge = max(len(data) - 4, 0)
        try:
            self._parser.feed_data(data[:edge])
            for at in range(edge, len(data)):
                if self.complete:
                    self.surplus = True
                    break
                self._parser.feed_data(data[at : at + 1])
        except HttpParserError as error:
            if not self.complete:
                raise Malformed(f"bad framing of the reply's body: {error}") from None
            self.surplus = True
        if self._room < 0:
            raise Malformed("the reply's body is over the limit")
        if self._trailers > MAX_HEADERS or self._trailer_bytes > MAX_HEAD or self._silence > MAX_HEAD + len(data):
            raise Malformed(f"the reply's trailers are over {MAX_HEADERS} lines or {MAX_HEAD} bytes")

    def on_body(self, data: bytes) -> None:
        if self.complete:  # of a second reply, sent on the heels of ours
            return
        self._silence = 0
        self._room -= len(data)
        self.body.append(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._trailers += 1
        self._trailer_bytes += len(name) + len(value) + 4

    def on_message_complete(self) -> None:
        self.complete = True
