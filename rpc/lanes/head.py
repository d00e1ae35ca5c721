"""The head of a reply: status line and headers, read by llhttp (httptools) and judged by our own limits.

llhttp bounds nothing (it takes a 10 MB header, or 100,000 of them), does not say where a head ends and never that a
close-delimited reply is over; so what follows a head is decided here and carried out in `rpc.lanes.reading`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from rpc.lanes import MAX_HEAD, MAX_HEADERS, MAX_INTERIM, Malformed

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


class Head(NamedTuple):
    """What a head says. ``length``: bytes of body to come, or `CHUNKED`, or `UNTIL_CLOSE` (RFC 9112, 6.3).

    ``keep_alive``: the connection may carry another call once this reply is over (RFC 9112, 9.3). ``lines`` are its
    header lines, which count with the trailers.
    """

    status: int
    length: int
    keep_alive: bool
    retry_after: str | None
    lines: int


def be_lenient(parser: HttpResponseParser) -> HttpResponseParser:
    """Make llhttp take what real servers send, as much as aiohttp does: folded lines and lines without CR."""
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser


class HeadReader:
    """Reads up to the end of the one final head, over the interim (1xx) ones before it (RFC 9110, 15.2).

    ``head`` is None until then. Methods called ``on_`` are named by httptools.
    """

    __slots__ = ("_bytes", "_headers", "_interim", "_parser", "head")

    def __init__(self) -> None:
        self._parser = be_lenient(HttpResponseParser(self))
        self._headers: list[tuple[bytes, bytes]] = []
        self._bytes = 0
        self._interim = 0
        self.head: Head | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes, which must not go beyond the end of the head. Raises `Malformed`."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise Malformed("the plugin switched protocols, and was not asked to") from None
        except HttpParserError as error:
            if isinstance(error.__context__, Malformed):  # raised in a method below
                raise error.__context__ from None
            raise Malformed(f"not an HTTP reply we can accept: {error}") from None
        self._bytes += len(data)
        if self._bytes > MAX_HEAD:
            raise Malformed(f"the reply's head is over {MAX_HEAD} bytes")
        if self.head is not None:
            del self._parser  # it refers to us, and need not wait for the garbage collector

    def feed_up_to_the_end(self, data: bytes) -> bytes:
        """Take the next bytes, and return those after the head. Raises `Malformed`.

        Only llhttp knows which lenient form of an empty line it takes for the end, and it does not tell the place.
        """
        for at in range(len(data)):
            self.feed(data[at : at + 1])
            if self.head is not None:
                return data[at + 1 :]
        return b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if b"\0" in value:
            raise Malformed("a header of the reply has a NUL in it")
        if len(self._headers) == MAX_HEADERS:
            raise Malformed(f"the reply's head is over {MAX_HEADERS} lines")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if any(name[-1:] in b" \t" for name, _ in self._headers):  # some see a Content-Length in it, and some do not
            raise Malformed("a header of the reply has a blank before its colon")
        if not 100 <= status < 200:
            self.head = self._final(status)
            return
        if status == 101:
            raise Malformed("the plugin switched protocols, and was not asked to")
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers):
            raise Malformed("an interim reply has a body")
        self._headers.clear()
        self._bytes = 0
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise Malformed(f"over {MAX_INTERIM} interim replies")

    def _final(self, status: int) -> Head:
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise Malformed(f"the reply is in HTTP/{version}")
        if status < 100:
            raise Malformed(f"the reply has the status {status:03d}")
        length = UNTIL_CLOSE
        retry_after = None
        for name, value in self._headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                if length == CHUNKED or value.rstrip(b" ").lower() != b"chunked":  # to llhttp, a tab is no blank here
                    raise Malformed(f"the reply has a Transfer-Encoding of {_show(value)}, only chunked is known")
                length = CHUNKED
            elif name == b"content-encoding":
                if value.strip(b" \t").lower() != b"identity":
                    raise Malformed(f"the reply has Content-Encoding {_show(value)}, and none was asked for")
            elif name == b"retry-after" and retry_after is None:
                retry_after = value.rstrip(b" \t").decode(errors="surrogateescape")
        keep_alive = self._parser.should_keep_alive()
        if status in (204, 304):
            # A 204 that says how long its body is may have one, against the rules, which comes a little later.
            keep_alive = keep_alive and (status == 304 or length in (0, UNTIL_CLOSE))
            length = 0
        return Head(status, length, keep_alive, retry_after, len(self._headers))


def _show(value: bytes) -> str:
    return repr(value[:64].decode("latin-1"))
