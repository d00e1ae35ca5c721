"""A workflow in memory: its document as it was loaded, and its nodes, each replaced only when a pass commits."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import orjson

from engine.model.naming import DEFAULT, InvalidName, check_name, check_namespace, check_uid, generated_name
from engine.model.node import Node, encode, from_dict, to_dict
from engine.shape import WrongType, check_node, check_shape
from rpc.statuses import in_one_line

COMPLETED_PHASES: Final = frozenset({"Succeeded", "Failed", "Error"})


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

    __slots__ = ("__weakref__", "document", "key", "name", "namespace", "nodes", "uid")

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take a Workflow as Argo writes it, `status.nodes` included. Raises `InvalidWorkflow`."""
        if document.get("kind", "Workflow") != "Workflow":
            raise InvalidWorkflow(f"kind: expected Workflow, got {document.get('kind')!r}")
        if document.get("spec") is None:
            raise InvalidWorkflow("spec: expected a mapping, got nothing")
        try:
            check_shape(document)
        except WrongType as error:
            raise InvalidWorkflow(str(error)) from None
        spec, status = document["spec"], document.get("status") or {}
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
        self.nodes: dict[str, Node] = {}
        for node_id, node in nodes.items():
            try:
                check_node(node_id, node, nodes)
                self.nodes[node_id] = from_dict(node)
            except (msgspec.ValidationError, WrongType) as error:
                raise InvalidWorkflow(f"status.nodes[{node_id}]: {error}") from error

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
        return self.phase in COMPLETED_PHASES

    def to_dict(self) -> dict[str, Any]:
        """The whole document in Argo's shape, nodes included and sorted by id as Go marshals a map."""
        if not self.nodes:
            return self.document
        nodes = {node_id: to_dict(self.nodes[node_id]) for node_id in sorted(self.nodes)}
        return {**self.document, "status": {**self.document["status"], "nodes": nodes}}

    def encode(self) -> bytes:
        """`to_dict` as JSON, without building it: equal bytes mean that nothing at all has changed."""
        if not self.nodes:
            return orjson.dumps(self.document)
        nodes = b",".join(orjson.dumps(node_id) + b":" + encode(self.nodes[node_id]) for node_id in sorted(self.nodes))
        status = orjson.Fragment(_with_nodes(orjson.dumps(self.document["status"]), nodes))
        return orjson.dumps({**self.document, "status": status})

    def __repr__(self) -> str:
        return f"<Workflow {self.key} {self.phase or 'new'}, {len(self.nodes)} nodes>"


def _with_nodes(status: bytes, nodes: bytes) -> bytes:
    separator = b"" if status == b"{}" else b","
    return status[:-1] + separator + b'"nodes":{' + nodes + b"}}"


def _check(field: str, check: Callable[[str], None], value: str) -> None:
    try:
        check(value)
    except InvalidName as error:
        raise InvalidWorkflow(f"metadata.{field}: {error}") from None
