"""What one workflow's passes tell a recorder: lines for the calls to plugins, and for each pass what came of it.

There may be half a million calls in a pass, nearly all of which come to nothing: those of one request have a line
together, which says where in the record these are. They are written by a thread (`engine.recording.appending`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from engine.model.node import Node
from engine.model.workflow import Workflow
from engine.recording.appending import Lines
from engine.recording.bodies import About, Bodies, Subjects
from engine.recording.recorder import Changes, PassTold, Recorder, Told
from rpc import FatalError, Method, Outcome, PluginError, Request, TransientError
from rpc.batches import CallBatch
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
        self._openings: dict[tuple[str, Method], bytes] = {}
        """What lines begin with in this pass."""
        self._replies: tuple[Request | None, Sequence[Any]] = (None, ())

    def begin(self, number: int) -> None:
        """A pass begins."""
        self._number = number = self._recorder.number_of(number)
        self._openings.clear()
        self._epoch = time.time() - time.monotonic()
        if self._recorder.bodies is not None:
            self._recorder.bodies.begin()
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

    async def journeys(self) -> Journeys | None:
        """What the next calls are to be made with, so that `silent` and `said` know how they travelled.

        A disk that cannot keep up is waited for.
        """
        written = self._recorder.written
        if written is None:
            return None
        if written.behind:
            await asyncio.to_thread(written.catch_up)
        return Journeys()

    def subjects(self, digests: Sequence[bytes], batch: CallBatch, about: About, *, again: bool) -> Subjects | None:
        """What lines say of the calls of a batch, see `Bodies.requests`; None without a file."""
        bodies = self._recorder.bodies
        return bodies.requests(digests, batch, about, again=again) if bodies is not None else None

    def silent(self, plugin: str, method: Method, subjects: Subjects | None, journeys: Journeys) -> None:
        """A plugin was asked about all of these, and had nothing to say to any."""
        if subjects is None:
            return
        if sum([len(places) for _, places in journeys.requests]) > subjects.count:
            self.silent_at(journeys.by_place(), plugin, method, subjects, range(subjects.count))
        else:
            self._write_silent(plugin, method, subjects, journeys.requests)

    def silent_at(
        self,
        travelled: Mapping[int, Journey],
        plugin: str,
        method: Method,
        subjects: Subjects | None,
        places: Iterable[int],
    ) -> None:
        """It had nothing to say to those at these places."""
        if subjects is None:
            return
        alike: dict[tuple[int, int], list[int]] = {}
        for place in places:
            journey = travelled.get(place)
            if journey is not None:  # else it was known by then not to have the method
                alike.setdefault((id(journey.request), journey.attempts), []).append(place)
        for (_, attempts), group in alike.items():
            self._write_silent(plugin, method, subjects, [(travelled[group[0]].request, group)], attempts)

    def said(
        self,
        plugin: str,
        method: Method,
        node: Node | None,
        outcome: Reply | PluginError,
        *,
        subject: bytes = b"",
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
            at=time.time() if request is None else self._epoch + request.ended - request.travelled - request.waited,
            waited=0.0 if request is None else request.waited,
            travelled=0.0 if request is None else request.travelled,
            attempts=0 if journey is None else journey.attempts,
        )
        if self._recorder.written is not None and self._recorder.bodies is not None:
            self._write(self._recorder.written, self._recorder.bodies, told, subject, request)
        self._tell(told)

    # Pieces

    def _opening(self, plugin: str, method: Method) -> bytes:
        """What the lines of calls of a method to a plugin begin with, in this pass."""
        line = orjson.dumps({"pass": self._number, "plugin": plugin, "method": method})
        self._openings[plugin, method] = opening = line[:-1]
        return opening

    def _write_silent(
        self,
        plugin: str,
        method: Method,
        subjects: Subjects,
        requests: Iterable[tuple[Request, Sequence[int]]],
        attempts: int = 1,
    ) -> None:
        """The calls at these places came to nothing by these requests, after so many ``attempts``."""
        opening, lines = self._openings.get((plugin, method)) or self._opening(plugin, method), list[bytes]()
        again = b',"attempts":%d' % attempts if attempts > 1 else b""
        for request, places in requests:
            waited = b',"waited":%.6f' % request.waited if request.waited else b""
            asked = self._epoch + request.ended - request.travelled - request.waited
            times = asked, waited, request.travelled, again
            opened = b'%b,"at":%.6f%b,"travelled":%.6f%b,"outcome":"%b",' % (opening, *times, request.outcome.encode())
            lines += [opened + subject for subject in subjects.silent(places)]
        if lines and self._recorder.written is not None:
            lines.append(b"")
            self._recorder.written.add(b"}\n".join(lines))

    def _write(self, written: Lines, bodies: Bodies, told: Told, subject: bytes, request: Request | None) -> None:
        replied = f',"reply":"{bodies.reply(told.reply)}"'.encode() if told.reply else b""
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
