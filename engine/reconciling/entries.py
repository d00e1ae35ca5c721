"""One workflow as a store has it: which entries its document, its nodes and its record are, and the way back.

An entry is what changes as one: each field of the document and of its status, each node, each entry of the record. So a
pass that moves one node of a hundred thousand writes that node, the progress, and what is said of that node.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from engine.executors.executor import Result
from engine.graph.record import Job, Visit, Waiting, WalkRecord
from engine.model.encoding import encode
from engine.model.node import Node
from engine.model.pace import Pieces, batched
from engine.model.workflow import Workflow
from engine.shape import Document
from engine.storage.store import Entry, StoreError

DOCUMENT: Final = "document"
STATUS: Final = "status"
LAYOUT: Final = "layout"
"""The names of the fields of both, in their order."""
NODE: Final = "node"
CHILDREN: Final = "children"
"""The children of a node behind its first ones, by its id and the number of the part."""
MARKS: Final = "marks"
FREED: Final = "freed"
VISIT: Final = "visit"
WAITING: Final = "waiting"
REPORT: Final = "report"
JOB: Final = "job"
LEAF: Final = "leaf"
DESCRIPTION: Final = (DOCUMENT, STATUS, LAYOUT)
"""What a document is read from that has no nodes."""

GIVEN: Final = "given"
PRESUMED: Final = "presumed"
STOPPING: Final = "stopping"

PART: Final = 256
"""Children of a node in one entry: a loop that grows turn by turn writes the last part, not all of them."""

Marks = tuple[float | None, str, str, str, str]
"""Of a record: ``at``, ``shutdown``, ``closing``, ``why`` and ``plugins``."""


class Sheet:
    """What is to be written of a workflow, be it the ``whole`` of it: what is said later of an entry counts."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.put: dict[str, dict[str, Any]] = {}
        self.gone: dict[str, dict[str, None]] = {}

    def write(self, kind: str, key: str, value: Any) -> None:
        """Have an entry, in the place that it has."""
        if kind in self.put:
            self.put[kind][key] = value
        else:
            self.put[kind] = {key: value}

    def write_all(self, kind: str, values: dict[str, Any]) -> None:
        """Likewise of several."""
        if kind in self.put:
            self.put[kind].update(values)
        elif values:
            self.put[kind] = values

    def lose_all(self, kind: str, keys: Collection[str]) -> None:
        """Have entries no more; those that are written again are the last of their kind."""
        if not keys:
            return
        if kind in self.put:
            for key in keys:
                self.put[kind].pop(key, None)
        if not self.whole:
            self.gone.setdefault(kind, {}).update(dict.fromkeys(keys))

    def set(self, kind: str, key: str, value: Any) -> None:
        """Have an entry, or none where there is no value."""
        if value is None:
            self.lose_all(kind, (key,))
        else:
            self.write(kind, key, value)

    def __bool__(self) -> bool:
        return bool(self.put or self.gone)

    def document(self, new: Document, old: Document | None) -> None:
        """What to write of a document of which ``old`` is written. Fields that it has no more stay, and count no more:
        which it has is in the layout."""
        status, before = new["status"], old["status"] if old is not None else {}
        if old is None or [*new] != [*old] or [*status] != [*before]:
            self.write(LAYOUT, "", ([*new], [*status]))
        self._fields(DOCUMENT, new, old or {})
        self._fields(STATUS, status, before)

    def _fields(self, kind: str, new: Document, old: Document) -> None:
        for field, value in new.items():
            known = old.get(field, _NOTHING)
            if value is known or (field == "status" and kind == DOCUMENT):
                continue
            if known is _NOTHING or encode(value) != encode(known):
                self.write(kind, field, value)

    def nodes(self, nodes: Mapping[str, Node], changed: Mapping[str, Node | None]) -> Pieces:
        """What to write of nodes that have ``changed``, each with what is written of it."""
        for keys in batched(changed):
            some = {key: nodes[key] for key in keys}
            self.write_all(NODE, some)
            for key, node in some.items():
                old = changed[key]
                if len(node.children or ()) > PART or (old is not None and len(old.children or ()) > PART):
                    self._in_parts(node, old)
            yield

    def _in_parts(self, node: Node, old: Node | None) -> None:
        """What to write of a node that has very many children, or has them in ``old``, which is written of it."""
        children, known = node.children or (), (old.children if old is not None else None) or ()
        head = copy.copy(node)
        head.children = [*children[:PART]]
        self.write(NODE, node.id, head)
        for start in range(PART, max(len(children), len(known)), PART):
            part = children[start : start + PART]
            if not part:
                self.lose_all(CHILDREN, (f"{node.id} {start}",))
            elif part != known[start : start + PART]:
                self.write(CHILDREN, f"{node.id} {start}", part)

    def all_of(self, record: WalkRecord, nodes: Mapping[str, Node]) -> Pieces:
        """All of a record but its marks, and all nodes."""
        self.write(FREED, "", record.freed)
        kinds: Sequence[tuple[str, Mapping[str, Any]]] = (
            (VISIT, record.visits),
            (WAITING, record.waiting),
            (REPORT, record.reports),
            (JOB, record.jobs),
        )
        for kind, values in kinds:
            for some in batched(values.items()):
                self.write_all(kind, dict(some))
                yield
        for state, leaves in ((GIVEN, record.leaves), (PRESUMED, record.presumed), (STOPPING, record.stopping)):
            for keys in batched(leaves):
                self.write_all(LEAF, dict.fromkeys(keys, state))
                yield
        yield from self.nodes(nodes, dict.fromkeys(nodes))


