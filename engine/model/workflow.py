"""A workflow in memory: its document as it was loaded, and its nodes, each replaced only when a pass commits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Self

import msgspec
import orjson

from engine.model.naming import DEFAULT, InvalidName, check_name, check_namespace, check_uid, generated_name
from engine.model.node import Node, encode, from_dict, to_dict
from engine.model.pace import PIECE, in_order
from engine.model.sharing import Shared
from engine.model.text import Text
from engine.shape import WrongType, check_node, check_shape, kind_of
from rpc.statuses import in_one_line

COMPLETED_PHASES: Final = frozenset({"Succeeded", "Failed", "Error"})


def has_ended(document: Mapping[str, Any]) -> bool:
    """Whether the workflow with this document is over."""
    return document["status"].get("phase") in COMPLETED_PHASES


class InvalidWorkflow(ValueError):
    """A document that is no Workflow at all: the message names the field and what was expected, in one line."""

    def __str__(self) -> str:
        return in_one_line(super().__str__())


class Workflow:
    """One workflow: everything but its nodes in `document`, the nodes by id in `nodes`.

    What it is, is its `uid`: that of its metadata, else a new one. So a manifest that is submitted again is another
    workflow, and what was written (`to_dict`) and read again is the same. Its `key`, ``namespace/name``, is for people;
    an engine has no two unfinished ones of a key.

    Document and nodes are changed by nobody but a committing pass and the operations of an engine: `document` is
    replaced by a new dict that shares what did not change. Unknown fields survive untouched.
    """

    __slots__ = ("__weakref__", "_nodes", "behind", "document", "key", "name", "namespace", "uid", "undo")

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take a Workflow as Argo writes it, `status.nodes` included. Raises `InvalidWorkflow`."""
        if not isinstance(document, Mapping):
            raise InvalidWorkflow(f"expected a mapping, got {kind_of(document)}")
        if document.get("kind", "Workflow") != "Workflow":
            raise InvalidWorkflow(f"kind: expected Workflow, got {document.get('kind')!r}")
        if document.get("spec") is None:
            raise InvalidWorkflow("spec: expected a mapping, got nothing")
        try:
            check_shape({**document, "spec": {}})
            spec = _specs.get(document["spec"], _checked)
        except WrongType as error:
            raise InvalidWorkflow(str(error)) from None
        status = document.get("status") or {}
        metadata = dict(document.get("metadata") or {})
        field = "name" if metadata.get("name") else "generateName"
        if not metadata.get(field):
            raise InvalidWorkflow("metadata.name: expected a name, or a metadata.generateName")
        self.name: str = metadata["name"] if field == "name" else generated_name(metadata[field])
        self.namespace: str = metadata.get("namespace") or DEFAULT
        self.uid: str = metadata.get("uid") or str(uuid.uuid4())
        _check(field, check_name, self.name)
        _check("namespace", check_namespace, self.namespace)
        _check("uid", check_uid, self.uid)
        metadata |= {"name": self.name, "namespace": self.namespace, "uid": self.uid}
        self.key = f"{self.namespace}/{self.name}"
        nodes = status.get("nodes") or {}
        status = {field: value for field, value in status.items() if field != "nodes"}
        self.document: dict[str, Any] = {**document, "metadata": metadata, "spec": spec, "status": status}
        self._nodes = _whole({node_id: _node(node_id, node) for node_id, node in nodes.items()})
        self.behind: Callable[[dict[str, Node]], None] | None = None
        """What has the nodes be as another process has left them, where nobody has looked at them since. It is
        asked in any thread."""
        self.undo: dict[str, Node | None] = {}
        """The nodes that a pass under way has changed, as they were before it; None for those that are new."""

    @classmethod
    async def loaded(cls, document: Mapping[str, Any] | bytes) -> Self:
        """As the constructor, for a document with very many nodes or a large spec: the event loop goes on meanwhile.

        JSON, such as `encoded` returns, is read node by node: a document of a hundred thousand would keep the garbage
        collector, and so the event loop, for longer than a tenth of a second. A key that is given twice counts the last
        time. Nobody may change a document until it is loaded.
        """
        if isinstance(document, bytes):
            return await asyncio.to_thread(cls._read, document)
        return await asyncio.to_thread(cls, document)

    @classmethod
    def _read(cls, data: bytes) -> Self:
        text, document, nodes = Text(data), dict[str, Any](), dict[str, Node]()
        try:
            for field in text.members():
                if field == "status" and text.peek() == "{":
                    document[field] = dict(_rest_of_status(text, nodes))
                else:
                    document[field] = text.value()
            text.end()
        except InvalidWorkflow:
            raise
        except (ValueError, RecursionError) as error:
            raise InvalidWorkflow(f"expected a Workflow in JSON: {error}") from None
        workflow = cls(document)
        workflow.nodes = _whole(nodes)
        return workflow

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes by id."""
        behind = self.behind
        if behind is not None:
            behind(self._nodes)
        return self._nodes

    @nodes.setter
    def nodes(self, nodes: dict[str, Node]) -> None:
        self._nodes = nodes

    def committed(self) -> dict[str, Node]:
        """The nodes as the last committed pass left them, whatever one under way has made of them."""
        nodes = self.nodes.copy()
        for key, node in self.undo.items():
            if node is None:
                del nodes[key]
            else:
                nodes[key] = node
        return nodes

    def committed_node(self, node_id: str) -> Node | None:
        """A node as the last committed pass left it, None where there was none."""
        return self.undo[node_id] if node_id in self.undo else self.nodes.get(node_id)

    @property
    def phase(self) -> str:
        """``status.phase``; empty before the first pass."""
        phase: str = self.document["status"].get("phase") or ""
        return phase

    @property
    def message(self) -> str:
        """``status.message``."""
        message: str = self.document["status"].get("message") or ""
        return message

    @property
    def finished(self) -> bool:
        """Whether the workflow reached Succeeded, Failed or Error; such a workflow is left alone, but for a retry."""
        return has_ended(self.document)

    def to_dict(self) -> dict[str, Any]:
        """The whole document in Argo's shape, nodes included and sorted by id as Go marshals a map."""
        nodes = self.committed()
        if not nodes:
            return self.document
        found = {node_id: to_dict(nodes[node_id]) for node_id in sorted(nodes)}
        return {**self.document, "status": {**self.document["status"], "nodes": found}}

    def encode(self, document: dict[str, Any] | None = None) -> bytes:
        """`to_dict` as JSON, without building it: equal bytes mean that nothing at all has changed.

        A ``document`` takes the place of the workflow's own.
        """
        return b"".join(filter(None, _encoded(self.document if document is None else document, self.committed())))

    async def encoded(self, document: dict[str, Any] | None = None) -> bytes:
        """`encode` for a workflow with very many nodes: the event loop goes on meanwhile.

        It is the workflow of the moment at which this was called, whatever becomes of it until the end.
        """
        document, nodes = self.document if document is None else document, self.committed()
        return await asyncio.to_thread(lambda: b"".join(filter(None, _encoded(document, nodes))))

    def __getstate__(self) -> object:
        """As it is copied: with all nodes read."""
        _ = self.nodes
        return super().__getstate__()

    def __repr__(self) -> str:
        return f"<Workflow {self.key} {self.phase or 'new'}, {len(self.nodes)} nodes>"


