"""What `oarlock explain` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from engine.cli.values import shown, shown_apart
from engine.recording.explaining import Event, is_silent
from engine.recording.format import Began, Called, Ended
from registry.terminal import printable
from rpc import Outcome

_MOST: Final = 300
"""Characters of a value that are shown."""


def as_json(event: Event) -> str:
    """A line of JSON with all that is known of it."""
    told, pass_ = msgspec.to_builtins(event.told), event.pass_
    more = {"workflow": pass_.workflow, "uid": pass_.uid, **({"reply": event.reply} if "reply" in told else {})}
    return json.dumps({**told, **more})  # in ASCII: nothing in it steers a terminal


def as_text(events: Iterator[Event], *, whole: bool) -> Iterator[str]:
    """Lines for people; with the names of nodes where they are about a ``whole`` workflow."""
    silent: dict[str, int] = {}
    process, under_way, anew, phase = 0, 0, "", ""
    for event in events:
        told, lines = event.told, list[str]()
        if isinstance(told, Began):
            if process and event.pass_.process != process:
                lost = f"; whether pass {under_way} counted is not recorded" if under_way else ""
                anew = f"{_time(told.began)}  another process went on, which counts passes anew{lost}"
            process, under_way = event.pass_.process, told.number
        elif isinstance(told, Ended):
            under_way = 0
            if told.result != "committed":
                why = f": {told.reason}" if told.reason else ""
                lines.append(f"{_time(told.ended)}  pass {told.number} was {told.result}{why}; nothing in it counts")
            elif whole and told.phase != phase:
                phase = told.phase
                lines.append(f"{_time(told.ended)}  pass {told.number}  the workflow is {phase}")
        elif isinstance(told, Called):
            if event.phase:
                lines.append(f"{_time(told.at)}  the node is {event.phase} now, which is no plugin's doing")
            if not is_silent(told):
                lines += _call(told, event.reply, whole=whole)
        if lines:
            yield from _silence(silent)
            yield from map(printable, [anew, *lines] if anew else lines)
            anew = ""
        if isinstance(told, Called) and is_silent(told) and told.outcome is Outcome.ANSWERED:
            silent[told.plugin] = silent.get(told.plugin, 0) + 1
    yield from _silence(silent)


def _silence(silent: dict[str, int]) -> Iterator[str]:
    if silent:
        told = ", ".join(f"{plugin} {count} times" if count > 1 else plugin for plugin, count in silent.items())
        yield printable(f"    asked and had nothing to say: {told}")
        silent.clear()


def _call(call: Called, reply: Any, *, whole: bool) -> Iterator[str]:
    about = f"  {call.node.name}" if whole and call.node is not None else ""
    if call.known:
        what = "what it answered before counts now"
    elif call.outcome is Outcome.ANSWERED:
        what = f"answered {shown(reply, _MOST)}" if call.reply else "answered"
    else:
        what = call.outcome.replace("_", " ")
    took = "" if call.travelled is None else f" in {call.travelled * 1000:.1f} ms"
    again = f", attempt {call.attempts}" if call.attempts > 1 else ""
    yield f"{_time(call.at)}  pass {call.number}  {call.plugin}  {call.method}{about}: {what}{took}{again}"
    if call.error:
        yield f"    {call.error}"
    for verb, changes in (("", call.changed), ("would change ", call.would_change)):
        for name, (old, new) in changes.items():
            yield f"    {verb}{name}: {' -> '.join(shown_apart(old, new, _MOST))}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
