"""A workflow as its owner sees it, while another process is at work on it: it follows what is committed there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import orjson

from engine.cluster.mail import Committed, Entries
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
    read_node,
)
from engine.reconciling.keeping import found_record
from engine.storage.store import UNENCODABLE, encode, refused


def entries_of(workflow: Workflow) -> Entries:
    """A workflow that begins, or was found somewhere, as a store is to have it. Raises `StoreError` for what is no
    JSON."""
    record, sheet = found_record(workflow), Sheet(whole=True)
    sheet.set(MARKS, "", marks(record))
    sheet.document(workflow.document, None)
    for _ in sheet.record(record):
        pass
    for node in workflow.nodes.values():
        sheet.node(node, None)
    try:
        return {
            kind: {key: msgspec.Raw(encode(value)) for key, value in some.items()} for kind, some in sheet.put.items()
        }
    except UNENCODABLE as error:
        raise refused(f"workflow {workflow.key}", error) from error


def follow(workflow: Workflow, change: Committed) -> Collection[str] | None:
    """Have a workflow be what a shard has committed: the ids of the nodes that have changed, None where nothing has
    that anybody can see."""
    put, gone = change.put, change.gone
    seen = DOCUMENT in put or STATUS in put or LAYOUT in put
    if seen:
        workflow.document = _document(workflow.document, put)
    if change.whole:
        workflow.nodes = {}
    changed = dict.fromkeys(put.get(NODE, ()))
    for key, value in put.get(NODE, {}).items():
        node = read_node(value)
        if node.children is not None and len(node.children) == PART:
            _keep_others(node, workflow.nodes.get(key))
        workflow.nodes[key] = node
    for part in gone.get(CHILDREN, ()):
        node, start = _part(workflow.nodes, part)
        node.children = list(node.children or ())[:start]
        changed[node.id] = None
    for part, value in put.get(CHILDREN, {}).items():
        node, start = _part(workflow.nodes, part)
        children = list(node.children or ())
        children[start : start + PART] = orjson.loads(bytes(value))
        node.children = children
        changed[node.id] = None
    for key in gone.get(NODE, ()):
        workflow.nodes.pop(key, None)
        changed[key] = None
    return list(changed) if seen or changed else None


def _document(old: dict[str, Any], put: Entries) -> dict[str, Any]:
    fields = {key: orjson.loads(bytes(value)) for key, value in put.get(DOCUMENT, {}).items()}
    status = {key: orjson.loads(bytes(value)) for key, value in put.get(STATUS, {}).items()}
    if LAYOUT not in put:
        return {**old, **fields, "status": {**old["status"], **status}}
    of_document, of_status = orjson.loads(bytes(put[LAYOUT][""]))
    document = {key: fields[key] if key in fields else old.get(key) for key in of_document}
    document["status"] = {key: status[key] if key in status else old["status"].get(key) for key in of_status}
    return document


def _keep_others(node: Node, before: Node | None) -> None:
    """The children behind the first ones are entries of their own, and stay where nothing is said of them."""
    if before is not None and before.children is not None and node.children is not None:
        node.children = [*node.children, *before.children[PART:]]


def _part(nodes: dict[str, Node], part: str) -> tuple[Node, int]:
    node_id, _, start = part.rpartition(" ")
    return nodes[node_id], int(start)
