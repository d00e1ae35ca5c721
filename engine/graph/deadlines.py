"""Time limits of nodes: `timeout`, `activeDeadlineSeconds`, and the end of a retry's `maxDuration`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from engine.graph.closing import DEADLINE
from engine.graph.ends import finish
from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.model.node import ERROR, FAILED, PENDING, PLUGIN, POD, SUSPEND, Node
from engine.shape import Document
from engine.substitution.text import SubstitutionError
from engine.substitution.variables import parse_time, seconds

POD_DEADLINE: Final = "Pod was active on the node longer than the specified deadline"
"""What Kubernetes says of a pod that ran out of time, be that its own or what is left of its template's `timeout`."""

TIMEOUT: Final = "timeout"

SHORTEST: Final = 2.0
"""Seconds: with no more than that left of its `timeout` no pod is made (createWorkflowPod in workflowpod.go)."""


def started(graph: Graph, node: Node) -> float:
    """When the node came to be, in seconds since the epoch."""
    return parse_time(node.started_at).timestamp() if node.started_at else graph.now


def limit_leaf(graph: Graph, invocation: Invocation, node: Node) -> None:
    """The leaf runs from now on: see to it that its limits end it.

    The `timeout` of a pod is a limit of the pod's; others are to Argo Pending until they end, and so time out as what
    waits for a lock does. But a suspend is Running at once (executeSuspend), and `activeDeadlineSeconds` is of pods
    alone: here of what a plugin executes, too.
    """
    if invocation.deadline is not None:
        _limit(graph, invocation, invocation.deadline, partial(_expire, graph, invocation, DEADLINE))
    timeout, active = _limits(graph, invocation)
    since = started(graph, node)
    is_new = not graph.restoring and graph.store.before(node.id).phase == PENDING
    if timeout is not None and node.type != POD and node.type != SUSPEND:
        _limit(graph, invocation, since + timeout, partial(_time_out, graph, invocation))
    elif timeout is not None and node.type == POD:
        if is_new and since + timeout - graph.now <= SHORTEST:
            finish(graph, invocation, ERROR, f"{node.name} exceeded its deadline", raised=True)
            return
        _limit(graph, invocation, since + timeout, partial(_expire, graph, invocation, POD_DEADLINE))
    if active is not None and node.type in (POD, PLUGIN):
        # Of the pod, which was not there while the node waited for a lock.
        begun = invocation.since if invocation.since is not None else since
        _limit(graph, invocation, begun + active, partial(_expire, graph, invocation, POD_DEADLINE))


def limit_waiting(graph: Graph, invocation: Invocation, node: Node) -> None:
    """The node waits for a lock: not longer than its `timeout` (checkTemplateTimeout in operator.go)."""
    timeout, _ = _limits(graph, invocation)
    if timeout is not None:
        due, waits = started(graph, node) + timeout, partial(_waits, graph, invocation)
        graph.timers.at(due, invocation.order, waits, partial(_stop_waiting, graph, invocation))


def _limits(graph: Graph, invocation: Invocation) -> tuple[float | None, float | None]:
    """Seconds of `timeout` and `activeDeadlineSeconds`; what is no duration ends the node."""
    fields = ("timeout", "activeDeadlineSeconds")
    document: Document = invocation.resolved.document
    if all(document.get(field) is None for field in fields):
        return None, None
    try:
        settings = graph.settings(invocation)
        timeout, active = (settings.get(field) for field in fields)
        return (
            None if timeout in (None, "") else seconds(timeout),
            None if active in (None, "") else seconds(active),
        )
    except (ValueError, SubstitutionError) as error:
        finish(graph, invocation, ERROR, str(error), raised=True)
        return None, None


def _limit(graph: Graph, invocation: Invocation, when: float, action: Callable[[], None]) -> None:
    graph.timers.at(when, invocation.order, partial(graph.is_open, invocation), action)


def _expire(graph: Graph, invocation: Invocation, message: str) -> None:
    graph.stops.append(invocation.node_id)
    finish(graph, invocation, FAILED, message)


def _time_out(graph: Graph, invocation: Invocation) -> None:
    graph.stops.append(invocation.node_id)
    finish(graph, invocation, FAILED, TIMEOUT, raised=invocation.attempt is None)


def _waits(graph: Graph, invocation: Invocation) -> bool:
    return invocation.parked and graph.is_open(invocation) and graph.store[invocation.node_id].phase == PENDING


def _stop_waiting(graph: Graph, invocation: Invocation) -> None:
    finish(graph, invocation, FAILED, TIMEOUT, raised=True)
