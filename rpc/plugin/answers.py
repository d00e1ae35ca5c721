"""What a plugin's functions answer, and what becomes of it on the wire, one call at a time or in a batch."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson

Reply = dict[str, Any] | None
Handler = Callable[[Any], Reply | Awaitable[Reply]]
"""Answers one call: gets its arguments, a dict or one of `rpc.arguments`, returns its reply, None for ``{}``."""

Replies = Sequence[Reply | BaseException]
BatchHandler = Callable[[list[Any]], Replies | Awaitable[Replies]]
"""Answers a list of calls: gets the arguments of each, returns for each its reply, None, or an exception."""


class Unavailable(Exception):
    """Raised by a plugin's function: it cannot answer now, ask again, in `retry_after` seconds if given (503).

    The peer is told the message. Raises `TypeError` or `ValueError` for a `retry_after` that is no number.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = None if retry_after is None else float(retry_after)


class BadRequest(Exception):
    """What came is not the request that it should be; the message says what was expected, and where."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Encoded:
    """A body that is JSON already."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


class Refusal(NamedTuple):
    """What is said in place of a reply. ``retry_after`` is in whole seconds, as Retry-After is (RFC 9110, 10.2.3)."""

    status: int
    message: str
    retry_after: int | None = None


def encode(reply: object) -> bytes:
    """The body for what a function returned. An exception counts as raised.

    Raises it, or `TypeError` where this is no reply; orjson's own errors are `TypeError`s too.
    """
    if type(reply) is dict:
        return orjson.dumps(reply)
    if type(reply) is Encoded:
        return reply.content
    if reply is None or reply == {}:
        return b"{}"
    if isinstance(reply, Exception):
        raise reply
    raise TypeError(f"returned {type(reply).__name__}, not a dict or None")


def refusal(error: BaseException) -> Refusal:
    """What a peer is told of an exception: where its author did not mean it for peers, only that there was one."""
    if isinstance(error, Unavailable):
        wait = error.retry_after
        seconds = None if wait is None or not math.isfinite(wait) else max(0, math.ceil(wait))
        return Refusal(503, _encodable(str(error)), seconds)
    if isinstance(error, BadRequest):
        return Refusal(error.status, _encodable(str(error)))
    return Refusal(500, "the plugin failed, and its log says how")


def _encodable(text: str) -> str:
    """The text without lone surrogates, which names of files may have and JSON may not."""
    return text.encode(errors="replace").decode()
