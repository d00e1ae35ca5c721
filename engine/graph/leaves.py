"""Leaves: what becomes of the nodes that an executor, a plugin or the clock fulfils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from engine.executors.executor import Result
from engine.graph import containers, suspending
from engine.graph.deadlines import limit_leaf
from engine.graph.ends import come_up, finish, found_up
from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.graph.outputs import leaf_outputs
from engine.model.node import ERROR, FAILED, FULFILLED, PENDING, RUNNING, SUCCEEDED, Node
from engine.shape import WrongType, check_outputs
from engine.substitution.text import SubstitutionError, Text
from rpc.progress import EXPECTED, is_progress

BEGINNINGS: Final[dict[str, Callable[[Graph, Invocation, Node], None]]] = {
    "suspend": suspending.begin,
    "containerSet": containers.open_all,
}
"""What the leaves of some kinds do when they begin."""

ANSWERED: Final[dict[str, Callable[[Graph, Invocation, Result], None]]] = {"suspend": suspending.answered}
"""What becomes of some when an executor says that they succeeded."""


def begin(graph: Graph, invocation: Invocation, node: Node) -> None:
    """The node is Running: limit its time, and have it started by whoever runs it."""
    template = invocation.resolved
    reason = graph.closing.reason(invocation) if not graph.replaying else None
    if reason is not None:  # it was Running before the workflow was told to end
        graph.stops.append(node.id)
        finish(graph, invocation, FAILED, reason)
        return
    if template.timed or invocation.deadline is not None:
        limit_leaf(graph, invocation, node)
        if not graph.is_open(invocation):
            return
    if template.mounts is not None:
        absent = _absent_volume(graph, invocation, node, template.mounts)
        if absent is not None:
            finish(graph, invocation, ERROR, f"volume '{absent}' not found in workflow spec", raised=True)
            return
    kind = template.kind
    if kind.name in BEGINNINGS:
        BEGINNINGS[kind.name](graph, invocation, node)
    if kind.started and not graph.replaying:
        graph.starts.append(invocation)
    if node.daemoned:
        found_up(graph, invocation)


def _absent_volume(graph: Graph, invocation: Invocation, node: Node, mounts: Text) -> str | None:
    """A volume that a pod yet to be made mounts, and that neither its template nor the workflow has (Argo's
    addVolumeReferences)."""
    if graph.store.before(node.id).phase != PENDING:
        return None
    own = graph.settings(invocation).get("volumes") or ()
    known = {*graph.volumes, *(each.get("name") for each in own)}
    names: list[str] = orjson.loads(mounts.render(graph.scope_of(invocation), allow_unresolved=True))
    return next((name for name in names if name not in known), None)


def report(graph: Graph, invocation: Invocation, result: Result) -> None:
    """Take what an executor says of a leaf it was given: it runs, or it has ended."""
    node, template = graph.store.nodes[invocation.node_id], invocation.template
    assert template is not None
    if invocation.gone or node.phase in FULFILLED or not template.is_leaf or invocation.parked:
        return
    if result.progress != "" and result.progress != node.progress:
        if not is_progress(result.progress):
            problem = f"the executor reported the progress {result.progress!r}, expected {EXPECTED}"
            graph.stops.append(node.id)
            finish(graph, invocation, ERROR, problem)
            return
        graph.store.progressed(graph.store.touch(node.id), result.progress)
        node = graph.store.nodes[node.id]
    if result.host_node_name:
        node = graph.store.touch(node.id)
        node.host_node_name = result.host_node_name
    daemon = template.daemon
    if result.phase == RUNNING:
        if daemon:
            come_up(graph, invocation, result.pod_ip or "127.0.0.1")
            return
        if result.message and result.message != node.message:
            graph.store.touch(node.id).message = result.message
        if result.outputs and template.kind.name == "suspend":
            suspending.supply(graph, invocation, result.outputs)
        return
    if result.phase not in FULFILLED:
        expected = f"{', '.join(sorted(FULFILLED))}, or {RUNNING} while it runs"
        finish(graph, invocation, ERROR, f"the executor reported the phase {result.phase!r}, expected {expected}")
        return
    phase, message = result.phase, result.message
    answered = ANSWERED.get(template.kind.name) if phase == SUCCEEDED else None
    if answered is not None:
        answered(graph, invocation, result)
        return
    if daemon and phase == SUCCEEDED:
        phase = FAILED  # it has not done what it was there for (Argo's assessNodeStatus)
    last = graph.last_read
    if last is not None and last[0] is result and last[1] is template:
        outputs = last[2]
    else:
        try:
            outputs = _read(graph, invocation, result)
        except (SubstitutionError, WrongType) as error:
            finish(graph, invocation, ERROR, f"outputs that cannot be read: {error}")
            return
    if node.children:
        containers.report(graph, node, result)
    finish(graph, invocation, phase, message, outputs=outputs)


def _read(graph: Graph, invocation: Invocation, result: Result) -> dict[str, Any] | None:
    """The outputs of the leaf's node; leaves that came to one and the same end share them, where they declare none."""
    template = invocation.resolved
    for each in (result, *(result.containers or {}).values()):
        if each.outputs:
            check_outputs(each.outputs)
    outputs = _outputs_of(graph, invocation, result)
    if not template.outputs:
        graph.last_read = result, template, outputs
    return outputs


def _outputs_of(graph: Graph, invocation: Invocation, result: Result) -> dict[str, Any] | None:
    """A leaf's outputs in Argo's shape; what its template declares is there once it succeeded.

    A pod that failed has those parameters, too, that have a default: its outputs are collected all the same (Argo's
    SaveParameters in executor.go).
    """
    template, given = invocation.resolved, result.outputs or {}
    kept = result.phase == SUCCEEDED or (result.phase == FAILED and template.is_pod)
    if not kept or not template.outputs:
        return dict(given) if given else None
    declared = graph.declared(invocation)
    if result.phase == FAILED:
        declared = {"parameters": declared.get("parameters") or ()}
    return leaf_outputs(declared, given, f"{graph.store.workflow}/{graph.pod_name(invocation)}")
