"""What a faulty plugin may send, to the byte."""

from __future__ import annotations

import json
from typing import Any, Final


def ok(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def refusal(status: str, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: 2\r\n\r\nno".encode()


def document(value: Any) -> bytes:
    return ok(json.dumps(value).encode())


# What is right.
NOTHING: Final = ok(b"{}")
UNSUPPORTED: Final = refusal("404 Not Found")
# As good, in other words.
LAST: Final = ok(b"{}", "Connection: close")
UNTIL_CLOSE: Final = b"HTTP/1.0 200 OK\r\n\r\n{}"
UNUSUAL: Final = (
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\nX-Trailer: yes\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + NOTHING,
    ok(b"", "X-Folded: a\r\n b"),
)

# What may pass.
BUSY: Final = (
    refusal("502 Bad Gateway"),
    refusal("503 Service Unavailable"),
    refusal("504 Gateway Timeout"),
    refusal("429 Too Many Requests", "Retry-After: 0"),
)
BUSY_FOR_LONG: Final = (refusal("503 Service Unavailable", "Retry-After: 1"),)
HALF: Final = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"node":'
UNFINISHED_CHUNKS: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"

# What may not.
NO_HTTP: Final = (
    b"\x16\x03\x01\x02\x00\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"hello\r\n\r\n",
    b"{}",
    b"\0" * 4096,
)
BAD_HEADS: Final = (
    ok(b"{}", "Content-Length: 3"),
    ok(b"{}", "Transfer-Encoding: chunked"),
    ok(b"{}", "Content-Encoding: gzip"),
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 2\r\n\r\n{}",
    ok(b"{}", *(f"X-{number}: y" for number in range(200))),
)
BAD_STATUSES: Final = (
    refusal("500 Internal Server Error"),
    refusal("400 Bad Request"),
    refusal("307 Temporary Redirect", "Location: /elsewhere"),
    refusal("999 What"),
)
_ILLEGAL: Final = (
    b"<html>it works</html>",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{}",
    b"null",
    b"[]",
    b"{} {}",
    b'{"node":{"progress":NaN}}',
    b'{"node":{"message":"a","message":"tampered"}}',
    b'{"a":' * 300 + b"1" + b"}" * 300,
    b'{"a":' * 100_000,
)
_UNACCEPTABLE: Final[tuple[Any, ...]] = (
    {"node": 5, "workflow": 5, "parameters": 5},
    {"node": {"phase": "Tampered", "message": "tampered"}, "workflow": {"kind": "Pod"}, "parameters": {"word": 1}},
    {
        "node": {"id": "other", "message": "tampered"},
        "workflow": {"metadata": {"uid": None, "annotations": {"soak/begun": "tampered"}}},
        "parameters": [],
    },
    {"node": {"outputs": {"parameters": 5}}, "workflow": {"status": {"nodes": {}}}, "parameters": {"word": None}},
    {"node": {"message": ["tampered"]}, "workflow": {"status": 5}, "parameters": "tampered"},
    {"node": {"phase": 5}, "workflow": {"spec": None}, "parameters": {"word": {}}},
    {"node": {"name": None}, "workflow": {"metadata": {"labels": {"a": 5}}}, "parameters": {"word": True}},
    {"node": [], "requeue": "soon", "workflow": {"spec": {"templates": {}}}, "parameters": 0},
)
BAD_BODIES: Final = (*map(ok, _ILLEGAL), *map(document, _UNACCEPTABLE))
"""No method takes any of them."""
TOO_BIG: Final = (ok(b'{"a":"' + b"x" * 2_000_000 + b'"}'), b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n")
WITH_MORE_THAN_ASKED: Final = (NOTHING + NOTHING, NOTHING + b"and another thing", NOTHING + refusal("500 No"))
FLOODS: Final = (
    (b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 1000 + b"\r\n"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"z" * 4096 + b"\r\n"),
    (b"HTTP/1.0 200 OK\r\n\r\n", b" " * 4096),
    (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
)
"""What to begin with, and what to send again and again."""

LIES: Final = tuple(
    map(
        document,
        (
            {"node": {"phase": "Failed", "message": "tampered"}, "workflow": {"spec": {"suspend": True}}},
            {"node": {"phase": "Succeeded", "message": "tampered"}, "workflow": {"status": {"phase": "Failed"}}},
            {"node": {"phase": "Running"}, "requeue": "1h", "parameters": {"word": "tampered"}},
            {"workflow": {"metadata": {"annotations": {"soak/begun": "1000", "soak/ended": "1000"}}}},
        ),
    )
)
