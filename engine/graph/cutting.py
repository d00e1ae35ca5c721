"""Parts of the graph that nobody waits for any more."""

from __future__ import annotations

from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.model.node import Node


def cut_off(graph: Graph, invocation: Invocation) -> None:
    """Forget everything unfinished inside steps or a DAG that is about to end: its nodes stay as they are.

    That is what Argo makes of them: it looks only at the children of unfinished nodes. Costs as much as there are
    nodes below.
    """
    attempt = invocation.body.running if invocation.body is not None else None
    if attempt is not None:
        cut_off(graph, attempt)
        _drop(graph, attempt, graph.store[attempt.node_id])
        return
    seen = {invocation.node_id}
    stack = list(graph.store[invocation.node_id].children or ())
    while stack:
        node = graph.store[stack.pop()]
        if node.id in seen:
            continue
        seen.add(node.id)
        stack.extend(node.children or ())
        found = graph.find(node.id)
        if found is not None and found.is_inside(invocation):
            _drop(graph, found, node)


def _drop(graph: Graph, invocation: Invocation, node: Node) -> None:
    graph.leave(invocation)
    graph.fresh.pop(node.id, None)
    invocation.gone = True
    if node.fulfilled and not node.finished_at:  # a plugin has just said so, and its visit would have been next
        node = graph.store.touch(node.id)
        node.started_at, node.finished_at = node.started_at or graph.timestamp, graph.timestamp
    if invocation.resolved.is_leaf:
        graph.stops.append(node.id)
    graph.room.release(invocation, node)
