"""Replies to try on a lane: made by a grammar that likes edges, then often damaged.

Everything comes from one `random.Random`, so a seed and a number name an input for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Ending = Literal["fin", "reset"]

_STATUSES: Final = ["200 OK"] * 60 + [
    "200", "204 No Content", "404 Not Found", "503 Busy", "429 Slow", "500 Oops", "301 Moved", "304 Same", "201 Made",
    "205 Reset", "100 Continue", "101 Switching", "102 P", "103 Hints", "199 X", "999 X", "099 X", "20 OK", "2000 OK",
    "0 OK", "-1 OK", "abc OK", "", " 200 OK", "200  OK", "200\tOK", "200 \xe9t\xe9",
]  # fmt: skip
_VERSIONS: Final = ["HTTP/1.1"] * 150 + [
    "HTTP/1.0", "HTTP/1.0", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/2", "HTTP/1.2", "HTTP/1.10", "HTTP/11",
    "http/1.1", "HTTP /1.1", "HTTPS/1.1", "HTTP/1,1", "ICY", "RTSP/1.0", " HTTP/1.1",
]  # fmt: skip
_PLAIN_HEADERS: Final = [
    "Server: nginx", "Date: Sun, 22 Nov 2026 09:35:54 GMT", "Content-Type: application/json", "Connection: keep-alive",
    "Cache-Control: no-store", "X-Request-Id: 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "Vary: Accept-Encoding",
]  # fmt: skip
_HEADERS: Final = [
    "Connection: close", "Connection: Close, x", "Connection: upgrade", "Connection: keep-alive, close", "Connection:",
    "Upgrade: h2c", "Keep-Alive: timeout=5", "Retry-After: 1", "Retry-After: soon", "Retry-After: ", "Location: /x",
    "Content-Encoding: gzip", "Content-Encoding: identity", "Content-Encoding: Identity", "Content-Encoding:",
    "Content-Encoding: br, identity", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: Chunked",
    "Transfer-Encoding: chunked ", "Transfer-Encoding: xchunked", "Transfer-Encoding:", "Transfer-Encoding: \tchunked",
    "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: ,chunked", "Content-Length: 0", "Content-Length: 2",
    "Content-Length: 02", "Content-Length: +2", "Content-Length: 2, 2", "Content-Length: 2 2", "Content-Length:",
    "Content-Length: 0x2", "Content-Length: 2 ", "Content-Length: 18446744073709551615",
    "Content-Length: 18446744073709551616", "Content-Length: 9223372036854775808", "Content-Length: 1_0",
    "Content-Length : 2", " Content-Length: 2", "X:y", "X: \xe9", "X: a\tb", "X: a\x01b", "X: a\x7fb", "X\x01: y", ":",
    "X", ": y", "X Y: z", "X: \"a\", b", "Set-Cookie: a=b", "Trailer: X", "Content-Range: bytes 0-1/2", "X: a\r b",
    "Proxy-Connection: close", "Proxy-Connection: keep-alive", "X@: y", "X\xe9: y", "(X): y",
]  # fmt: skip
_BODIES: Final = [b"{}"] * 6 + [
    b"", b"[]", b"null", b'{"node":{"phase":"Succeeded"}}', b"<html>", b"{", b"}\r\n\r\n", b"\r\n", b"0\r\n\r\n",
    b"{}\n", b"\xff\xfe", b'{"a":"' + b"x" * 300 + b'"}', b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
]  # fmt: skip
_TOKENS: Final = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"1", b"9", b"f", b"-",
    b"+", b"{}", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 2\r\n",
    b"chunked", b"Transfer-Encoding: chunked\r\n", b"close", b"0\r\n\r\n", b"2\r\n{}\r\n", b"\r\n ", b"\xff", b"\x80",
    b"ffffffffffffffff",
]  # fmt: skip


@dataclass(frozen=True)
class Input:
    """A reply, where the network cuts it, and how the connection ends if that does not end the call."""

    raw: bytes
    cuts: tuple[int, ...]
    ending: Ending

    def __str__(self) -> str:
        return f"{self.raw!r}\ncut at {self.cuts}, then {self.ending}"

    @property
    def pieces(self) -> list[bytes]:
        return [self.raw[a:b] for a, b in zip((0, *self.cuts), (*self.cuts, len(self.raw)), strict=True) if b > a]


def generate(dice: Random) -> Input:
    """The next input of `dice`."""
    raw = _reply(dice)
    while dice.random() < 0.35 and raw:
        raw = _damage(dice, raw)
    return Input(raw, _cuts(dice, len(raw)), "reset" if dice.random() < 0.3 else "fin")


def _reply(dice: Random) -> bytes:
    end = "\n" if dice.random() < 0.06 else "\r\n"
    parts = []
    if dice.random() < 0.1:
        count = dice.choice((1, 1, 2, 3, 15, 16, 17))
        parts.append(f"HTTP/1.1 {dice.choice(('100 Continue', '103 Hints', '102 P'))}{end}{end}".encode() * count)
    if dice.random() < 0.02:
        parts.append(end.encode() * dice.randint(1, 3))
    lines = [f"{dice.choice(_VERSIONS)} {dice.choice(_STATUSES)}"]
    lines += dice.choices(_PLAIN_HEADERS, k=dice.randint(0, 4))
    lines += dice.choices(_HEADERS, k=dice.choice((0, 0, 0, 0, 1, 1, 2)))
    if dice.random() < 0.01:
        lines += ["X: y"] * dice.randint(95, 105)
    body = dice.choice(_BODIES)
    framing = dice.random()
    if framing < 0.45:
        lines.append(f"Content-Length: {len(body)}")
    elif framing < 0.75:
        lines.append("Transfer-Encoding: chunked")
        body = _chunked(dice, body)
    if dice.random() < 0.05:
        lines.insert(dice.randint(1, len(lines)), dice.choice((" folded", "\tfolded", " ", "")))
    if dice.random() < 0.2:
        head = lines[1:]
        dice.shuffle(head)
        lines[1:] = head
    parts.append((end.join(lines) + end + end).encode("latin-1"))
    parts.append(body)
    if dice.random() < 0.06:
        parts.append(dice.choice(_TOKENS))
    return b"".join(parts)


def _chunked(dice: Random, body: bytes) -> bytes:
    parts = []
    at = 0
    while at < len(body):
        size = dice.randint(1, len(body) - at)
        extension = dice.choice((b"",) * 40 + (b";a", b";a=b", b';a="b"', b" ", b"; ", b"\t", b";\x01"))
        form = dice.choice((b"%x",) * 40 + (b"%X", b"0%x", b"0x%x", b"%d "))
        end = b"\n" if dice.random() < 0.03 else b"\r\n"
        parts.append(form % size + extension + end + body[at : at + size] + end)
        at += size
    if dice.random() < 0.95:
        parts.append(dice.choice((b"0",) * 20 + (b"00", b"0;x", b"-0", b"")) + b"\r\n")
        while dice.random() < 0.15:
            parts.append(dice.choice(_HEADERS).encode("latin-1") + b"\r\n")
        if dice.random() < 0.95:
            parts.append(b"\r\n")
    return b"".join(parts)


def _damage(dice: Random, raw: bytes) -> bytes:
    at = dice.randrange(len(raw))
    match dice.randrange(7):
        case 0:
            return raw[:at] + bytes([raw[at] ^ 1 << dice.randrange(8)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + dice.choice(_TOKENS) + raw[at:]
        case 2:
            return raw[:at] + raw[at + dice.randint(1, 4) :]
        case 3:
            return raw[:at]
        case 4:
            other = dice.randrange(len(raw))
            return raw[: max(at, other)] + raw[min(at, other) :]
        case 5:
            lines = raw.splitlines(keepends=True)
            lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
            return b"".join(lines)
        case _:
            return raw[:at] + dice.choice(_TOKENS) + raw[at + 1 :]


def _cuts(dice: Random, size: int) -> tuple[int, ...]:
    if size < 2 or dice.random() < 0.4:
        return ()
    if dice.random() < 0.05:
        return tuple(range(1, size))
    return tuple(sorted(dice.sample(range(1, size), min(size - 1, dice.randint(1, 4)))))
