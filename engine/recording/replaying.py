"""Recorded requests, sent to another version of a plugin, and its replies beside those that were recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import orjson

from engine.recording.comparing import Difference, differences, meaning, meaning_of, refusal
from engine.recording.format import Called
from engine.recording.reading import Record
from rpc import Client, Method, Outcome, TransientError
from rpc.batches import Call, CallBatch
from rpc.replies import EMPTY, IllegalReply
from rpc.window import Outcomes

CHUNK: Final = 256
"""Calls that are sent together, as an engine does."""

Skipped = Literal["", "cut", "unanswered"]
"""Why a call was not sent: not all of it, or of its reply, was kept; or there was no answer to compare with."""

_REFUSED: Final = (Outcome.BAD_STATUS, Outcome.ILLEGAL, Outcome.MALFORMED)
_ANSWERED: Final = (Outcome.ANSWERED, Outcome.UNSUPPORTED)


class Compared(NamedTuple):
    """A recorded call, and what came of it now. ``about`` is the node's name, or the workflow's."""

    number: int
    plugin: str
    method: Method
    about: str
    differences: tuple[Difference, ...] = ()
    skipped: Skipped = ""
    hidden: bool = False
    """Whether it was sent without the secrets that were in it."""


class _Due(NamedTuple):
    told: Compared
    call: Call
    expected: dict[str, Any]


class Replay:
    """A record, sent to ``clients`` by the names of the recorded plugins. ``seen`` are the plugins in the record."""

    def __init__(self, record: Record, clients: Mapping[str, Client]) -> None:
        self._record = record
        self._clients = clients
        self.seen: set[str] = set()

    async def run(self) -> AsyncIterator[Compared]:
        """Send all calls, those to one plugin in their order. Raises `RecordError`."""
        due: dict[str, tuple[tuple[Any, ...], list[_Due]]] = {}
        for pass_, told in self._record.told(lambda line: True):
            if not isinstance(told, Called) or told.known:
                continue
            plugin = told.plugin
            self.seen.add(plugin)
            if plugin not in self._clients:
                continue
            about = told.node.name if told.node is not None else pass_.workflow
            compared = Compared(told.number, plugin, told.method, about)
            if told.outcome not in (*_ANSWERED, *_REFUSED):
                yield compared._replace(skipped="unanswered")
                continue
            sent, expected = self._record.sent(told.request), self._expected(told)
            call = _call(told.method, sent.arguments) if sent is not None else None
            if sent is None or call is None or expected is None:
                yield compared._replace(skipped="cut")
                continue
            kind = pass_.uid, told.number, told.method
            waiting = due.setdefault(plugin, (kind, []))
            if waiting[0] != kind or len(waiting[1]) >= CHUNK:
                async for each in self._send(plugin, waiting[1]):
                    yield each
                waiting = due[plugin] = kind, []
            waiting[1].append(_Due(compared._replace(hidden=sent.hidden), call, expected))
        for plugin, (_, waiting_last) in due.items():
            async for each in self._send(plugin, waiting_last):
                yield each

    async def _send(self, plugin: str, due: list[_Due]) -> AsyncIterator[Compared]:
        if not due:
            return
        outcomes: Outcomes = [None] * len(due)
        calls = [each.call for each in due]
        batch = CallBatch(_workflow(calls[0]), calls)
        await self._clients[plugin].ask(due[0].told.method, batch, outcomes, tolerant=True)
        for each, outcome in zip(due, outcomes, strict=True):
            now = meaning(outcome or EMPTY)
            if isinstance(outcome, TransientError):
                now = {"failure": outcome.reason}
            yield each.told._replace(differences=tuple(differences(each.expected, now)))

    def _expected(self, call: Called) -> dict[str, Any] | None:
        """What is to come of the call; None where that was not kept."""
        if call.outcome in _REFUSED:
            return refusal(call.outcome, call.status)
        if call.outcome is Outcome.UNSUPPORTED or not call.reply:
            return {}
        body = self._record.body(call.reply)
        if body is None or not isinstance(body.json, dict):
            return None
        try:
            return meaning_of(call.method, body.json)
        except IllegalReply:  # as it was recorded, with something left out
            return None


def _call(method: Method, arguments: dict[str, Any]) -> Call | None:
    """The call as it was sent, in the parts that a batch has in common; None where these are no arguments of it."""
    if not all(isinstance(arguments.get(name), dict) for name in method.arguments):
        return None
    if "template" not in method.arguments:
        return Call(orjson.dumps(arguments), "", b"", b"")
    template = orjson.dumps(arguments["template"])
    head = b"".join((b'{"workflow":', orjson.dumps(arguments["workflow"]), b',"template":', template))
    own = {name: arguments[name] for name in method.arguments if name not in ("workflow", "template")}
    name = str(arguments["template"].get("name", ""))
    return Call(head, name, template, b"," + orjson.dumps(own)[1:] if own else b"}")


def _workflow(call: Call) -> bytes:
    return call.head[len(b'{"workflow":') : -len(b',"template":') - len(call.template)] if call.template else b""
