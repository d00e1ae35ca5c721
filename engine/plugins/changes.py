"""What becomes of a node or a workflow by what a plugin has answered: worked out before that counts, for a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from engine.model.node import ERROR, RUNNING, Node
from engine.plugins.patching import IllegalChange, apply_result, patch_workflow
from rpc import FatalError, Method, PluginError
from rpc.replies import NodeReply, ParametersReply, Reply, WorkflowReply

if TYPE_CHECKING:
    from engine.recording.recorder import Changes

_FIELDS: Final = ("phase", "message", "progress", "outputs")


def changes_of_node(
    plugin: str,
    method: Method,
    node: Node,
    outcome: Reply | PluginError,
    *,
    tolerated: bool,
    parameters: Mapping[str, str] | None = None,
) -> tuple[Changes, str]:
    """By an answer about it, and why that is not acceptable, empty where it is. Failures may be ``tolerated``.

    ``parameters`` are those that were added to it before.
    """
    if isinstance(outcome, ParametersReply):
        before, added = parameters or {}, outcome.parameters or {}
        pairs = {f"parameters.{name}": (before.get(name), value) for name, value in added.items()}
        return {name: (old, new) for name, (old, new) in pairs.items() if old != new}, ""
    after, refused = copy(node), ""
    if isinstance(outcome, NodeReply):
        try:
            if outcome.node is not None:
                apply_result(after, outcome.node)
                after.progress = after.progress if outcome.node.progress is None else outcome.node.progress
        except IllegalChange as error:
            refused = str(error)
            outcome = FatalError(plugin, method, refused)
        else:
            if method is Method.TEMPLATE_EXECUTE and not after.fulfilled:
                after.phase = RUNNING
    if isinstance(outcome, FatalError) and not tolerated and method.reply == "node":
        after.phase, after.message = ERROR, str(outcome)
    fields = {field: (getattr(node, field), getattr(after, field)) for field in _FIELDS}
    return {field: (old, new) for field, (old, new) in fields.items() if old != new}, refused


def changes_of_workflow(
    plugin: str, method: Method, document: dict[str, Any], outcome: Reply | PluginError, *, tolerated: bool
) -> tuple[Changes, str]:
    """As `changes_of_node`."""
    refused = ""
    if isinstance(outcome, WorkflowReply) and outcome.workflow is not None:
        try:
            return dict(_patched(document, patch_workflow(document, outcome.workflow), outcome.workflow)), ""
        except IllegalChange as error:
            refused = str(error)
            outcome = FatalError(plugin, method, refused)
    if isinstance(outcome, FatalError) and not tolerated:
        status = document["status"]
        ended = {"status.phase": (status.get("phase"), ERROR), "status.message": (status.get("message"), str(outcome))}
        return ended, refused
    return {}, refused


def _patched(
    before: Any, after: Any, patch: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The fields that a merge patch has changed, by their path."""
    for key, value in patch.items():
        old, new = (each.get(key) if isinstance(each, dict) else None for each in (before, after))
        if isinstance(value, dict) and isinstance(new, dict) and value:
            yield from _patched(old, new, value, f"{path}{key}.")
        elif old != new:
            yield f"{path}{key}", (old, new)
