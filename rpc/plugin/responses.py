"""What a plugin's server writes: a status, and JSON, in HTTP/1.1."""

from __future__ import annotations

from typing import Final

import orjson

_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
_HEAD: Final = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
NOTHING: Final = _HEAD % (200, b"OK", 2, b"") + b"{}"
"""The answer that most calls get."""
CLOSE: Final = b"Connection: close\r\n"


def response(status: int, content: bytes, headers: bytes = b"", *, bodiless: bool = False) -> bytes:
    """The bytes of a response. ``headers`` end in CRLF each; ``bodiless`` is for HEAD (RFC 9110, 9.3.2)."""
    head = _HEAD % (status, _REASONS[status], len(content), headers)
    return head if bodiless else head + content


def told(message: str) -> bytes:
    """The body of an answer that is no reply."""
    return orjson.dumps({"message": message})
