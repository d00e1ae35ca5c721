"""Leaves: what becomes of the nodes that an executor, a plugin or the clock fulfils."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from engine.execution import Result
from engine.graph.invocation import Invocation
from engine.graph.outputs import leaf_outputs
from engine.node import CONTAINER, ERROR, FAILED, POD, RUNNING, SUCCEEDED, Node
from engine.variables import parse_time
from rpc.durations import parse_duration

if TYPE_CHECKING:
    from engine.graph.graph import Graph

Document = Mapping[str, Any]


def seconds(value: object) -> float:
    """A duration as manifests write it: a number of seconds, or Go's notation. Raises `ValueError`."""
    text = str(value)
    return float(text) if text.isdigit() else parse_duration(text)


def report(graph: Graph, invocation: Invocation, result: Result) -> None:
    """Take what an executor says of a leaf it was given: it runs, or it has ended."""
    node = graph.store[invocation.node_id]
    if node.fulfilled:
        return
    template = invocation.resolved
    daemon = bool(template.document.get("daemon"))
    if result.phase == RUNNING:
        if daemon:
            graph.daemon_up(invocation, result.pod_ip or "127.0.0.1")
        elif result.message != node.message:
            graph.store.touch(node.id).message = result.message
        return
    phase, message = result.phase, result.message
    if daemon:
        # A daemon that ends before its boundary did not do its job, unless it had been up (Argo's assessNodeStatus).
        phase = SUCCEEDED if node.daemoned else FAILED
        message = message or ("" if node.daemoned else "daemon ended before it was up")
    outputs = outputs_of(graph, invocation, result)
    for container in _containers(graph, node):
        own = (result.containers or {}).get(container.display_name)
        if own is not None:
            touched = graph.store.touch(container.id)
            touched.phase, touched.message = own.phase, own.message
            touched.outputs, touched.finished_at = own.outputs, graph.timestamp
    graph.finish(invocation, phase, message, outputs=outputs)


def outputs_of(graph: Graph, invocation: Invocation, result: Result) -> dict[str, Any] | None:
    """A leaf's outputs in Argo's shape; what its template declares is there once it succeeded."""
    template = invocation.resolved
    if result.phase != SUCCEEDED or not template.outputs:
        return dict(result.outputs) if result.outputs else None
    declared: Document = template.outputs
    if template.declared.tags:
        declared = orjson.loads(template.declared.render(graph.scope_of(invocation), allow_unresolved=True))
    return leaf_outputs(declared, result.outputs or {}, f"{graph.store.workflow}/{graph.pod_name(invocation)}")


def suspend(graph: Graph, invocation: Invocation, node: Node) -> None:
    """Wait for the template's duration, counted from the node's start; without one, for somebody to resume it."""
    settings = graph.admission.settings(graph, invocation)
    duration = (settings.get("suspend") or {}).get("duration")
    if duration in (None, ""):
        return
    try:
        wait = seconds(duration)
    except ValueError as error:
        graph.finish(invocation, ERROR, f"suspend.duration: {error}")
        return
    graph.at(_started(graph, node) + wait, partial(_resume, graph, invocation))


def _resume(graph: Graph, invocation: Invocation) -> None:
    graph.finish(invocation, SUCCEEDED, "", outputs=supplied_outputs(invocation, {}))


def supplied_outputs(invocation: Invocation, given: Mapping[str, str]) -> dict[str, Any] | None:
    """What a suspend node leaves behind: the parameters somebody supplied, else their defaults."""
    return leaf_outputs(
        invocation.resolved.outputs,
        {"parameters": [{"name": name, "value": value} for name, value in given.items()]} if given else {},
        "",
    )


def limit_time(graph: Graph, invocation: Invocation, node: Node) -> None:
    """Fail the node when its template's `timeout` or `activeDeadlineSeconds` has passed since it started."""
    document = invocation.resolved.document
    if document.get("timeout") is None and document.get("activeDeadlineSeconds") is None:
        return
    settings = graph.admission.settings(graph, invocation)
    for field, message in (
        ("timeout", "Step exceeded its deadline"),
        ("activeDeadlineSeconds", "Pod was active on the node longer than the specified deadline"),
    ):
        if settings.get(field) in (None, ""):
            continue
        try:
            limit = seconds(settings[field])
        except ValueError as error:
            graph.finish(invocation, ERROR, f"{field}: {error}")
            return
        graph.at(_started(graph, node) + limit, partial(_expire, graph, invocation, message))


def _expire(graph: Graph, invocation: Invocation, message: str) -> None:
    node = graph.store[invocation.node_id]
    if not node.fulfilled:
        graph.stops.append(node.id)
        graph.finish(invocation, FAILED, message)


def _started(graph: Graph, node: Node) -> float:
    return parse_time(node.started_at).timestamp() if node.started_at else graph.now


def open_containers(graph: Graph, invocation: Invocation, node: Node) -> None:
    """A container set's containers are nodes, too, under the pod they run in."""
    containers = (invocation.resolved.document.get("containerSet") or {}).get("containers") or ()
    created: dict[str, str] = {}
    for container in containers:
        name = f"{node.name}.{container['name']}"
        child = graph.store.adopt(name) or graph.store.create(
            name, CONTAINER, RUNNING, graph.store[node.id], started_at=graph.timestamp
        )
        created[container["name"]] = child.id
        for parent in container.get("dependencies") or ():
            graph.store.link(created.get(parent, node.id), child.id)
        if not container.get("dependencies"):
            graph.store.link(node.id, child.id)


def close_containers(graph: Graph, node: Node) -> None:
    """Containers nobody spoke of end as their pod did."""
    for container in _containers(graph, node):
        if not container.fulfilled:
            touched = graph.store.touch(container.id)
            touched.phase, touched.finished_at = node.phase, graph.timestamp


def _containers(graph: Graph, node: Node) -> list[Node]:
    """The nodes of a pod's containers; one that depends on others hangs under them."""
    found: dict[str, Node] = {}
    stack = list(node.children or ()) if node.type == POD else []
    while stack:
        child = graph.store[stack.pop()]
        if child.type == CONTAINER and child.boundary_id == node.id and child.id not in found:
            found[child.id] = child
            stack.extend(child.children or ())
    return list(found.values())
