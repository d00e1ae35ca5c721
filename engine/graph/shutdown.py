"""Ends from outside: what `stop`, `terminate` and the workflow's deadline do to what is unfinished."""

from __future__ import annotations

import math
from functools import partial

from engine.graph.ends import end_inside, finish
from engine.graph.graph import Graph
from engine.graph.invocation import Invocation
from engine.graph.retry import Retry
from engine.model.node import FAILED, PENDING
from engine.model.pace import Pieces


def shut_down(graph: Graph, strategy: str, message: str = "") -> None:
    """End what runs, and begin nothing but, for ``Stop``, exit handlers; `message` is why."""
    closing = graph.closing
    if strategy != closing.shutdown:
        closing.shutdown = strategy
        closing.message = f": {message}" if message else ""
        graph.turns.at_length(_fail_unfinished(graph))


def expire_at(graph: Graph, when: float) -> None:
    """The workflow's deadline, in seconds since the epoch."""
    closing = graph.closing
    closing.deadline = when
    closing.expired = graph.exact and when <= (graph.record.at or 0.0)
    if not closing.expired:
        graph.timers.at(when, -1, lambda: True, partial(_expire, graph))


def _expire(graph: Graph) -> None:
    graph.closing.expired = True
    graph.turns.at_length(_fail_unfinished(graph))


def block(graph: Graph, invocation: Invocation, reason: str) -> None:
    """The steps or the DAG waits for something that nothing will bring about, as it would in Argo."""
    graph.blocked[invocation.node_id] = reason
    if graph.closing.reason(invocation) is not None:
        _end_blocked_soon(graph)


def _fail_unfinished(graph: Graph) -> Pieces:
    """End every unfinished leaf and all that has not begun; the rest follows by the graph's own rules."""
    for invocation in (yield from graph.unfinished()):
        yield
        node = graph.store[invocation.node_id]
        if node.fulfilled:
            continue
        if isinstance(invocation.body, Retry):
            invocation.body.reconsider()
            continue
        ends = node.phase == PENDING or invocation.resolved.is_leaf
        reason = graph.closing.reason(invocation) if ends else None
        if reason is not None:
            graph.stops.append(node.id)
            finish(graph, invocation, FAILED, reason)
    if graph.blocked:
        _end_blocked_soon(graph)


def _end_blocked_soon(graph: Graph) -> None:
    """Once what else runs in them has ended."""
    soon = math.nextafter(graph.now, math.inf)
    graph.timers.at(soon, -1, lambda: True, lambda: graph.turns.at_length(_end_blocked(graph)))


def _end_blocked(graph: Graph) -> Pieces:
    """End the steps and DAGs that wait for what will never come."""
    for invocation in (yield from graph.unfinished()):
        yield
        reason = graph.closing.reason(invocation) if invocation.node_id in graph.blocked else None
        if reason is not None and invocation.body is not None and graph.is_open(invocation):
            yield from end_inside(graph, invocation, FAILED, reason)
