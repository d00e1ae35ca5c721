"""Batches of calls (docs/batches.md): taken apart, answered one by one or all at once, and put together.

Most calls of a loop are answered with nothing, so a batch in which all are costs its decoding and the function calls.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import orjson

from rpc.methods import Method
from rpc.plugin.answers import BadRequest, BatchHandler, Encoded, Handler, Replies, encode, refusal

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
    """A function for one call as one for many. What it raises is for that call; where it is async, all run together."""

    def answer(calls: list[dict[str, Any]]) -> Replies | Awaitable[Replies]:
        replies: list[Any] = []
        for args in calls:
            try:
                replies.append(function(args))
            except Exception as error:
                replies.append(error)
        if replies.count(None) == len(replies):
            return replies
        unfinished = [n for n, reply in enumerate(replies) if reply is not None and inspect.isawaitable(reply)]
        return _finish(replies, unfinished) if unfinished else replies

    return answer


async def _finish(replies: list[Any], unfinished: list[int]) -> Replies:
    finished = await asyncio.gather(*[replies[n] for n in unfinished], return_exceptions=True)
    for n, reply in zip(unfinished, finished, strict=True):
        replies[n] = reply
    return replies


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
