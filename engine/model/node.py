"""A node of a workflow: what `status.nodes` holds, compact enough for a million of them.

Field names and order are those of Argo's NodeStatus, so that encoding a node is one call and decodes anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

PENDING: Final = "Pending"
RUNNING: Final = "Running"
SUCCEEDED: Final = "Succeeded"
SKIPPED: Final = "Skipped"
FAILED: Final = "Failed"
ERROR: Final = "Error"
OMITTED: Final = "Omitted"

FULFILLED: Final = frozenset({SUCCEEDED, SKIPPED, FAILED, ERROR, OMITTED})
"""Phases that a node never leaves."""
COMPLETED: Final = frozenset({SUCCEEDED, FAILED, ERROR})
"""Fulfilled by having run; a skipped or omitted node did not, so no exit handler runs for it."""
UNSUCCESSFUL: Final = frozenset({FAILED, ERROR})

POD: Final = "Pod"
CONTAINER: Final = "Container"
SUSPEND: Final = "Suspend"
HTTP: Final = "HTTP"
PLUGIN: Final = "Plugin"
STEPS: Final = "Steps"
STEP_GROUP: Final = "StepGroup"
DAG: Final = "DAG"
TASK_GROUP: Final = "TaskGroup"
RETRY: Final = "Retry"
SKIPPED_TYPE: Final = "Skipped"

FLAGS: Final[dict[str, dict[str, bool]]] = {"group": {}, "hooked": {"hooked": True}, "retried": {"retried": True}}
"""The `nodeFlag` of nodes that no step or task stands for; shared by all of them, so never changed."""


class Node(msgspec.Struct, gc=False, omit_defaults=True, rename="camel"):
    """One node of the graph, in Argo's JSON shape. ``gc=False``: nodes hold no cycles, they name each other by id."""

    id: str
    name: str
    display_name: str
    type: str
    template_name: str = ""
    template_ref: dict[str, Any] | None = None
    template_scope: str = ""
    phase: str = ""
    boundary_id: str = msgspec.field(default="", name="boundaryID")
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    estimated_duration: int | None = None
    progress: str = ""
    resources_duration: dict[str, Any] | None = None
    pod_ip: str = msgspec.field(default="", name="podIP")
    daemoned: bool | None = None
    inputs: msgspec.Raw | None = None
    outputs: dict[str, Any] | None = None
    children: Sequence[str] | None = None
    outbound_nodes: tuple[str, ...] = ()
    host_node_name: str = ""
    memoization_status: dict[str, Any] | None = None
    synchronization_status: dict[str, Any] | None = None
    node_flag: dict[str, Any] | None = None
    unknown: dict[str, Any] | None = None
    """Fields this version does not know, kept for the round trip; `encode` puts them back at the top level."""

    @property
    def fulfilled(self) -> bool:
        """Whether the node has reached a phase that it never leaves."""
        return self.phase in FULFILLED

    @property
    def completed(self) -> bool:
        """Whether the node ran to an end, good or bad."""
        return self.phase in COMPLETED

    @property
    def unsuccessful(self) -> bool:
        """Whether the node ended Failed or Error."""
        return self.phase in UNSUCCESSFUL


KNOWN: Final = frozenset(field.encode_name for field in msgspec.structs.fields(Node)) - {"unknown"}

_encoder = msgspec.json.Encoder()


def encode(node: Node) -> bytes:
    """The node as JSON, unknown fields included. Raises nothing: what was loaded can be encoded."""
    if node.unknown is None:
        return _encoder.encode(node)
    return _encoder.encode(to_dict(node))


def to_dict(node: Node) -> dict[str, Any]:
    """The node as a document of its own, sharing nothing with it."""
    document: dict[str, Any] = msgspec.json.decode(_encoder.encode(node))
    unknown = document.pop("unknown", None)
    return {**document, **unknown} if unknown else document


def from_dict(document: dict[str, Any]) -> Node:
    """A node from Argo's JSON shape. Raises `msgspec.ValidationError` naming the field of a wrong type."""
    known = {key: value for key, value in document.items() if key in KNOWN and value is not None}
    inputs = known.pop("inputs", None)
    node = msgspec.convert(known, Node)
    if inputs is not None:
        node.inputs = msgspec.Raw(_encoder.encode(inputs))
    unknown = {key: value for key, value in document.items() if key not in KNOWN}
    if unknown:
        node.unknown = unknown
    return node
