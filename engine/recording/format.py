"""The lines of a record. ``docs/records.md`` describes them field by field."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson

from rpc import Method, Outcome

FORMAT: Final = "oarlock-calls"
VERSION: Final = 1

Time = Annotated[float, msgspec.Meta(ge=0, lt=253_402_300_800)]
"""Seconds since 1970, before the year 10000: what can be shown as a date."""


class RecordError(Exception):
    """A record cannot be written, or read: one line that names the file."""


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line, and the first of each process that went on with the record."""

    format: str
    version: int
    at: Time
    oarlock: str


class Began(msgspec.Struct, frozen=True, rename={"number": "pass"}):
    """A pass begins."""

    began: Time
    number: int
    workflow: str
    uid: str


class Ended(msgspec.Struct, frozen=True, omit_defaults=True, rename={"number": "pass"}):
    """A pass is over."""

    ended: Time
    number: int
    result: Literal["committed", "aborted", "failed", "cancelled"]
    seconds: float
    reason: str = ""
    phase: str = ""


class About(msgspec.Struct, frozen=True):
    """The node that a call is about."""

    id: str
    name: str


class Called(msgspec.Struct, frozen=True, omit_defaults=True, rename={"number": "pass"}):
    """A call to a plugin; or calls that came to nothing, in a line that has ``requests``."""

    number: int
    plugin: str
    method: Method
    at: Time
    outcome: Outcome
    request: str = ""
    requests: list[str] = []
    waited: float = 0.0
    travelled: float | None = None
    attempts: int = 1
    status: int | None = None
    error: str = ""
    known: bool = False
    changed: dict[str, tuple[Any, Any]] = {}
    would_change: dict[str, tuple[Any, Any]] = {}
    reply: str = ""
    node: About | None = None


class Batch(msgspec.Struct, frozen=True):
    """Requests about nodes, and what they have in common; ``workflow`` is the name of a body."""

    workflow: str
    templates: dict[str, dict[str, Any]]
    calls: list[dict[str, Any]]


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was sent or replied: one of ``json``, ``batch``, ``cut`` and ``text``."""

    body: str
    hidden: bool = False
    bytes: int = 0
    json: Any = msgspec.UNSET
    batch: Batch | None = None
    cut: str = ""
    text: str = ""


def header() -> bytes:
    """The line that a record begins with, and again whenever a process goes on with it."""
    from importlib.metadata import version  # which takes longer to import than all of this

    return msgspec.json.encode(Header(FORMAT, VERSION, round(time.time(), 6), version("oarlock"))) + b"\n"


def check_header(line: bytes, where: str) -> None:
    """Raises `RecordError` where it is no header, or one of a version that is not known here."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RecordError(f"{where}: expected a record of calls, whose first line has the format {FORMAT!r}")
    found = document.get("version")
    if found != VERSION:
        raise RecordError(f"{where}: expected a record of version {VERSION}, got version {found!r}")
