"""A record, read as a stream: it may be longer than memory, end in the middle of a line, or be something else."""

from __future__ import annotations

import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self, TypeVar

import msgspec
from msgspec.structs import replace

from engine.recording.format import FORMAT, About, Began, Body, Called, Ended, RecordError, check_header

MAX_LINE: Final = 64 << 20
"""Bytes of a line: a record has none that comes near."""
_PARSED: Final = 16
"""Bodies that are kept as they were read last."""

_HEADER: Final = f'{{"format":"{FORMAT}"'.encode()
_BODY: Final = b'{"body":"'
_BEGAN: Final = b'{"began":'
_ENDED: Final = b'{"ended":'
_MANY: Final = b',"requests":["'

Line = TypeVar("Line")
Told = Began | Ended | Called


class Pass(NamedTuple):
    """A pass over a workflow, by the process of that number in the record: each counts its own passes."""

    number: int
    workflow: str
    uid: str
    process: int


class Sent(NamedTuple):
    """What was sent. ``hidden``: secrets were left out of it."""

    arguments: dict[str, Any]
    hidden: bool


class Record:
    """A file that is read; a context manager. Raises `RecordError` where it is no record, or not one that is known.

    ``complain`` is told, in a line, of what is passed over.
    """

    def __init__(self, path: Path, complain: Callable[[str], object]) -> None:
        self.path = path
        self._complain = complain
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror}") from None
        if not self._file.seekable():
            self._file.close()
            raise RecordError(f"{path}: expected a file, in which one can go back, got a pipe")
        self._index = sqlite3.connect("")  # a file of its own, which is gone with it, and a bounded cache
        self._index.execute("CREATE TABLE bodies (name TEXT PRIMARY KEY, at INTEGER, size INTEGER) WITHOUT ROWID")
        self._bodies: OrderedDict[str, Body] = OrderedDict()
        self._passed_over: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._index.close()

    def told(
        self, wanted: Callable[[bytes], bool], look: Callable[[bytes], object] = bool
    ) -> Iterator[tuple[Pass, Told]]:
        """The calls that are `wanted`, by their lines, and the beginnings and ends of all passes, in order. Whoever
        wants to may `look` at the lines of bodies.

        Of calls that have a line together, those are wanted whose request is in a body that is.
        """
        process, under_way, bodies = 0, dict[int, Pass](), set[str]()
        for number, line in self._lines():
            if line.startswith(_BODY):
                look(line)
                (bodies.add if wanted(line) else bodies.discard)(_name(line))
                continue
            if line.startswith(_HEADER):
                process, under_way = process + 1, {}
                continue
            what: Told
            if line.startswith(_BEGAN):
                what = began = self._decoded(line, Began, number)
                under_way[began.number] = Pass(began.number, began.workflow, began.uid, process)
            elif line.startswith(_ENDED):
                what = self._decoded(line, Ended, number)
            elif _MANY in line or wanted(line):
                what = self._decoded(line, Called, number)
            else:
                continue
            pass_ = under_way.get(what.number)
            if pass_ is not None:
                yield from ((pass_, each) for each in self._each(what, bodies, number))
            if isinstance(what, Ended):
                under_way.pop(what.number, None)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Its whole lines by number. Bodies are remembered by their place."""
        at = number = cut = 0
        while True:
            try:
                self._file.seek(at)
                line = self._file.readline(MAX_LINE)
            except OSError as error:
                raise RecordError(f"{self.path}: {error.strerror}") from None
            if not line and not number:
                raise RecordError(f"{self.path}: expected a record of calls, it is empty")
            if cut and (not line or line.startswith(_HEADER)):
                self._pass_over(cut)
                cut = 0
            if not line:
                return
            if cut:
                raise RecordError(f"{self.path}: line {cut}: expected a line of a record")
            number += 1
            if number == 1 or line.startswith(_HEADER):
                check_header(line, f"{self.path}: line {number}" if number > 1 else str(self.path))
            if line.startswith(b"{") and line.endswith(b"}\n"):
                if line.startswith(_BODY):
                    self._index.execute("INSERT OR REPLACE INTO bodies VALUES (?, ?, ?)", (_name(line), at, len(line)))
                yield number, line
            elif len(line) == MAX_LINE:
                raise RecordError(f"{self.path}: line {number}: expected at most {MAX_LINE >> 20} MiB")
            else:
                cut = number
            at += len(line)

    def _each(self, told: Told, bodies: Set[str], number: int) -> Iterator[Told]:
        """What a line tells; the calls that have it together, one by one, where they are in one of these bodies."""
        if not isinstance(told, Called) or not told.requests:
            yield told
            return
        for name, places in map(_parted, told.requests):
            if name not in bodies and self._place(name) is not None:
                continue
            body = self.body(name)
            calls = body.batch.calls if body is not None and body.batch is not None else []
            if not 0 <= places.start < places.stop <= len(calls):
                raise RecordError(f"{self.path}: line {number}: expected requests that are in the record")
            for place in places:
                node = node_of(calls[place])
                about = About(str(node.get("id", "")), str(node.get("name", ""))) if node else None
                yield replace(told, requests=[], request=f"{name}/{place}", node=about)

    def _pass_over(self, number: int) -> None:
        if number not in self._passed_over:
            self._passed_over.add(number)
            self._complain(f"{self.path}: line {number} is cut off, and is passed over")

    # Bodies that have been come by

    def body(self, name: str) -> Body | None:
        """One by its name; None where there was none."""
        found = self._bodies.get(name)
        if found is None:
            place = self._place(name)
            if place is None:
                return None
            self._file.seek(place[0])
            found = self._bodies[name] = self.decoded(self._file.read(place[1]))
            if len(self._bodies) > _PARSED:
                self._bodies.popitem(last=False)
        self._bodies.move_to_end(name)
        return found

    def _place(self, name: str) -> tuple[int, int] | None:
        """Where a body is, and its size."""
        found: tuple[int, int] | None = self._index.execute(
            "SELECT at, size FROM bodies WHERE name = ?", (name,)
        ).fetchone()
        return found

    def sent(self, request: str) -> Sent | None:
        """What was sent, by the name of the request; None where not all of it was kept."""
        name, _, place = request.partition("/")
        body = self.body(name)
        if body is None:
            return None
        if not place:
            return Sent(body.json, body.hidden) if isinstance(body.json, dict) else None
        if body.batch is None or not place.isdecimal() or int(place) >= len(body.batch.calls):
            return None
        own, workflow = body.batch.calls[int(place)], self.body(body.batch.workflow)
        template = body.batch.templates.get(str(own.get("template", "")))
        if template is None or workflow is None or workflow.json is msgspec.UNSET:
            return None
        return Sent({"workflow": workflow.json, **own, "template": template}, body.hidden or workflow.hidden)

    def decoded(self, line: bytes) -> Body:
        """The body in a line. Raises `RecordError`."""
        return self._decoded(line, Body)

    def _decoded(self, line: bytes, kind: type[Line], number: int = 0) -> Line:
        try:
            return msgspec.json.decode(line, type=kind)
        except ValueError as error:  # msgspec's own are such, and so is what is no UTF-8
            where = f"line {number}: " if number else ""
            raise RecordError(f"{self.path}: {where}expected a line of a record: {error}") from None


def object_of(value: Any) -> dict[str, Any]:
    """A JSON object, empty where the value is none."""
    return value if isinstance(value, dict) else {}


def node_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """The node that a call was about, as it was sent."""
    return object_of(arguments.get("node")) or object_of(arguments.get("new"))


def _name(line: bytes) -> str:
    """What the body in a line is called."""
    return line[len(_BODY) :].partition(b'"')[0].decode(errors="replace")


def _parted(requests: str) -> tuple[str, range]:
    """A body's name, and the places in it that are meant; none where they make no sense."""
    name, _, places = requests.partition("/")
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", places, re.ASCII)
    return name, range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
