"""What one workflow's passes tell a recorder: lines for the calls to plugins, and for each pass what came of it.

There may be half a million calls in a pass, nearly all of which come to nothing. What is the same for all calls of a
request is put together once, what is said of a node once for all plugins that are asked the same about it, and the rest
is joining bytes. They are written by a thread (`engine.recording.appending`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from engine.model.node import Node
from engine.model.workflow import Workflow
from engine.recording.appending import Appending
from engine.recording.bodies import Bodies, Questions
from engine.recording.recorder import Changes, PassTold, Recorder, Told
from rpc import FatalError, Method, Outcome, PluginError, Request, TransientError
from rpc.journeys import Journey, Journeys
from rpc.methods import BatchMethod
from rpc.replies import Reply

MAX_VALUE: Final = 4096
"""Bytes of one value of what a call changed, old or new."""


class Recording:
    """What one workflow's passes have to be told to a recorder."""

    def __init__(self, recorder: Recorder, workflow: Workflow) -> None:
        self._recorder = recorder
        self._workflow, self._uid = workflow.key, workflow.uid
        self._number = 0
        self._epoch = 0.0
        """When `time.monotonic` began, by the wall clock."""
        self._openings: dict[tuple[str, Method], str] = {}
        """What lines begin with in this pass."""
        self._replies: tuple[Request | None, Sequence[Any]] = (None, ())

    def begin(self, number: int) -> None:
        """A pass begins."""
        self._number = number
        self._openings.clear()
        self._epoch = time.time() - time.monotonic()
        if self._recorder.written is not None:
            line = {"began": round(time.time(), 6), "pass": number, "workflow": self._workflow, "uid": self._uid}
            self._recorder.written.add(orjson.dumps(line), b"\n")

    def end(self, ended: str, reason: str, phase: str, seconds: float) -> None:
        """It is over, as `PassTold` has it; what was recorded of it is written soon."""
        told = PassTold(self._workflow, self._uid, self._number, ended, reason, phase, time.time(), seconds)
        written = self._recorder.written
        if written is not None:
            line = {
                "ended": round(told.at, 6),
                "pass": self._number,
                "result": ended,
                **_given(reason=reason, phase=phase),
                "seconds": round(seconds, 6),
            }
            written.add(self._recorder.secrets.without(orjson.dumps(line))[0], b"\n")
            written.flush()
        self._tell(told)

    def journeys(self) -> Journeys | None:
        """What the next calls are to be made with, so that `silent` and `said` know how they travelled."""
        return Journeys() if self._recorder.written is not None else None

    async def settled(self) -> None:
        """Wait for a disk that cannot keep up."""
        written = self._recorder.written
        if written is not None and written.behind:
            await asyncio.to_thread(written.catch_up)

    def subjects(self, digests: Sequence[bytes], questions: Callable[[Sequence[int]], Questions]) -> Sequence[bytes]:
        """What lines say of the questions with these digests, see `Bodies.requests`; empty without a file."""
        bodies = self._recorder.bodies
        return bodies.requests(digests, questions) if bodies is not None else ()

    def silent(self, plugin: str, method: Method, subjects: Sequence[bytes], journeys: Journeys) -> None:
        """A plugin was asked about all of these, and had nothing to say to any."""
        written = self._recorder.written
        if written is None:
            return
        if sum([len(places) for _, places in journeys.requests]) > len(subjects):
            travelled = journeys.by_place()
            self.silent_at(travelled, plugin, method, subjects, range(len(subjects)))
            return
        opening, alone = self._opening(plugin, method), list[bytes]()
        for request, places in journeys.requests:
            opened = self._opened(opening, request, 1)
            if len(places) == 1:
                alone.append(opened + subjects[places[0]])
            else:
                some = subjects if len(places) == len(subjects) else [subjects[place] for place in places]
                written.add_alike(opened, some)
        if alone:
            written.add(b"}\n".join(alone), b"}\n")

    def silent_at(
        self,
        travelled: Mapping[int, Journey],
        plugin: str,
        method: Method,
        subjects: Sequence[bytes],
        places: Iterable[int],
    ) -> None:
        """It had nothing to say to those at these places."""
        alike: dict[tuple[int, int], list[int]] = {}
        for place in places:
            journey = travelled.get(place)
            if journey is not None:  # else it was known by then not to have the method
                alike.setdefault((id(journey.request), journey.attempts), []).append(place)
        written, opening = self._recorder.written, self._opening(plugin, method)
        for (_, attempts), group in alike.items():
            if written is not None:
                opened = self._opened(opening, travelled[group[0]].request, attempts)
                written.add_alike(opened, [subjects[place] for place in group])

    def said(
        self,
        plugin: str,
        method: Method,
        node: Node | None,
        outcome: Reply | PluginError,
        *,
        subject: bytes,
        journey: Journey | None = None,
        known: bool = False,
        changed: Changes,
        refused: str = "",
        observed: bool = False,
    ) -> None:
        """A plugin had something to say, or failed, and this is what becomes of it.

        ``refused`` says why a reply is not acceptable. The answer was ``known`` before, or has come by a ``journey``.
        """
        request = journey.request if journey is not None else None
        came_of, status, error = Outcome.ANSWERED, None, refused
        if isinstance(outcome, FatalError | TransientError):
            came_of, status, error = outcome.outcome, outcome.status, outcome.reason
        told = Told(
            workflow=self._workflow,
            uid=self._uid,
            number=self._number,
            plugin=plugin,
            method=method,
            node=node.id if node is not None else "",
            name=node.name if node is not None else "",
            outcome=came_of,
            status=status,
            error=error,
            reply=self._reply(journey) if journey is not None else b"",
            changed=changed,
            observed=observed,
            known=known,
            at=time.time() if request is None else self._asked_at(request),
            waited=0.0 if request is None else request.waited,
            travelled=0.0 if request is None else request.travelled,
            attempts=0 if journey is None else journey.attempts,
        )
        if self._recorder.written is not None and self._recorder.bodies is not None:
            self._write(self._recorder.written, self._recorder.bodies, told, subject, request)
        self._tell(told)

    # Pieces

    def _asked_at(self, request: Request) -> float:
        return self._epoch + request.ended - request.travelled - request.waited

    def _opening(self, plugin: str, method: Method) -> str:
        """What the lines of calls of a method to a plugin begin with, in this pass."""
        found = self._openings.get((plugin, method))
        if found is None:
            line = {"pass": self._number, "plugin": plugin, "method": method}
            found = self._openings[plugin, method] = orjson.dumps(line).decode()[:-1]
        return found

    def _opened(self, opening: str, request: Request, attempts: int) -> bytes:
        """The line of a call that came to nothing, without its subject, and not closed."""
        waited = f',"waited":{request.waited:.6f}' if request.waited else ""
        again = f',"attempts":{attempts}' if attempts > 1 else ""
        return (
            f'{opening},"at":{self._asked_at(request):.6f}{waited}'
            f',"travelled":{request.travelled:.6f}{again},"outcome":"{request.outcome}",'
        ).encode()

    def _write(self, written: Appending, bodies: Bodies, told: Told, subject: bytes, request: Request | None) -> None:
        replied = bodies.reply(told.reply) if told.reply else b""
        changed = {field: [_bounded(old), _bounded(new)] for field, (old, new) in told.changed.items()}
        line = {
            "pass": self._number,
            "plugin": told.plugin,
            "method": told.method,
            "at": round(told.at, 6),
            **(_travelled(request, told.attempts) if request is not None else {}),
            "outcome": told.outcome,
            **_given(status=told.status, error=told.error, known=told.known),
            **_given(**{"would_change" if told.observed else "changed": changed}),
        }
        written.add(self._recorder.secrets.without(orjson.dumps(line))[0][:-1], replied, b",", subject, b"}\n")

    def _reply(self, journey: Journey) -> bytes:
        """The body that was replied to a call; in a batch, its entry."""
        request = journey.request
        if not isinstance(request.method, BatchMethod):
            return request.reply
        if self._replies[0] is not request:
            self._replies = request, _entries(request)
        entries = self._replies[1]
        return orjson.dumps(entries[journey.position]) if journey.position < len(entries) else request.reply

    def _tell(self, told: Told | PassTold) -> None:
        for listener in self._recorder.listeners:
            listener(told)


def _entries(request: Request) -> Sequence[Any]:
    try:
        document = orjson.loads(request.reply)
    except orjson.JSONDecodeError:
        return ()
    entries = document.get("replies") if isinstance(document, dict) else None
    return entries if isinstance(entries, list) and len(entries) == request.calls else ()


def _travelled(request: Request, attempts: int) -> dict[str, Any]:
    return {
        **_given(waited=round(request.waited, 6)),
        "travelled": round(request.travelled, 6),
        **({"attempts": attempts} if attempts > 1 else {}),
    }


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _bounded(value: Any) -> Any:
    text = orjson.dumps(value)
    return value if len(text) <= MAX_VALUE else {"bytes": len(text), "cut": text[:MAX_VALUE].decode(errors="ignore")}
