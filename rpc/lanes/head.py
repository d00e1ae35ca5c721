"""The head of a reply: status line and headers, read by llhttp (httptools) and judged by our own limits.

llhttp bounds nothing (it takes a 10 MB header, or 100,000 of them) and cannot be told that a close-delimited reply is
over, so what follows a head is decided here and carried out in `rpc.lanes.reading`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from rpc.lanes import MAX_HEAD, MAX_HEADERS, Malformed

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


class Head(NamedTuple):
    """What a head says. ``length``: bytes of body to come, or `CHUNKED`, or `UNTIL_CLOSE` (RFC 9112, 6.3).

    ``keep_alive``: the connection may carry another call once this reply is over (RFC 9112, 9.3).
    """

    status: int
    length: int
    keep_alive: bool
    retry_after: str | None

    @property
    def interim(self) -> bool:
        """Whether this is only a 1xx, and the real head is still to come (RFC 9110, 15.2)."""
        return self.status < 200


def be_lenient(parser: HttpResponseParser) -> HttpResponseParser:
    """Make llhttp take what real servers send, as much as aiohttp does: folded lines and lines without CR."""
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser


class _Lines:
    """Collects header lines for `parse_head`. Methods are named by httptools."""

    def __init__(self) -> None:
        self.parser = be_lenient(HttpResponseParser(self))
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive: bool | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.keep_alive = self.parser.should_keep_alive()


def read_lines(raw: bytes) -> _Lines:
    """Feed `raw`, a head or the first part of one, to llhttp. Raises `Malformed`."""
    lines = _Lines()
    try:
        lines.parser.feed_data(raw)
    except HttpParserUpgrade:
        raise Malformed("the plugin switched protocols, and was not asked to") from None
    except HttpParserError as error:
        raise Malformed(f"not an HTTP reply we can accept: {error}") from None
    return lines


def parse_head(raw: bytes) -> Head:
    """Parse a whole head, its empty line included. Raises `Malformed`."""
    if len(raw) > MAX_HEAD:
        raise Malformed(f"the reply's head is over {MAX_HEAD} bytes")
    lines = read_lines(raw)
    if lines.keep_alive is None:
        raise Malformed("not an HTTP reply we can accept: the head has no end")
    if len(lines.headers) > MAX_HEADERS:
        raise Malformed(f"the reply's head is over {MAX_HEADERS} lines")
    version = lines.parser.get_http_version()
    if version not in ("1.0", "1.1"):
        raise Malformed(f"the reply is in HTTP/{version}")
    status = lines.parser.get_status_code()
    if status == 101:
        raise Malformed("the plugin switched protocols, and was not asked to")
    length = UNTIL_CLOSE
    retry_after = None
    for name, value in lines.headers:
        if b"\0" in value:
            raise Malformed("a header of the reply has a NUL in it")
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            if length == CHUNKED or value.lower() != b"chunked":
                raise Malformed(f"the reply has a Transfer-Encoding of {_show(value)}, only chunked is known")
            length = CHUNKED
        elif name == b"content-encoding":
            if value.lower() != b"identity":
                raise Malformed(f"the reply has Content-Encoding {_show(value)}, and none was asked for")
        elif name == b"retry-after" and retry_after is None:
            retry_after = value.decode("latin-1")
    if status < 200 or status in (204, 304):
        length = 0
    return Head(status, length, lines.keep_alive, retry_after)


def _show(value: bytes) -> str:
    return repr(value[:64].decode("latin-1"))
