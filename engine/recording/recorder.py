"""Who is told of the calls to plugins and of what they change: a file, and whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from engine.recording.appending import Appending, Lines
from engine.recording.bodies import Bodies
from engine.recording.format import RecordError
from engine.recording.secrets import Secrets
from rpc import Method, Outcome

MAX_BODY: Final = 64 * 1024
"""Bytes of a request's part, or of a reply, that are kept."""
Changes = Mapping[str, tuple[Any, Any]]
"""What became of what, by field: old and new."""


class Told(NamedTuple):
    """A call to which a plugin had something to say, or which failed, as listeners are told of it.

    ``node`` is the id of what it is about and ``name`` its name, empty where that is the workflow. ``reply`` is the
    body, empty where there was none or it was known from a call before (``known``). ``error`` says why there is no
    reply that counts. ``changed`` is what becomes of the node or the workflow by it, or would, where it is only
    ``observed``. ``at`` is when it was asked, in seconds since the epoch; ``waited`` and ``travelled`` are in seconds,
    0 without a file.
    """

    workflow: str
    uid: str
    number: int
    plugin: str
    method: Method
    node: str
    name: str
    outcome: Outcome
    status: int | None
    error: str
    reply: bytes
    changed: Changes
    observed: bool
    known: bool
    at: float
    waited: float
    travelled: float
    attempts: int


class PassTold(NamedTuple):
    """A pass that is over; unless it was ``committed``, nothing has changed by the calls in it. See `PassEnd`."""

    workflow: str
    uid: str
    number: int
    ended: str
    reason: str
    phase: str
    at: float
    seconds: float


class Recorder:
    """Writes down each call that an engine makes to its plugins: ``Engine(..., recorder=Recorder("calls.jsonl"))``.

    ``file`` grows by lines of JSON, which ``docs/records.md`` describes; of an existing record it is the end. Of a body
    ``max_body`` bytes are kept. Secrets are left out, also those that `hide` is told of. Without a file only
    ``listeners`` are told. Entering the engine opens it, which raises `RecordError`; leaving it writes what there is.
    """

    def __init__(self, file: str | PathLike[str] | None = None, *, max_body: int = MAX_BODY) -> None:
        if max_body < 1:
            raise ValueError(f"max_body: expected a number of bytes, 1 or more, got {max_body}")
        self.listeners: list[Callable[[Told | PassTold], None]] = []
        """Called, in the event loop, with each call that came to something, before that counts, and each pass.

        They must be quick, and must not raise.
        """
        self.secrets = Secrets()
        self._max_body = max_body
        self.written: Lines | None = None
        """The file, while it is open, and what was written in it of requests and replies."""
        self.bodies: Bodies | None = None
        self._file = Path(file) if file is not None else None
        self._open = False
        self._error = ""

    def __enter__(self) -> Self:
        if self._open:
            raise RecordError("expected a recorder for each engine: another one has this")
        self.written = self._opened()
        self._open = True
        if self.written is not None:
            self.bodies = Bodies(self.written, self.secrets, self._max_body)
        return self

    def _opened(self) -> Lines | None:
        return Appending(self._file) if self._file is not None else None

    def __exit__(self, *_: object) -> None:
        written, self.written, self.bodies, self._open = self.written, None, None, False
        if written is not None:
            written.close()
            self._error = written.error

    @property
    def error(self) -> str:
        """Why nothing is recorded any more, empty where all is well."""
        return self.written.error if self.written is not None else self._error

    @property
    def max_body(self) -> int | None:
        """How many bytes of a body are written, None where nothing is."""
        return self._max_body if self._file is not None else None

    def number_of(self, number: int) -> int:
        """What a pass is called that has this number: no two have one that are under way together."""
        return number

    def hide(self, *secrets: str) -> None:
        """Leave these texts out, wherever they stand. (Plugins' tokens and headers are, anyway.)"""
        self.secrets.add(secrets)
