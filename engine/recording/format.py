"""The lines of a record. ``docs/records.md`` describes them field by field."""

from __future__ import annotations

import time
from typing import Final

import orjson

FORMAT: Final = "oarlock-calls"
VERSION: Final = 1


class RecordError(Exception):
    """A record cannot be written, or read: one line that names the file."""


def header() -> bytes:
    """The line that a record begins with, and again whenever a process goes on with it."""
    from importlib.metadata import version  # which takes longer to import than all of this

    document = {
        "format": FORMAT,
        "version": VERSION,
        "at": round(time.time(), 6),
        "oarlock": version("oarlock"),
    }
    return orjson.dumps(document) + b"\n"


def version_of(line: bytes, where: str) -> int:
    """The version that a header speaks of. Raises `RecordError` where it is none, or one that is not known here."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RecordError(f"{where}: expected a record of calls, whose first line has the format {FORMAT!r}")
    found = document.get("version")
    if found != VERSION:
        raise RecordError(f"{where}: expected a record of version {VERSION}, got version {found!r}")
    return VERSION
