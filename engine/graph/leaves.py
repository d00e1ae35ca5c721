"""Leaves: what becomes of the nodes that an executor, a plugin or the clock fulfils."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from engine.executors.executor import Result
from engine.graph import daemons
from engine.graph.deadlines import limit_leaf, seconds, started
from engine.graph.invocation import Invocation
from engine.graph.nodes import complete
from engine.graph.outputs import leaf_outputs
from engine.model.node import CONTAINER, ERROR, FAILED, FULFILLED, PENDING, POD, RUNNING, SUCCEEDED, Node
from engine.shape import WrongType, check_outputs
from engine.substitution.text import SubstitutionError
from engine.substitution.variables import text_of

if TYPE_CHECKING:
    from engine.graph.graph import Graph

Document = Mapping[str, Any]


def begin(graph: Graph, invocation: Invocation, node: Node) -> None:
    """The node is Running: limit its time, and have it started by whoever runs it."""
    reason = graph.closing.reason(invocation) if not graph.replaying else None
    if reason is not None:  # it was Running before the workflow was told to end
        graph.stops.append(node.id)
        graph.finish(invocation, FAILED, reason)
        return
    kind = invocation.resolved.kind
    limit_leaf(graph, invocation, node)
    if not graph.is_open(invocation):
        return
    absent = _absent_volume(graph, invocation, node)
    if absent is not None:
        graph.finish(invocation, ERROR, f"volume '{absent}' not found in workflow spec", raised=True)
        return
    if kind == "suspend":
        _suspend(graph, invocation, node)
    if kind == "containerSet":
        _open_containers(graph, invocation, node)
    if kind != "plugin" and not graph.replaying:
        graph.starts.append(invocation)
    if node.daemoned:
        daemons.found(graph, invocation)


def _absent_volume(graph: Graph, invocation: Invocation, node: Node) -> str | None:
    """A volume that a pod yet to be made mounts, and that neither its template nor the workflow has (Argo's
    addVolumeReferences)."""
    template = invocation.resolved
    if template.mounts is None or graph.store.before(node.id).phase != PENDING:
        return None
    own = graph.admission.settings(graph, invocation).get("volumes") or ()
    known = {*graph.admission.volumes, *(each.get("name") for each in own)}
    names: list[str] = orjson.loads(template.mounts.render(graph.scope_of(invocation), allow_unresolved=True))
    return next((name for name in names if name not in known), None)


def end(graph: Graph, invocation: Invocation, node: Node) -> None:
    """The node, ready to be changed, is fulfilled: so are its containers."""
    if node.progress and not node.unsuccessful:
        node.progress = complete(node.progress)
    if invocation.resolved.kind == "containerSet":
        _close_containers(graph, node)


# Reports


def report(graph: Graph, invocation: Invocation, result: Result) -> None:
    """Take what an executor says of a leaf it was given: it runs, or it has ended."""
    node = graph.store[invocation.node_id]
    if not graph.is_open(invocation) or not invocation.resolved.is_leaf or invocation.parked:
        return
    daemon = invocation.resolved.daemon
    if result.phase == RUNNING:
        if daemon:
            daemons.up(graph, invocation, result.pod_ip or "127.0.0.1")
        elif result.message and result.message != node.message:
            graph.store.touch(node.id).message = result.message
        return
    if result.phase not in FULFILLED:
        graph.finish(invocation, ERROR, f"the executor reported the phase {result.phase!r}")
        return
    phase, message = result.phase, result.message
    if invocation.resolved.kind == "suspend" and phase == SUCCEEDED:
        parameters = (result.outputs or {}).get("parameters") or ()
        given = {parameter["name"]: text_of(parameter.get("value", "")) for parameter in parameters}
        resume(graph, invocation, given, message)
        return
    if daemon and phase == SUCCEEDED:
        phase = FAILED  # it has not done what it was there for (Argo's assessNodeStatus)
    try:
        for each in (result, *(result.containers or {}).values()):
            if each.outputs:
                check_outputs(each.outputs)
        outputs = _outputs_of(graph, invocation, result)
    except (SubstitutionError, WrongType) as error:
        graph.finish(invocation, ERROR, f"outputs that cannot be read: {error}")
        return
    for container in _containers(graph, node):
        own = (result.containers or {}).get(container.display_name)
        if own is not None:
            touched = graph.store.touch(container.id)
            touched.phase, touched.message = own.phase, own.message
            touched.outputs, touched.finished_at = own.outputs, graph.timestamp
            if not touched.unsuccessful:
                touched.progress = complete(touched.progress)
    graph.finish(invocation, phase, message, outputs=outputs)


def _outputs_of(graph: Graph, invocation: Invocation, result: Result) -> dict[str, Any] | None:
    """A leaf's outputs in Argo's shape; what its template declares is there once it succeeded.

    A pod that failed has those parameters, too, that have a default: its outputs are collected all the same (Argo's
    SaveParameters in executor.go).
    """
    template, given = invocation.resolved, result.outputs or {}
    kept = result.phase == SUCCEEDED or (result.phase == FAILED and template.is_pod)
    if not kept or not template.outputs:
        return dict(given) if given else None
    declared = _declared(graph, invocation)
    if result.phase == FAILED:
        declared = {"parameters": declared.get("parameters") or ()}
    return leaf_outputs(declared, given, f"{graph.store.workflow}/{graph.pod_name(invocation)}")


def _declared(graph: Graph, invocation: Invocation) -> Document:
    template = invocation.resolved
    if not template.declared.tags:
        return template.outputs
    declared: Document = orjson.loads(template.declared.render(graph.scope_of(invocation), allow_unresolved=True))
    return declared


# Suspends


def _suspend(graph: Graph, invocation: Invocation, node: Node) -> None:
    """Wait for the template's duration, counted from the node's start; without one, for somebody to resume it.

    Until then the node shows what it is to be given (Argo's executeSuspend).
    """
    wait = None
    try:
        settings = graph.admission.settings(graph, invocation)
        duration = (settings.get("suspend") or {}).get("duration")
        if duration not in (None, ""):
            wait = seconds(duration)
        if not graph.replaying:
            _show(graph, invocation, node)
    except (ValueError, SubstitutionError) as error:
        graph.finish(invocation, ERROR, str(error), raised=True)
        return
    if wait is not None:
        is_open = partial(graph.is_open, invocation)
        graph.at(started(graph, node) + wait, invocation.order, is_open, partial(_resume_in_time, graph, invocation))


def _show(graph: Graph, invocation: Invocation, node: Node) -> None:
    """The outputs that somebody is to supply, and of inputs the values to choose from.

    An input that is a parameter in JSON has that one's `enum` (Argo's resolveInputFieldsForSuspendNode). An output has
    the default of the input of its name where it has none itself.
    """
    inputs = orjson.loads(bytes(node.inputs)) if node.inputs is not None else {}
    chosen = False
    for parameter in inputs.get("parameters") or ():
        if "enum" in str(parameter.get("value")):
            try:
                described = orjson.loads(str(parameter["value"]))
            except orjson.JSONDecodeError:
                continue
            choices = described.get("enum") if isinstance(described, dict) else None
            if isinstance(choices, list) and choices:
                parameter["enum"], chosen = choices, True
                parameter.setdefault("default", choices[0])
    if chosen:
        graph.store.touch(node.id).inputs = msgspec.Raw(msgspec.json.encode(inputs))
    defaults = {each["name"]: each.get("default") for each in inputs.get("parameters") or ()}
    wanted = [
        {**each, "valueFrom": {"default": defaults[each["name"]], **each["valueFrom"]}}
        if defaults.get(each["name"]) is not None
        else each
        for each in _declared(graph, invocation).get("parameters") or ()
        if _is_supplied(each)
    ]
    if wanted and not node.outputs:
        graph.store.touch(node.id).outputs = {"parameters": wanted}


def _is_supplied(parameter: Document) -> bool:
    return (parameter.get("valueFrom") or {}).get("supplied") is not None


def _resume_in_time(graph: Graph, invocation: Invocation) -> None:
    resume(graph, invocation, {}, in_time=True)


def resume(
    graph: Graph, invocation: Invocation, given: Mapping[str, str], message: str = "", *, in_time: bool = False
) -> None:
    """Go on after a suspend: with the parameters that somebody supplied, those set before, or their defaults.

    Where one has none of these the node has Failed, or, where it went on by itself (``in_time``), is in Error.
    """
    if not graph.is_open(invocation):
        return
    outputs = dict(graph.store[invocation.node_id].outputs or {})
    parameters = []
    for parameter in outputs.get("parameters") or ():
        name = parameter["name"]
        value = given.get(name, parameter.get("value", (parameter.get("valueFrom") or {}).get("default")))
        if value is None:
            problem = f"raw output parameter '{name}' has not been set and does not have a default value"
            graph.finish(invocation, ERROR if in_time else FAILED, problem, raised=in_time)
            return
        kept = {key: field for key, field in parameter.items() if key != "valueFrom"}
        parameters.append({**kept, "value": value})
    if parameters:
        outputs["parameters"] = parameters
    graph.finish(invocation, SUCCEEDED, message, outputs=outputs or None)


# Container sets


def _open_containers(graph: Graph, invocation: Invocation, node: Node) -> None:
    """A container set's containers are nodes, too, under the pod they run in."""
    containers = (invocation.resolved.document.get("containerSet") or {}).get("containers") or ()
    created: dict[str, str] = {}
    for container in containers:
        name = f"{node.name}.{container['name']}"
        child = graph.store.adopt(name) or graph.store.create(
            name, CONTAINER, RUNNING, graph.store[node.id], started_at=graph.timestamp
        )
        created[container["name"]] = child.id
    for container in containers:
        for parent in container.get("dependencies") or ():
            graph.store.link(created.get(parent, node.id), created[container["name"]])
        if not container.get("dependencies"):
            graph.store.link(node.id, created[container["name"]])


def _close_containers(graph: Graph, node: Node) -> None:
    """Containers nobody spoke of end as their pod did."""
    for container in _containers(graph, node):
        if not container.fulfilled:
            touched = graph.store.touch(container.id)
            touched.phase, touched.finished_at = node.phase, graph.timestamp
            touched.progress = node.progress


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
