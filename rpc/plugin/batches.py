"""Batches of calls (docs/batches.md): taken apart, answered one by one or all at once, and put together.

Most calls of a loop are answered with nothing, so a batch in which all are costs its decoding and the function calls.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from time import perf_counter
from typing import Any, Final, TypeVar

import orjson

from rpc.methods import Method
from rpc.plugin.answers import BadRequest, BatchHandler, Encoded, Handler, Replies, encode, refusal

MAX_CALLS: Final = 4096
"""Calls in a batch. With more the answer is 413, upon which the engine sends halves."""
MAX_BATCH: Final = 8 * 1024 * 1024
"""Bytes in the body of a batch; the same."""

_SLICE: Final = 0.01
"""Seconds of a batch between which other connections have their turn."""
_STARTED: Final = 256
"""Functions begun in a slice: each async one makes its first step in the same turn of the loop."""

_T = TypeVar("_T")
_log = logging.getLogger("rpc.plugin")


class Batch:
    """What a batch's path leads to: gets the request's document, gives the reply's body.

    ``announcement`` is put beside the replies.
    """

    def __init__(self, plugin: str, method: Method, answer: BatchHandler, announcement: dict[str, str]) -> None:
        self._plugin = plugin
        self._method = method
        self._answer = answer
        self._end = b"]" + (b"," + orjson.dumps(announcement)[1:] if announcement else b"}")

    def __call__(self, document: dict[str, Any]) -> Encoded | Awaitable[Encoded]:
        """Raises `BadRequest`, and what the function for all calls raises."""
        calls = unpack(document)
        count = len(calls)
        replies = self._answer(calls)
        if inspect.isawaitable(replies):
            return self._wait(replies, count)
        return self._pack(replies, count)

    async def _wait(self, replies: Awaitable[Replies], count: int) -> Encoded:
        return self._pack(await replies, count)

    def _pack(self, replies: Replies, count: int) -> Encoded:
        replies = _checked(replies, count)
        if replies.count(None) == count:
            entries = (b"{}," * count)[:-1]
        else:
            failures: list[BaseException] = []
            entries = b",".join([b"{}" if reply is None else _entry(reply, failures) for reply in replies])
            if failures:
                told = "plugin %s failed in %d of %d calls of a %s batch, first with this"
                _log.error(told, self._plugin, len(failures), count, self._method, exc_info=failures[0])
        return Encoded(b'{"replies":[' + entries + self._end)


def each(function: Handler) -> BatchHandler:
    """A function for one call as one for many. What it raises is for that call; where it is async, all run together.

    Calls are made in slices of time, and other connections have their turn between them.
    """

    def answer(calls: list[dict[str, Any]]) -> Replies | Awaitable[Replies]:
        replies: list[Any] = []
        _go_on(function, calls, replies)
        if len(replies) == len(calls) and not any(map(_is_running, replies)):
            return replies
        return _finish(function, calls, replies)

    return answer


def _go_on(function: Handler, calls: list[dict[str, Any]], replies: list[Any]) -> None:
    """Call it for those that have no reply yet, until the slice is over."""
    end = perf_counter() + _SLICE
    for number in range(len(replies), min(len(calls), len(replies) + _STARTED)):
        try:
            reply = function(calls[number])
            if type(reply) is not dict and inspect.isawaitable(reply):
                reply = asyncio.ensure_future(reply)
            replies.append(reply)
        except (Exception, asyncio.CancelledError) as error:
            replies.append(error)
        if perf_counter() > end:
            break


async def _finish(function: Handler, calls: list[dict[str, Any]], replies: list[Any]) -> Replies:
    try:
        while len(replies) < len(calls):
            await asyncio.sleep(0)
            _go_on(function, calls, replies)
    except asyncio.CancelledError:
        for reply in filter(_is_running, replies):
            reply.cancel()
        raise
    finished = iter(await asyncio.gather(*filter(_is_running, replies), return_exceptions=True))
    return [next(finished) if _is_running(reply) else reply for reply in replies]


def _is_running(reply: object) -> bool:
    return isinstance(reply, asyncio.Future)


def only(function: BatchHandler) -> Handler:
    """A function for many calls as one for one call."""

    def answer(args: dict[str, Any]) -> Any:
        replies = function([args])
        return _wait_for_only(replies) if inspect.isawaitable(replies) else _checked(replies, 1)[0]

    return answer


async def _wait_for_only(replies: Awaitable[Replies]) -> Any:
    return _checked(await replies, 1)[0]


def _checked(replies: Replies, count: int) -> Replies:
    if not isinstance(replies, list | tuple):
        raise TypeError(f"returned {type(replies).__name__}, not a list of replies")
    if len(replies) != count:
        raise ValueError(f"returned {len(replies)} replies to {count} calls")
    return replies


def _entry(reply: object, failures: list[BaseException]) -> bytes:
    """What stands in the reply for one call."""
    if not isinstance(reply, BaseException):
        try:
            return encode(reply)
        except TypeError as error:
            reply = error
    refused = refusal(reply)
    if refused.status == 500:
        failures.append(reply)
    told: dict[str, object] = {"status": refused.status, "message": refused.message}
    if refused.retry_after is not None:
        told["retryAfter"] = refused.retry_after
    return orjson.dumps({"error": told})


def unpack(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The arguments of each call, in the place of the call: they are what a request of its own would have.

    Workflow and templates are not copied but shared. Raises `BadRequest`.
    """
    workflow = _member(document, "workflow", dict, "object")
    templates = _member(document, "templates", dict, "object")
    calls = _member(document, "calls", list, "array")
    if len(calls) > MAX_CALLS:
        raise BadRequest(f"expected at most {MAX_CALLS} calls, got {len(calls)} - at `$.calls`", 413)
    for number, call in enumerate(calls):
        try:
            call["template"] = templates[call["template"]]
        except (KeyError, TypeError):
            if isinstance(call, dict):
                raise BadRequest(f"expected a key of `templates` - at `$.calls[{number}].template`") from None
            raise BadRequest(f"expected an object - at `$.calls[{number}]`") from None
        call["workflow"] = workflow
    return calls


def _member(document: dict[str, Any], key: str, kind: type[_T], called: str) -> _T:
    value = document.get(key)
    if not isinstance(value, kind):
        raise BadRequest(f"expected an {called} - at `$.{key}`")
    return value
