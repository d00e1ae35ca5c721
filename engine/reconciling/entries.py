"""One workflow as a store has it: which entries its document, its nodes and its record are, and the way back.

An entry is what changes as one: each field of the document and of its status, each node, each entry of the record. So a
pass that moves one node of a hundred thousand writes that node, the progress, and what is said of that node.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from engine.executors.executor import Result
from engine.graph.record import Visit, Waiting, WalkRecord
from engine.model.node import Node
from engine.model.workflow import Workflow
from engine.storage.store import Entry, StoreError

Document = Mapping[str, Any]

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
LEAF: Final = "leaf"
DESCRIPTION: Final = (DOCUMENT, STATUS, LAYOUT)
"""What a document is read from that has no nodes."""

GIVEN: Final = "given"
PRESUMED: Final = "presumed"
STOPPING: Final = "stopping"

PART: Final = 256
"""Children of a node in one entry: a loop that grows turn by turn writes the last part, not all of them."""

NULL: Final = msgspec.Raw(b"null")
"""JSON's null, where None says "gone"."""

_MARKS: Final = ("at", "shutdown", "closing", "why", "plugins")

_encode = msgspec.json.Encoder().encode


def of_document(new: Document, old: Document | None) -> Iterator[Entry]:
    """What to write of a document of which ``old`` is written."""
    status = new["status"]
    pairs: list[tuple[str, Document, Document]] = [
        (DOCUMENT, {field: value for field, value in new.items() if field != "status"}, old or {}),
        (STATUS, status, old["status"] if old is not None else {}),
    ]
    if old is None or [*new] != [*old] or [*status] != [*old["status"]]:
        yield Entry(LAYOUT, "", [[*new], [*status]])
        for kind, now, before in pairs:
            yield from (Entry(kind, field, None) for field in before if field not in now and field != "status")
    for kind, now, before in pairs:
        for field, value in now.items():
            if field not in before or (value is not before[field] and _encode(value) != _encode(before[field])):
                yield Entry(kind, field, NULL if value is None else value)


def of_node(node: Node, old: Node | None) -> Iterator[Entry]:
    """What to write of a node of which ``old`` is written."""
    children, known = node.children or [], (old.children if old is not None else None) or []
    if len(children) <= PART and len(known) <= PART:
        yield Entry(NODE, node.id, node)
        return
    head = copy.copy(node)
    head.children = children[:PART]
    yield Entry(NODE, node.id, head)
    for start in range(PART, max(len(children), len(known)), PART):
        part = children[start : start + PART]
        if part != known[start : start + PART]:
            yield Entry(CHILDREN, f"{node.id} {start}", part or None)


def of_record(record: WalkRecord) -> Iterator[Entry]:
    """All of a record but its marks."""
    yield Entry(FREED, "", record.freed)
    for kind, values in ((VISIT, record.visits), (WAITING, record.waiting), (REPORT, record.reports)):
        yield from (Entry(kind, key, value) for key, value in values.items())
    for state, leaves in ((GIVEN, record.leaves), (PRESUMED, record.presumed), (STOPPING, record.stopping)):
        yield from (Entry(LEAF, node_id, state) for node_id in leaves)


def marks(record: WalkRecord) -> dict[str, Any]:
    """What a record says of the workflow as a whole."""
    return {name: getattr(record, name) for name in _MARKS}


# The way back


AT_A_TIME: Final = 1000
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


async def read(uid: str, entries: Sequence[Entry]) -> tuple[Workflow, WalkRecord]:
    """A workflow and its record. Raises `StoreError`."""
    document = document_of(uid, entries)
    try:
        workflow = Workflow(document)
        workflow.document = document
        reading = _Reading(workflow.nodes)
        for start in range(0, len(entries), AT_A_TIME):
            for kind, key, value in entries[start : start + AT_A_TIME]:
                reading.take(kind, key, value)
            await asyncio.sleep(0)
    except _UNREADABLE as error:
        raise _unreadable(uid, error) from error
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
_visit: Final = msgspec.json.Decoder(Visit).decode
_waiting: Final = msgspec.json.Decoder(Waiting).decode
_result: Final = msgspec.json.Decoder(Result).decode


class _Reading:
    """Takes entries one after the other, of each kind in their order."""

    def __init__(self, nodes: dict[str, Node]) -> None:
        self.record = WalkRecord()
        self._nodes = nodes
        self._leaves = {
            GIVEN: self.record.leaves.add,
            PRESUMED: self.record.presumed.add,
            STOPPING: self.record.stopping.add,
        }
        self._kinds: dict[str, Callable[[str, bytes], None]] = {
            NODE: self._node,
            CHILDREN: self._children,
            MARKS: self._marks,
            FREED: lambda key, value: self.record.freed.extend(orjson.loads(value)),
            VISIT: partial(_into, self.record.visits, _visit),
            WAITING: partial(_into, self.record.waiting, _waiting),
            REPORT: partial(_into, self.record.reports, _result),
            LEAF: lambda key, value: self._leaves[orjson.loads(value)](key),
        }

    def take(self, kind: str, key: str, value: bytes) -> None:
        """Raises `ValueError` or `KeyError` for what nobody has written."""
        if kind not in DESCRIPTION:
            self._kinds[kind](key, value)

    def _node(self, key: str, value: bytes) -> None:
        read = _node(value)
        node = self._nodes[key] = Node(*msgspec.structs.astuple(read))
        # A view would keep all of the entry.
        node.inputs = None if read.inputs is _NO_INPUTS else read.inputs.copy()

    def _children(self, key: str, value: bytes) -> None:
        node_id, _, start = key.rpartition(" ")
        children = self._nodes[node_id].children
        if not isinstance(children, list):
            children = list(children or ())
        children[int(start) :] = orjson.loads(value)
        self._nodes[node_id].children = children

    def _marks(self, key: str, value: bytes) -> None:
        for name, mark in orjson.loads(value).items():
            setattr(self.record, name, mark)


def _into(values: dict[str, Any], decode: Callable[[bytes], Any], key: str, value: bytes) -> None:
    values[key] = decode(value)
