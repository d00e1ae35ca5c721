"""A workflow as its owner sees it, while another process is at work on it: it follows what is committed there."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

import msgspec
import orjson

from engine.cluster.mail import Committed, Sealed, of_kind, seal
from engine.model.encoding import UNENCODABLE
from engine.model.node import Node
from engine.model.workflow import Workflow
from engine.reconciling.entries import (
    CHILDREN,
    DOCUMENT,
    LAYOUT,
    MARKS,
    NODE,
    PART,
    STATUS,
    Sheet,
    marks,
    read_nodes,
)
from engine.reconciling.keeping import found_record
from engine.storage.store import refused

_NODES: Final[tuple[str, ...]] = (NODE, CHILDREN)

UNREAD: Final = 16
"""Changes of a workflow's nodes that are kept as they came until somebody looks: what was changed often is there
often."""


def entries_of(workflow: Workflow) -> Sealed:
    """A workflow that begins, or was found somewhere, as a store is to have it. Raises `StoreError` for what is no
    JSON."""
    sheet = Sheet(whole=True)
    sheet.document(workflow.document, None)
    if workflow.nodes:
        record = found_record(workflow)
        sheet.set(MARKS, "", marks(record))
        for _ in sheet.all_of(record, workflow.nodes):
            pass
    try:
        return seal(sheet.put)
    except UNENCODABLE as error:
        raise refused(f"workflow {workflow.key}", error) from error


class Following:
    """Has a workflow be what a shard has committed: its document at once, its nodes when somebody looks at them."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._unread: list[Committed] = []
        self._lock = Lock()
        """Whoever reads metrics does so in any thread."""
        self._starting: memoryview | dict[str, Node] = {}

    def follow(self, change: Committed) -> bool:
        """Whether anything has changed that can be seen."""
        workflow, put = self._workflow, change.put
        seen = DOCUMENT in put or STATUS in put or LAYOUT in put
        if seen:
            workflow.document = _document(workflow.document, put)
        nodes = {kind: put[kind] for kind in _NODES if kind in put}
        gone = {kind: change.gone[kind] for kind in _NODES if kind in change.gone}
        if not (nodes or gone or change.whole):
            return seen
        start, end = change.starting
        # What is read of them has no children that are entries of their own.
        self._starting = memoryview(put[NODE])[start:end] if end and CHILDREN not in put else {}
        with self._lock:
            self._unread.append(Committed(change.head, nodes, gone, change.whole))
            workflow.behind = self._catch_up
            is_enough = len(self._unread) > UNREAD
        if is_enough:
            _ = workflow.nodes
        return True

    @property
    def starting(self) -> dict[str, Node]:
        """Nodes of which nothing was said since, those of leaves to be started among them: these are read alone."""
        if isinstance(self._starting, memoryview):
            self._starting = read_nodes(b"".join((b"{", self._starting, b"}")))
        return self._starting

    def _catch_up(self, nodes: dict[str, Node]) -> None:
        with self._lock:
            unread, self._unread = self._unread, []
            for change in unread:
                if change.whole:
                    nodes.clear()
                _follow(nodes, change)
            self._workflow.behind = None


def changed_nodes(change: Committed) -> list[str]:
    """The ids of the nodes that a change is about."""
    changed = dict.fromkeys(of_kind(change.put, NODE))
    for part in (*change.gone.get(CHILDREN, ()), *of_kind(change.put, CHILDREN)):
        changed[_part(part)[0]] = None
    return [*changed | dict.fromkeys(change.gone.get(NODE, ()))]


def _follow(nodes: dict[str, Node], change: Committed) -> None:
    if NODE in change.put:
        read = read_nodes(change.put[NODE])
        for key, node in read.items():
            if node.children is not None and len(node.children) == PART:
                _keep_others(node, nodes.get(key))
        nodes |= read
    for part in change.gone.get(CHILDREN, ()):
        node_id, start = _part(part)
        nodes[node_id].children = list(nodes[node_id].children or ())[:start]
    for part, value in of_kind(change.put, CHILDREN).items():
        node_id, start = _part(part)
        children = list(nodes[node_id].children or ())
        children[start : start + PART] = msgspec.json.decode(value)
        nodes[node_id].children = children
    for key in change.gone.get(NODE, ()):
        nodes.pop(key, None)


def _document(old: Mapping[str, Any], put: Sealed) -> dict[str, Any]:
    fields, status = _fields(put, DOCUMENT), _fields(put, STATUS)
    if LAYOUT not in put:
        return {**old, **fields, "status": {**old["status"], **status}}
    of_document, of_status = _fields(put, LAYOUT)[""]
    document = {key: fields[key] if key in fields else old.get(key) for key in of_document}
    document["status"] = {key: status[key] if key in status else old["status"].get(key) for key in of_status}
    return document


def _fields(put: Sealed, kind: str) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(put[kind]) if kind in put else {}
    return fields


def _keep_others(node: Node, before: Node | None) -> None:
    """The children behind the first ones are entries of their own, and stay where nothing is said of them."""
    if before is not None and before.children is not None and node.children is not None:
        node.children = [*node.children, *before.children[PART:]]


def _part(part: str) -> tuple[str, int]:
    node_id, _, start = part.rpartition(" ")
    return node_id, int(start)
