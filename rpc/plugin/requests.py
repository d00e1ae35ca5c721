"""A request as a plugin gets it: what answers it, and what its arguments are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from rpc.plugin.answers import BadRequest


class Endpoint(NamedTuple):
    """What answers the arguments of a request, and the bytes that its body may have."""

    answer: Callable[[dict[str, Any]], object]
    max_body: int


class Served(Protocol):
    """What a connection needs of the plugin: who may ask, what answers at a path, what is said where nothing does."""

    name: str
    max_body: int
    authorization: bytes | None

    def endpoint(self, target: bytes) -> Endpoint | None: ...

    def not_found(self) -> bytes: ...


class Request(NamedTuple):
    """A complete request. ``endpoint`` is None where there is none for it; ``carrier`` has the headers of its trace."""

    verb: bytes
    url: bytes
    endpoint: Endpoint | None
    body: bytes | bytearray
    keep_alive: bool
    carrier: Mapping[str, list[str]]

    def answer(self, endpoint: Endpoint) -> object:
        """What the endpoint says to the arguments, or an awaitable of that. Raises `BadRequest`, and what it raises."""
        try:
            args = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"the arguments are not JSON: {error}") from error
        if type(args) is not dict:
            raise BadRequest("the arguments are not a JSON object")
        return endpoint.answer(args)


def head(verb: bytes, version: str, *, length: bytes, encoding: bytes, keep_alive: bool) -> bytes:
    """The head of a request without an offer of another protocol: what tells where the request ends."""
    lines = [b"%b / HTTP/%b" % (verb, version.encode())]
    if length:
        lines.append(b"Content-Length: " + length)
    if encoding:
        lines.append(b"Transfer-Encoding: " + encoding)
    if not keep_alive:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"