_NOTHING: Final = object()


def marks(record: WalkRecord) -> Marks:
    """What a record says of the workflow as a whole."""
    return record.at, record.shutdown, record.closing, record.why, record.plugins


# The way back


AT_A_TIME: Final = 256
"""Entries that are read in one turn of the event loop."""


def document_of(uid: str, entries: Iterable[Entry]) -> dict[str, Any]:
    """The document of a workflow, without nodes. Raises `StoreError`."""
    values = {(kind, key): value for kind, key, value in entries if kind in DESCRIPTION}
    try:
        fields, of_status = orjson.loads(values[LAYOUT, ""])
        document = {field: orjson.loads(values[DOCUMENT, field]) if field != "status" else {} for field in fields}
        document["status"] = {field: orjson.loads(values[STATUS, field]) for field in of_status}
    except _UNREADABLE as error:
        raise _unreadable(uid, error) from error
    return document


async def read(uid: str, entries: Iterable[Entry]) -> tuple[Workflow, WalkRecord]:
    """A workflow and its record. Raises `StoreError`."""
    reading = _Reading()
    try:
        for number, entry in enumerate(entries, 1):
            reading.take(entry)
            if not number % AT_A_TIME:
                await asyncio.sleep(0)
        document = document_of(uid, reading.description)
        workflow = Workflow(document)
    except _UNREADABLE as error:
        raise _unreadable(uid, error) from error
    workflow.document, workflow.nodes = document, reading.nodes
    return workflow, reading.record


_UNREADABLE: Final = (KeyError, TypeError, ValueError)
"""What entries that nobody has written lead to; `InvalidWorkflow` and msgspec's errors are among them."""


def _unreadable(uid: str, error: Exception) -> StoreError:
    reason = f"{type(error).__name__}: {error}"
    return StoreError(f"stored workflow {uid}: expected entries that make a workflow, got others: {reason}")


_NO_INPUTS: Final = msgspec.Raw()


class _WithInputs(Node):
    """A node as msgspec can read it: JSON that stays as it is cannot be told from none by its type."""

    inputs: msgspec.Raw = _NO_INPUTS


_node: Final = msgspec.json.Decoder(_WithInputs).decode
_nodes: Final = msgspec.json.Decoder(dict[str, _WithInputs]).decode


def read_node(value: bytes) -> Node:
    """A node as `Sheet.nodes` has written it, but for the children that are entries of their own."""
    return _plain(_node(value))


def read_nodes(value: bytes) -> dict[str, Node]:
    """Likewise, all of an object, by id."""
    return {key: _plain(node) for key, node in _nodes(value).items()}


def _plain(read: Node) -> Node:
    """It is made a `Node` in place: to copy it takes half as long as to read it."""
    inputs = read.inputs
    # A view would keep all of the entry.
    read.inputs = None if inputs is None or inputs is _NO_INPUTS else inputs.copy()
    read.__class__ = Node
    return read


_visit: Final = msgspec.json.Decoder(Visit).decode
_waiting: Final = msgspec.json.Decoder(Waiting).decode
_marks: Final = msgspec.json.Decoder(Marks).decode
_job: Final = msgspec.json.Decoder(Job).decode
_result: Final = msgspec.json.Decoder(Result).decode


class _Reading:
    """Takes entries one after the other, of each kind in their order."""

    def __init__(self) -> None:
        self.record = WalkRecord()
        self.nodes: dict[str, Node] = {}
        self.description: list[Entry] = []
        """What the document is read from."""

    def take(self, entry: Entry) -> None:
        """Raises `ValueError` or `KeyError` for what nobody has written."""
        if entry.kind in DESCRIPTION:
            self.description.append(entry)
        else:
            _KINDS[entry.kind](self, entry.key, entry.value)

    def node(self, key: str, value: bytes) -> None:
        self.nodes[key] = read_node(value)

    def children(self, key: str, value: bytes) -> None:
        node_id, _, start = key.rpartition(" ")
        children = self.nodes[node_id].children
        if not isinstance(children, list):
            children = list(children or ())
        children[int(start) :] = orjson.loads(value)
        self.nodes[node_id].children = children

    def marks(self, key: str, value: bytes) -> None:
        record = self.record
        record.at, record.shutdown, record.closing, record.why, record.plugins = _marks(value)

    def freed(self, key: str, value: bytes) -> None:
        self.record.freed.extend(orjson.loads(value))

    def visit(self, key: str, value: bytes) -> None:
        self.record.visits[key] = _visit(value)

    def waiting(self, key: str, value: bytes) -> None:
        self.record.waiting[key] = _waiting(value)

    def report(self, key: str, value: bytes) -> None:
        self.record.reports[key] = _result(value)

    def job(self, key: str, value: bytes) -> None:
        self.record.jobs[key] = _job(value)

    def leaf(self, key: str, value: bytes) -> None:
        record, state = self.record, orjson.loads(value)
        {GIVEN: record.leaves, PRESUMED: record.presumed, STOPPING: record.stopping}[state].add(key)


_KINDS: Final[Mapping[str, Callable[[_Reading, str, bytes], None]]] = {
    NODE: _Reading.node,
    CHILDREN: _Reading.children,
    MARKS: _Reading.marks,
    FREED: _Reading.freed,
    VISIT: _Reading.visit,
    WAITING: _Reading.waiting,
    REPORT: _Reading.report,
    JOB: _Reading.job,
    LEAF: _Reading.leaf,
}
