"""What a plugin's reply does to a workflow or a node, and what it may not do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET

from engine.model.node import FULFILLED, Node
from engine.model.workflow import COMPLETED_PHASES
from engine.shape import WrongType, check_outputs, check_shape
from engine.substitution.variables import text_of
from rpc.replies import NodeResult

IDENTITY: Final = ("name", "namespace", "uid")
"""The fields of `metadata` that say which workflow it is; no patch may change them."""


MOST_TAGS: Final = 256 * 1024
"""Characters of the names and values of all labels, or annotations: Kubernetes' bound for annotations
(``TotalAnnotationSizeLimitB``)."""

WORKFLOW_PHASES: Final = COMPLETED_PHASES | {"Pending", "Running"}
"""Argo's workflow phases (``WorkflowPhase`` in its API), but for "", which a workflow has before its first pass."""


class IllegalChange(Exception):
    """A reply that is well-formed and still not acceptable: the message says what it tried to change."""


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with an RFC 7386 merge patch applied; what the patch does not touch is shared, nothing is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def patch_workflow(document: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The workflow's document as a plugin wants it. Raises `IllegalChange`.

    A plugin may patch what is a user's or a controller's to set. The workflow's identity is not, nor are its nodes,
    which have methods of their own; metadata, spec and status stay mappings, a finished workflow stays finished, and
    labels and annotations, which are sent with every call about a node, stay as small as Kubernetes wants them.
    """
    status = patch.get("status")
    if isinstance(status, Mapping) and "nodes" in status:
        raise IllegalChange("status.nodes may not be patched: use node.preExecute and node.postExecute")
    patched: dict[str, Any] = merge_patch(document, patch)
    for field in ("metadata", "spec", "status"):
        if not isinstance(patched.get(field), dict):
            raise IllegalChange(f"{field} may not become {patched.get(field)!r}")
    for field in IDENTITY:
        before, after = document["metadata"].get(field), patched["metadata"].get(field)
        if before != after:
            raise IllegalChange(f"metadata.{field} may not be changed from {before!r} to {after!r}")
    for field in ("kind", "apiVersion"):
        if document.get(field) != patched.get(field):
            raise IllegalChange(f"{field} may not be changed from {document.get(field)!r} to {patched.get(field)!r}")
    try:
        check_shape({field: patched[field] for field in patch if field in patched})
    except WrongType as error:
        raise IllegalChange(str(error)) from None
    before, after = document["status"].get("phase"), patched["status"].get("phase")
    if before != after and (after not in WORKFLOW_PHASES or before in COMPLETED_PHASES - {after}):
        raise IllegalChange(f"status.phase may not be changed from {before!r} to {after!r}")
    if patched["metadata"] is not document["metadata"]:
        _check_tags(patched["metadata"])
    return patched


def _check_tags(metadata: Mapping[str, Any]) -> None:
    for kind in ("labels", "annotations"):
        values = metadata.get(kind, {})
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise IllegalChange(f"metadata.{kind} may only hold strings")
        size = sum(map(len, values)) + sum(map(len, values.values()))
        if size > MOST_TAGS:
            raise IllegalChange(f"metadata.{kind} may hold {MOST_TAGS} characters, not {size}")


def apply_result(node: Node, result: NodeResult) -> None:
    """Let a plugin's word on a node count, but for `progress`, of which the graph keeps count. Raises `IllegalChange`.

    It may neither make it another node nor take a finished one back. `outputs` replace those fields of the node's
    outputs that they name; values of parameters are texts from then on, as they are in Argo.
    """
    for field, before, after in (("id", node.id, result.id), ("name", node.name, result.name)):
        if after is not UNSET and after != before:
            raise IllegalChange(f"the node's {field} may not be changed from {before!r} to {after!r}")
    if result.phase is not None and node.phase in FULFILLED and result.phase not in FULFILLED:
        raise IllegalChange(f"node {node.name!r} is {node.phase} and may not become {result.phase} again")
    outputs = node.outputs
    if result.outputs is not None:
        outputs = {**(outputs or {}), **result.outputs}
        try:
            check_outputs(outputs)
        except WrongType as error:
            raise IllegalChange(f"the outputs of node {node.name!r} cannot be read: {error}") from None
        if result.outputs.get("parameters"):
            outputs["parameters"] = [
                each if each.get("value") is None else {**each, "value": text_of(each["value"])}
                for each in outputs["parameters"]
            ]
    node.outputs = outputs
    if result.phase is not None:
        node.phase = result.phase
    if result.message is not None:
        node.message = result.message
