"""Ends from outside: `stop` and `terminate`, the workflow's deadline, and parts of the graph that nobody waits for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from engine.graph.invocation import Invocation
from engine.graph.record import WalkRecord
from engine.graph.retry import Retry
from engine.model.node import FAILED, PENDING, POD, Node

if TYPE_CHECKING:
    from engine.graph.graph import Graph

DEADLINE: Final = "Step exceeded its deadline"


class Closing:
    """Whether the workflow as a whole was told to end, and what that means for its nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shutdown = ""
        """``Stop`` or ``Terminate`` once that was asked for; the former lets exit handlers run."""
        self._message = ""
        self.expired = False
        """Whether the workflow's `activeDeadlineSeconds` are over."""
        self.deadline: float | None = None

    def expire_at(self, when: float) -> None:
        """The workflow's deadline, in seconds since the epoch."""
        self.deadline = when
        self.expired = self.graph.exact and when <= (self.graph.record.at or 0.0)
        if not self.expired:
            self.graph.at(when, -1, lambda: True, self._expire)

    def _expire(self) -> None:
        self.expired = True
        self._fail_unfinished()

    def shut_down(self, strategy: str, message: str = "") -> None:
        """End what runs, and begin nothing but, for ``Stop``, exit handlers; `message` is why."""
        if strategy != self.shutdown:
            self.shutdown = strategy
            self._message = f": {message}" if message else ""
            self._fail_unfinished()

    def stops(self, invocation: Invocation) -> bool:
        """Whether the workflow was told to end, and this invocation with it: it cannot succeed any more."""
        return bool(self.shutdown) and not (invocation.on_exit and self.shutdown == "Stop")

    def load(self, record: WalkRecord) -> None:
        """What the walk knew of that the record is of."""
        self.shutdown, self._message = record.shutdown, record.closing

    def save(self, record: WalkRecord) -> None:
        """Write down what was heard."""
        record.shutdown, record.closing = self.shutdown, self._message

    def reason(self, invocation: Invocation) -> str | None:
        """Why this invocation may not start a leaf any more; None where it may."""
        if self.stops(invocation):
            # Argo deletes pods, and marks the nodes that have none itself.
            if invocation.resolved.node_type == POD:
                return f"workflow shutdown with strategy:  {self.shutdown}{self._message}"
            return self.stopped()
        return DEADLINE if self.expired and not invocation.on_exit else None

    def stopped(self) -> str:
        """What nodes say that have no pod to be deleted."""
        return f"Stopped with strategy '{self.shutdown}'{self._message}"

    def _fail_unfinished(self) -> None:
        """End every unfinished leaf and all that has not begun; the rest follows by the graph's own rules."""
        graph = self.graph
        for invocation in graph.unfinished():
            node = graph.store[invocation.node_id]
            if node.fulfilled:
                continue
            if isinstance(invocation.body, Retry):
                invocation.body.reconsider()
                continue
            ends = node.phase == PENDING or invocation.resolved.is_leaf
            reason = self.reason(invocation) if ends else None
            if reason is not None:
                graph.stops.append(node.id)
                graph.finish(invocation, FAILED, reason)
        if graph.blocked:
            self.end_blocked()

    def end_blocked(self) -> None:
        """End the steps and DAGs that wait for what will never come, once what else runs in them has ended."""
        self.graph.at(math.nextafter(self.graph.now, math.inf), -1, lambda: True, self._end_blocked)

    def _end_blocked(self) -> None:
        graph = self.graph
        for invocation in graph.unfinished():
            reason = self.reason(invocation) if invocation.node_id in graph.blocked else None
            if reason is not None and invocation.body is not None and graph.is_open(invocation):
                invocation.body.abandon(FAILED, reason)
                graph.cut_off(invocation)
                graph.finish(invocation, FAILED, reason)


def cut_off(graph: Graph, invocation: Invocation) -> None:
    """Forget everything unfinished inside steps or a DAG that is about to end: its nodes stay as they are.

    That is what Argo makes of them: it looks only at the children of unfinished nodes. Costs as much as there are
    nodes below.
    """
    if isinstance(invocation.body, Retry):
        attempt = invocation.body.running
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
        found = graph.live.get(node.id) or graph.fresh.get(node.id)
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
    graph.admission.release(graph, invocation, node)
