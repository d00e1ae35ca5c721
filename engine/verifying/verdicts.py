"""What an engine would do with an answer, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import orjson

from engine.model.node import FULFILLED
from engine.model.workflow import COMPLETED_PHASES
from engine.plugins import LONGEST_WAIT
from engine.verifying.effects import Arguments, effect_of
from rpc import FatalError, Method, PluginError, TransientError
from rpc.methods import ReplyKind
from rpc.replies import EMPTY, REQUEUE, NodeReply, Reply, meant_by

_LONGEST = 200
"""Characters that are shown of what a field was, and is."""
_FAILS: Final[dict[ReplyKind, str]] = {
    "workflow": "The workflow becomes Error.",
    "parameters": "The workflow becomes Error.",
    "node": "The node becomes Error.",
    "nothing": "It is logged, and changes nothing.",
}
"""What a fatal failure leads to."""


class Verdict(NamedTuple):
    """``faulty``: it is no reply that an engine could use."""

    lines: Sequence[str]
    faulty: bool


def verdict_on(
    plugin: str, method: Method, arguments: Arguments, outcome: Reply | PluginError | None, unknown: Sequence[str] = ()
) -> Verdict:
    """Of an answer by a call with these arguments; None for 404. ``unknown`` are keys in it that nobody knows.

    Raises `ValueError` where the arguments are none of the method's.
    """
    if outcome is None:
        return Verdict(["404: the plugin does not have this method, and is not asked again for a minute."], True)
    if isinstance(outcome, TransientError):
        return Verdict([f"Transient: {outcome.reason}", _put_off(method, outcome)], True)
    changes, refused = effect_of(plugin, method, arguments, outcome)
    if isinstance(outcome, FatalError) or refused:
        why = outcome.reason if isinstance(outcome, FatalError) else refused
        return Verdict([f"Fatal: {why}", _FAILS[method.reply]], True)
    lines = [f"{field}: {_shown(old)} -> {_shown(new)}" for field, (old, new) in changes.items()]
    if outcome is EMPTY and method is Method.TEMPLATE_EXECUTE:
        return Verdict(["It declines: the next plugin is asked; where all do, the node is Error."], False)
    lines += _consequences(method, {field: new for field, (_, new) in changes.items()}, outcome)
    for key in unknown:
        if key == REQUEUE and not method.requeues:
            lines.append(f"Ignored: requeue, which {method} does not have.")
            continue
        meant = meant_by(method, key)
        lines.append(f"Ignored: {key}, a key that the protocol does not know{meant and f'; did you mean {meant}?'}")
    return Verdict(lines or ["Nothing to say: nothing changes."], False)


def _put_off(method: Method, error: TransientError) -> str:
    when = "after a while" if error.retry_after is None else f"after {min(error.retry_after, LONGEST_WAIT):g} s"
    if method is Method.TEMPLATE_EXECUTE:
        return f"It is asked again {when}."
    return f"It is tried again, then the pass is aborted, which leaves all as it was, and made again {when}."


def _consequences(method: Method, becomes: dict[str, object], outcome: object) -> Iterator[str]:
    if method is Method.NODE_PRE_EXECUTE and becomes.get("node.phase") in FULFILLED:
        yield "The node does not run, or is stopped; plugins after this one are not asked in this method."
    if becomes.get("workflow.status.phase") in COMPLETED_PHASES:
        yield "The workflow ends: nothing is started, what runs is stopped."
    if isinstance(outcome, NodeReply) and outcome.requeue is not None and becomes.get("node.phase") not in FULFILLED:
        yield f"It is asked again after {outcome.requeue:g} s."


def _shown(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
