"""What plugins had to say to each node, the last of it and in memory: who answered what, and what that has changed."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

from engine.recording.recorder import PassTold, Recorder, Told
from engine.serving.requests import Document
from rpc.credentials import without

EVENTS: Final = 50_000
"""So many are kept at all, in some 1 KB each; the nodes of which nothing was heard for longest lose theirs first."""

OF_A_NODE: Final = 30
"""And so many of one node, or workflow."""

MAX_VALUE: Final = 1000
"""Characters of a value that was changed."""


class _Event(NamedTuple):
    told: Told
    times: int
    """How often in a row it was the same, of which this is the last."""


class Stories:
    """What a recorder tells of nodes and workflows; those are known by their uid, in place of a node by an empty id."""

    def __init__(self, recorder: Recorder) -> None:
        self._secrets = recorder.secrets
        self._events: OrderedDict[tuple[str, str], deque[_Event]] = OrderedDict()
        self._count = 0
        self._aborted: OrderedDict[tuple[str, int], str] = OrderedDict()
        """Why passes left no trace."""
        recorder.listeners.append(self._hear)

    def of(self, uid: str, nodes: Iterable[str]) -> bytes:
        """An array of what was heard of nodes of a workflow, by time."""
        events = [event for node in nodes for event in self._events.get((uid, node), ())]
        events.sort(key=lambda event: event.told.at)
        return self._secrets.without(orjson.dumps([self._shown(event) for event in events]))[0]

    def _shown(self, event: _Event) -> Document:
        told = event.told
        return {
            "at": told.at,
            "times": event.times,
            "pass": told.number,
            "plugin": told.plugin,
            "method": told.method,
            "outcome": told.outcome,
            "status": told.status,
            "error": told.error,
            "changed": [{"field": field, "old": old, "new": new} for field, (old, new) in told.changed.items()],
            "observed": told.observed,
            "known": told.known,
            "takenBack": self._aborted.get((told.uid, told.number)),
        }

    def _hear(self, told: Told | PassTold) -> None:
        if isinstance(told, PassTold):
            if told.ended != "committed":
                self._aborted[told.uid, told.number] = told.reason or told.ended
                if len(self._aborted) > EVENTS:
                    self._aborted.popitem(last=False)
            return
        key = told.uid, told.node
        events = self._events.get(key)
        if events is None:
            events = self._events[key] = deque()
        else:
            self._events.move_to_end(key)
        told = told._replace(
            reply=b"",
            changed={field: (self._short(old), self._short(new)) for field, (old, new) in told.changed.items()},
        )
        times = 1
        if events and _alike(events[-1].told, told):
            times += events.pop().times
            self._count -= 1
        events.append(_Event(told, times))
        self._count += 1
        if len(events) > OF_A_NODE:
            events.popleft()
            self._count -= 1
        while self._count > EVENTS:
            self._count -= len(self._events.popitem(last=False)[1])

    def _short(self, value: Any) -> Any:
        """A text, or None where there is no such thing. It must not be cut in the middle of a secret."""
        if value is None:
            return None
        text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
        return text if len(text) <= MAX_VALUE else f"{without(text, self._secrets.known)[:MAX_VALUE]}…"


def _alike(one: Told, other: Told) -> bool:
    said = ((it.plugin, it.method, it.outcome, it.status, it.error, it.changed, it.observed) for it in (one, other))
    return next(said) == next(said)
