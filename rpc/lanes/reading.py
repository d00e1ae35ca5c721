"""Reading one reply: bytes in, a `Response` or an error out. No sockets, no clock, no event loop.

The outcome depends on the bytes alone, never on how the network cut them up.
"""

from __future__ import annotations

import functools
from typing import Final

from httptools import HttpParserError, HttpResponseParser

from rpc.lanes import MAX_HEAD, MAX_HEADERS, Broken, Malformed, Response, TooLarge, is_whole
from rpc.lanes.head import CHUNKED, UNTIL_CLOSE, Head, HeadReader, be_lenient

_NUL: Final = "a trailer of the reply has a NUL in it"
_CHUNKED_HEAD: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read_at_once(data: bytes, max_body: int) -> Response | None:
    """The reply that `data` is, if it is no less and no more than a plain one, and the connection may be kept.

    A short cut for what a `Reader` would say of nearly every reply; None where that one has to be asked.
    """
    end = data.find(b"\r\n\r\n") + 4
    head = _plain_head(data[:end])
    if head is None or head.length != len(data) - end or head.length > max_body or not head.keep_alive:
        return None
    return Response(head.status, data[end:], head.retry_after)


# A server's replies differ in their bodies, but within one second (the Date header) rarely in their heads.
@functools.lru_cache(maxsize=16)
def _plain_head(raw: bytes) -> Head | None:
    """The final head that `raw` is, to the last byte; None if it is anything else."""
    reader = HeadReader()
    try:
        reader.feed(raw[:-1])
        if reader.head is None:
            reader.feed(raw[-1:])
            return reader.head
    except Malformed:
        pass
    return None


class Reader:
    """Reads the one reply to one request.

    ``untouched``: no byte came yet. ``reusable``, once a reply is read: the connection is at a message boundary, and
    the peer means to keep it open.
    """

    __slots__ = ("_body", "_chunks", "_head", "_head_reader", "_max_body", "reusable", "untouched")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._head: Head | None = None
        self._head_reader: HeadReader | None = None
        self._body = bytearray()
        self._chunks: _Chunks | None = None
        self.untouched = True
        self.reusable = False

    def feed(self, data: bytes) -> Response | None:
        """Take the next bytes; the reply once it is complete, else None. Raises `Malformed`."""
        if self._head is None:
            data = self._feed_head(data)
        self.untouched = False
        head = self._head
        if head is None:
            return None
        if head.length == CHUNKED:
            return self._feed_chunks(head, data)
        body = self._body
        body += data
        if head.length == UNTIL_CLOSE:
            if len(body) > self._max_body:
                raise TooLarge(f"the reply's body is over {self._max_body} bytes")
            return None
        if len(body) < head.length:
            return None
        return self._finish(head, bytes(body[: head.length]), surplus=len(body) > head.length)

    def end(self, reset: BaseException | None) -> Response:
        """The connection is gone, by a FIN or a `reset`: the reply if that completes it. Raises `Broken`.

        A reset may cut a close-delimited body short and a FIN may not, so after a reset the body must prove itself.
        """
        how = "closed" if reset is None else f"lost ({reset})"
        head = self._head
        if head is None:
            where = "before the reply" if self.untouched else "in the middle of the reply's head"
            raise Broken(f"the connection was {how} {where}")
        body = bytes(self._body)
        if head.length != UNTIL_CLOSE or (reset is not None and head.status == 200 and not is_whole(body)):
            raise Broken(f"the connection was {how} in the middle of the reply's body")
        return self._finish(head, body, surplus=False)

    def _feed_head(self, data: bytes) -> bytes:
        """Set the head if it is complete; returns what follows it."""
        if self.untouched:
            end = data.find(b"\r\n\r\n") + 4
            head, rest = _plain_head(data[:end]), data[end:]
        else:
            head = None
        if head is None:
            if self._head_reader is None:
                self._head_reader = HeadReader()
            rest = self._head_reader.feed_up_to_the_end(data)
            head = self._head_reader.head
        if head is not None and head.length > self._max_body:
            raise TooLarge(f"the reply's body is {head.length} bytes, {self._max_body} are allowed")
        self._head = head
        return rest

    def _feed_chunks(self, head: Head, data: bytes) -> Response | None:
        chunks = self._chunks
        if chunks is None:
            chunks = self._chunks = _Chunks(self._max_body, head.lines)
        chunks.feed(data)
        if not chunks.complete:
            return None
        return self._finish(head, bytes(chunks.body), surplus=chunks.surplus)

    def _finish(self, head: Head, body: bytes, *, surplus: bool) -> Response:
        self.reusable = head.keep_alive and not surplus
        return Response(head.status, body, head.retry_after)


class _Chunks:
    """Undoes chunked transfer coding with llhttp, and bounds what llhttp does not. Methods are named by httptools."""

    def __init__(self, max_body: int, lines: int) -> None:
        self.body = bytearray()  # no list of chunks, each of which may be one byte and an object
        self.complete = False
        self.surplus = False
        self._room = max_body
        self._silence = 0
        self._trailers = self._trailer_bytes = 0
        self._nul = False
        """Whether the last trailer had one. It counts where more follows, as in aiohttp, which is told of it then."""
        self._parser = be_lenient(HttpResponseParser(self))
        self._parser.feed_data(_CHUNKED_HEAD)
        self._trailers, self._trailer_bytes = lines, 0  # that head's own line does not count

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
                if isinstance(error.__context__, Malformed):  # raised in a method below
                    raise error.__context__ from None
                raise Malformed(f"bad framing of the reply's body: {error}") from None
            self.surplus = True
        if self._room < 0:
            raise TooLarge("the reply's body is over the limit")
        if self._nul and not self.complete:
            raise Malformed(_NUL)
        lines = self._trailers - self.complete  # nor does the last one, as in aiohttp
        if lines > MAX_HEADERS or self._trailer_bytes > MAX_HEAD or self._silence > MAX_HEAD + len(data):
            raise Malformed(f"the reply's trailers are over {MAX_HEADERS} lines or {MAX_HEAD} bytes")
        if self.complete:
            del self._parser  # it refers to us, and need not wait for the garbage collector

    def on_body(self, data: bytes) -> None:
        if self.complete:  # of a second reply, sent on the heels of ours
            return
        self._silence = 0
        self._room -= len(data)
        self.body += data

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._nul:
            raise Malformed(_NUL)
        self._nul = b"\0" in value
        self._trailers += 1
        self._trailer_bytes += len(name) + len(value) + 4

    def on_message_complete(self) -> None:
        self.complete = True
