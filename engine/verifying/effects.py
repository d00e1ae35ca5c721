"""What a reply would do to the workflow or the node that the arguments of its call are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.model.node import PENDING, PLUGIN, Node, from_dict
from engine.plugins.changes import changes_of_node, changes_of_workflow
from engine.shape import explain
from rpc import Method, PluginError
from rpc.replies import Reply

if TYPE_CHECKING:
    from engine.recording.recorder import Changes

Arguments = dict[str, Any]

_NOBODY: Final = Node("", "", "", PLUGIN, phase=PENDING)
"""The node of a call that is sent none."""


def node_in(arguments: Arguments) -> Node | None:
    """The node that a reply is about; None where there is none. Raises `ValueError` where it is not one."""
    place = "new" if "new" in arguments else "node"
    if place not in arguments:
        return None
    try:
        return from_dict(msgspec.convert(arguments[place], dict[str, Any]))
    except msgspec.ValidationError as error:
        raise ValueError(f"{place}: {explain(str(error))}") from None


def workflow_in(arguments: Arguments) -> dict[str, Any]:
    """The workflow that a reply is about. Raises `ValueError` where it is not one."""
    place = "new" if "new" in arguments else "workflow"
    workflow = arguments[place]
    for field in ("metadata", "spec", "status"):
        if not isinstance(workflow, dict) or not isinstance(workflow.get(field), dict):
            raise ValueError(f"{place}: expected a workflow with metadata, spec and status, each of them an object")
    return dict(workflow)


def effect_of(plugin: str, method: Method, arguments: Arguments, outcome: Reply | PluginError) -> tuple[Changes, str]:
    """By field what it was and what it becomes, and why the reply is not acceptable, empty where it is.

    Raises `ValueError` where the arguments have no workflow or node of which that could be said.
    """
    if method.reply == "workflow":
        changes, refused = changes_of_workflow(plugin, method, workflow_in(arguments), outcome, tolerated=False)
        return {f"workflow.{field}": change for field, change in changes.items()}, refused
    node = _NOBODY if method.reply == "parameters" else node_in(arguments) or _NOBODY
    changes, refused = changes_of_node(plugin, method, node, outcome, tolerated=False)
    if method.reply == "node":
        changes = {f"node.{field}": change for field, change in changes.items()}
    return changes, refused
