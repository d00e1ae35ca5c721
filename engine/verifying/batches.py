"""Batches, beside the single calls that they stand for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from engine.verifying import samples
from engine.verifying.checks import Asking
from engine.verifying.effects import Arguments
from engine.verifying.exchanges import Failed
from engine.verifying.judging import Problem, check_marks, check_status, document_of, judge, kind_of_illegal
from rpc.batches import Illegal, decode_batch
from rpc.lanes import Response
from rpc.replies import IllegalReply
from rpc.sizing import BatchPolicy
from rpc.statuses import excerpt

_CALLS: Final = 8
_MANY: Final = BatchPolicy().max_calls
"""As many as the engine puts into a batch at the most."""
_GOOD_TIME: Final = 0.1
"""Seconds that a batch may take before the engine makes the next ones smaller."""


class _Answered(NamedTuple):
    entries: list[Any]
    seconds: float


async def check_batches(asking: Asking) -> list[Problem]:
    """Several calls beside the single ones; then one call, many, with unknown fields, and several batches at a time."""
    method = asking.had.method
    few = max(1, min(_CALLS, int(asking.exchanges.timeout / 2 / max(asking.had.typical or 0.0, 0.001))))
    calls = _calls(asking, few)
    singles = [document_of(await asking.ask(each)) for each in calls]
    steady = [document_of(await asking.ask(each)) for each in calls] == singles
    answered = await _ask(asking, calls)
    if answered is None:
        return []
    asking.had.batches = True
    if steady:
        _compare(singles, answered.entries)
    await _ask(asking, _calls(asking, 1))
    await _ask(asking, [samples.with_unknown_fields(method, asking.number(), batched=True) for _ in range(2)])
    await _ask(asking, _calls(asking, max(few, min(_MANY, int(few * _GOOD_TIME / answered.seconds)))))
    await asyncio.gather(*(_ask(asking, _calls(asking, few)) for _ in range(3)))
    return []


def _calls(asking: Asking, many: int) -> list[Arguments]:
    """So many about nodes in all phases that the method is called in."""
    method = asking.had.method
    made: list[Arguments] = []
    while len(made) < many:
        phases = samples.in_phases(method, asking.number(10), batched=True)
        made += phases.values() or [samples.sample(method, asking.number(), batched=True)]
    return made[:many]


async def _ask(asking: Asking, calls: Sequence[Arguments]) -> _Answered | None:
    """What is answered to a batch; None where they are not, or not such large ones, which an engine cuts in halves.

    Raises `Failed`.
    """
    method = asking.had.method
    try:
        answer = await asking.exchanges.ask(f"{asking.had.path}.batch", samples.batch_of(calls))
        if answer.status == 404 or (answer.status == 413 and len(calls) > _CALLS):
            return None
        check_status(answer)
    except Failed as failed:
        if failed.kind == "timeout" and len(calls) > _CALLS:
            return None
        raise Failed("batch", f"{len(calls)} calls: {failed.what}") from None
    try:
        decoded = decode_batch(method, answer.body, len(calls))
    except IllegalReply as error:
        name = "batch-count" if "one for each call" in str(error) else kind_of_illegal(answer.body, error)
        raise Failed(name, f"{error}{excerpt(answer.body)}") from None
    if decoded is None:
        return None
    entries: list[Any] = document_of(answer)["replies"]
    for place, (arguments, reply) in enumerate(zip(calls, decoded.replies, strict=True)):
        if isinstance(reply, Illegal):
            name = kind_of_illegal(reply.response.body, reply.why)
            raise Failed(name, f"reply {place} of a batch: {reply.why}{excerpt(reply.response.body)}")
        if isinstance(reply, Response):
            raise Failed("batch-differs", f"reply {place} of a batch is an error: status {reply.status}")
        _check_place(place, arguments, entries)
        judge(method, arguments, reply)
    return _Answered(entries, answer.seconds)


def _check_place(place: int, arguments: Arguments, entries: Sequence[Any]) -> None:
    try:
        check_marks(arguments, orjson.dumps(entries[place]))
    except Failed as failed:
        raise Failed("batch-order", f"reply {place} of a batch is about another call: {failed.what}") from None


def _compare(singles: Sequence[Any], replies: Sequence[Any]) -> None:
    for place, (single, reply) in enumerate(zip(singles, replies, strict=True)):
        if single != reply:
            if sorted(map(orjson.dumps, singles)) == sorted(map(orjson.dumps, replies)):
                raise Failed("batch-order", f"reply {place} of a batch is that to another of its calls")
            texts = [excerpt(orjson.dumps(each)).removeprefix(", body: ") for each in (single, reply)]
            raise Failed("batch-differs", f"call {place}, by itself: {texts[0]}; in a batch: {texts[1]}")