def _node(node_id: str, document: Any) -> Node:
    try:
        check_node(node_id, document)
        return from_dict(document)
    except (msgspec.ValidationError, WrongType) as error:
        raise InvalidWorkflow(f"status.nodes[{node_id}]: {error}") from error


def _whole(nodes: dict[str, Node]) -> dict[str, Node]:
    """All nodes that there are. Raises `InvalidWorkflow` where one has children that are not among them."""
    for node_id, node in nodes.items():
        for child in node.children or ():
            if child not in nodes:
                raise InvalidWorkflow(f"status.nodes[{node_id}]: children: there is no node {child!r}")
    return nodes


def _rest_of_status(text: Text, nodes: dict[str, Node]) -> Iterator[tuple[str, Any]]:
    """The fields of a status but its nodes, which are put among `nodes`."""
    for field in text.members():
        if field == "nodes" and text.peek() == "{":
            for node_id in text.members():
                nodes[node_id] = _node(node_id, text.value())
        else:
            yield field, text.value()


def _checked(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    check_shape({"spec": spec})
    return spec


_specs: Final[Shared[Mapping[str, Any]]] = Shared(1 << 18)
"""Thousands of workflows may be of one spec: it is checked once, and one is kept for as long as any of them is."""


def _encoded(document: dict[str, Any], nodes: dict[str, Node]) -> Iterator[bytes | None]:
    """The JSON of a document with these nodes in its status, in pieces, some of which are None."""
    if not nodes:
        yield orjson.dumps(document)
        return
    keys = yield from in_order(list(nodes))
    status = orjson.dumps(document.get("status") or {})
    opened = status[:-1] + (b"" if status == b"{}" else b",") + b'"nodes":{' + _HERE + b"}}"
    before, after = orjson.dumps({**document, "status": orjson.Fragment(opened)}).split(_HERE)
    yield before
    for at in range(0, len(keys), PIECE):
        some = [orjson.dumps(key) + b":" + encode(nodes[key]) for key in keys[at : at + PIECE]]
        yield (b"," if at else b"") + b",".join(some)
    yield after


_HERE: Final = b"\0"
"""Where the nodes come; it stands nowhere in JSON."""


def _check(field: str, check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except InvalidName as error:
        raise InvalidWorkflow(f"metadata.{field}: {error}") from None
