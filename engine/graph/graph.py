"""The walk over one workflow's graph: who is unfinished, who waits, what is to be visited next."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from engine.expressions.depends import Depends
from engine.graph import leaves
from engine.graph.admission import Admission
from engine.graph.arguments import variables_of
from engine.graph.dag import Dag, dependencies
from engine.graph.entry import Entry
from engine.graph.hooked import HookedCall
from engine.graph.invocation import Body, Inside, Invocation, Parent
from engine.graph.nodes import NodeStore
from engine.graph.steps import Steps
from engine.node import (
    ERROR,
    FAILED,
    RETRY,
    RUNNING,
    SKIPPED_TYPE,
    SUCCEEDED,
    Node,
)
from engine.scope import Scope
from engine.template import Template
from engine.variables import text_of

Document = Mapping[str, Any]


def timestamp(now: float) -> str:
    """Seconds since the epoch as Kubernetes writes a time: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Graph:
    """The runtime state of one workflow's graph; a cache of what its document and nodes say.

    A pass sets `now`, lets due timers fire (`tick`), reports what leaves did (`report`), then alternates between
    `take_fresh` (what to visit) and `visited` (what came of it) until nothing is fresh. Changes to nodes go through
    `store`, which can undo them; the rest of this object is dropped where a pass that changed anything is aborted.
    """

    def __init__(self, store: NodeStore, scope: Scope, admission: Admission) -> None:
        self.store = store
        self.scope = scope
        self.admission = admission
        self.now = 0.0
        self.timestamp = ""
        self.live: dict[str, Invocation] = {}
        """Invocations that were visited and are not finished, in the order of their creation."""
        self.fresh: list[Invocation] = []
        """Invocations that were created and not yet visited."""
        self.starts: list[Invocation] = []
        """Leaves that the executor is to start once the pass commits."""
        self.stops: list[str] = []
        """Nodes whose leaves the executor is to stop once the pass commits."""
        self.ended: dict[str, dict[str, str] | None] = {}
        """Nodes that executed and ended in this pass, with the parameters that plugins had added to each."""
        self.watched: list[HookedCall | Entry] = []
        self.global_outputs: dict[str, dict[str, Document]] = {"parameters": {}, "artifacts": {}}
        self.shutdown = ""
        self.expired = False
        self._events: deque[tuple[Parent, int, Node]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_ids = 0
        self._dependencies: dict[int, dict[str, Depends | None]] = {}

    # Time

    def set_time(self, now: float, stamp: float) -> None:
        """When this pass happens, and when it is dated by what it writes to nodes, in seconds since the epoch."""
        self.now = now
        self.timestamp = timestamp(stamp)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have `action` called by the first `tick` at or after `when` (seconds since the epoch)."""
        self._timer_ids += 1
        heapq.heappush(self._timers, (when, self._timer_ids, action))

    def tick(self) -> None:
        """Fire the timers that are due."""
        while self._timers and self._timers[0][0] <= self.now:
            heapq.heappop(self._timers)[2]()
        self.settle()

    @property
    def next_timer(self) -> float | None:
        """When the next timer is due, in seconds since the epoch."""
        return self._timers[0][0] if self._timers else None

    # Calls

    def invoke(self, invocation: Invocation, existing: Node | None) -> None:
        """Make a call: it gets its node, now or when limits allow, and is visited after that."""
        if existing is not None and existing.fulfilled:
            invocation.node_id = existing.id
            invocation.parent.child_created(invocation.key, existing.id)
            self._count_failure(invocation, existing)
            self.emit(invocation.parent, invocation.key, existing)
            return
        self.admission.admit(self, invocation, existing)

    def create(self, name: str, type_: str, phase: str, boundary: Invocation | None, **fields: Any) -> Node:
        """A new node inside `boundary`."""
        parent = self.store[boundary.node_id] if boundary is not None else None
        return self.store.create(name, type_, phase, parent, **fields)

    def create_skipped(self, name: str, call: Document, boundary: Invocation | None, phase: str, message: str) -> Node:
        """The node of a call that never runs: Skipped, Omitted, or in Error before it began."""
        return self.create(
            name,
            SKIPPED_TYPE,
            phase,
            boundary,
            template_name=call.get("template") or "",
            template_ref=call.get("templateRef"),
            template_scope=boundary.resolved.context.scope if boundary is not None else "",
            message=message,
            started_at=self.timestamp,
            finished_at=self.timestamp,
        )

    def refuse(self, invocation: Invocation, message: str) -> None:
        """A call that cannot be made at all: its node is Error from the start."""
        node = self.create_skipped(invocation.name, invocation.call, invocation.boundary, ERROR, message)
        invocation.node_id = node.id
        invocation.parent.child_created(invocation.key, node.id)
        self._count_failure(invocation, node)
        self.emit(invocation.parent, invocation.key, node)

    def scope_of(self, invocation: Invocation) -> Scope:
        """The variables that hold inside the invocation's template."""
        if invocation.variables is None:
            invocation.variables = variables_of(self.store[invocation.node_id].inputs)
        template = invocation.resolved
        scope = Scope(self.scope, template.fixed)
        scope.update(invocation.variables)
        scope["node.name"] = invocation.name
        name = invocation.call.get("name")
        if name:
            scope["steps.name"] = scope["tasks.name"] = name
        if template.is_pod:
            scope["pod.name"] = self.pod_name(invocation)
        if invocation.attempt:
            scope.update(invocation.attempt)
        if invocation.extra:
            scope.update(invocation.extra)
        return scope

    def pod_name(self, invocation: Invocation) -> str:
        """The name of the pod that Argo would make for the node: workflow, template and the hash in the node's id."""
        workflow, template = self.store.workflow, invocation.resolved.name
        if invocation.node_id == workflow or not template:
            return invocation.node_id
        return f"{workflow}-{template}-{invocation.node_id.removeprefix(f'{workflow}-')}"

    def render(self, invocation: Invocation) -> bytes:
        """The invocation's template as JSON, tags substituted."""
        text = invocation.resolved.text
        scope = self.scope_of(invocation) if text.tags else self.scope
        return text.render(scope, allow_unresolved=True)

    def dependencies(self, template: Template) -> dict[str, Depends | None]:
        """What each task of a DAG template depends on, parsed once."""
        key = id(template)
        if key not in self._dependencies:
            self._dependencies[key] = dependencies(template)
        return self._dependencies[key]

    # Visits

    def first_wave(self) -> list[Invocation]:
        """All unfinished invocations, in the order in which they came to be: what a pass visits first."""
        self.take_fresh()
        return [invocation for invocation in self.live.values() if not invocation.parked]

    def take_fresh(self) -> list[Invocation]:
        """The invocations that were created or ended since the last call, in order; the caller visits them all."""
        fresh, self.fresh = self.fresh, []
        for invocation in fresh:
            invocation.queued = False
            self.live[invocation.node_id] = invocation
        return fresh

    def visited(self, invocation: Invocation) -> None:
        """The plugins have had their say about the node: it may be finished, held back, or go on as it would."""
        node = self.store[invocation.node_id]
        if node.fulfilled:
            if invocation.executing and invocation.resolved.is_leaf:
                self.stops.append(node.id)  # a plugin may have fulfilled what an executor still runs
            self._complete(invocation)
        elif not invocation.executing and invocation.requeue_at is None:
            self._execute(invocation)

    def begin(self, invocation: Invocation) -> None:
        """Let the node be Running, unless it may not run or is held back."""
        node = self.store[invocation.node_id]
        if node.fulfilled or invocation.requeue_at is not None or (node.phase == RUNNING and node.started_at):
            return
        node = self.store.touch(node.id)
        reason = self.closed(invocation) if invocation.resolved.is_leaf and not node.started_at else None
        node.phase = RUNNING if reason is None else FAILED
        node.message = reason or node.message  # what a plugin said of it stays
        node.started_at = node.started_at or self.timestamp

    def _execute(self, invocation: Invocation) -> None:
        self.begin(invocation)
        node = self.store[invocation.node_id]
        if node.fulfilled:
            self._complete(invocation)
            return
        invocation.executing = True
        template = invocation.resolved
        leaves.limit_time(self, invocation, node)
        if template.kind == "suspend":
            leaves.suspend(self, invocation, node)
        elif template.is_leaf:
            leaves.open_containers(self, invocation, node)
            if template.kind != "plugin":
                self.starts.append(invocation)
        else:
            body: Body = Steps(self, invocation) if template.kind == "steps" else Dag(self, invocation)
            invocation.body, invocation.inside = body, Inside()
            body.start()

    # Ends

    def finish(
        self,
        invocation: Invocation,
        phase: str,
        message: str,
        *,
        outputs: dict[str, Any] | None = None,
        outbound: tuple[str, ...] = (),
    ) -> None:
        """End an invocation's node. Its parent is told once the plugins have seen it, in the next wave of visits."""
        if self.store[invocation.node_id].fulfilled:
            return
        node = self.store.touch(invocation.node_id)
        node.phase = phase
        node.message = message or node.message
        if outputs is not None:
            node.outputs = outputs
        if outbound:
            node.outbound_nodes = outbound
        node.finished_at = node.finished_at or self.timestamp
        if node.type == RETRY:
            self._complete(invocation)  # plugins see the attempts
        elif not invocation.queued:
            self.queue(invocation)

    def queue(self, invocation: Invocation) -> None:
        """Have the invocation visited in the next wave."""
        invocation.queued = True
        self.fresh.append(invocation)

    def _complete(self, invocation: Invocation) -> None:
        """Do what follows from a node having become fulfilled, however it did."""
        if self.live.pop(invocation.node_id, None) is None:
            return
        if invocation.executing:
            self.ended[invocation.node_id] = invocation.extra
        node = self.store.touch(invocation.node_id)
        node.started_at = node.started_at or self.timestamp
        node.finished_at = node.finished_at or self.timestamp
        was_daemon, node.daemoned = bool(node.daemoned), None
        invocation.body = None
        invocation.variables = None
        leaves.close_containers(self, node)
        self._publish(node)
        self._end_daemons(invocation)
        self.admission.release(self, invocation, node)
        self._count_failure(invocation, node)
        if not was_daemon:  # its parent was told when it came up
            self.emit(invocation.parent, invocation.key, node)

    def close_node(self, key: str, phase: str, message: str) -> None:
        """End a node that is no invocation's: a step group or a task group."""
        node = self.store.touch(key)
        node.phase, node.message, node.finished_at = phase, message, self.timestamp

    def daemon_up(self, invocation: Invocation, pod_ip: str) -> None:
        """A daemon runs: its successors may, too. It ends with its boundary."""
        node = self.store.touch(invocation.node_id)
        if node.daemoned:
            return
        node.daemoned, node.pod_ip = True, pod_ip
        if invocation.boundary is not None:
            assert invocation.boundary.inside is not None
            invocation.boundary.inside.daemons.append(invocation)
        self.emit(invocation.parent, invocation.key, node)

    def _end_daemons(self, boundary: Invocation) -> None:
        for daemon in boundary.inside.daemons if boundary.inside is not None else ():
            node = self.store[daemon.node_id]
            if self.live.pop(daemon.node_id, None) is None or node.fulfilled:
                continue
            node = self.store.touch(daemon.node_id)
            node.phase, node.daemoned, node.finished_at = SUCCEEDED, None, self.timestamp
            self.stops.append(node.id)
            self.admission.release(self, daemon, node)

    def _publish(self, node: Node) -> None:
        """Outputs with a `globalName` become the workflow's (Argo's addOutputsToGlobalScope)."""
        for parameter in (node.outputs or {}).get("parameters") or ():
            name = parameter.get("globalName")
            if name and parameter.get("value") is not None:
                value = text_of(parameter["value"])
                self.global_outputs["parameters"][name] = {"name": name, "value": value}
                self.scope[f"workflow.outputs.parameters.{name}"] = value
        for artifact in (node.outputs or {}).get("artifacts") or ():
            name = artifact.get("globalName")
            if name:
                kept = {key: value for key, value in artifact.items() if key != "globalName"}
                self.global_outputs["artifacts"][name] = {**kept, "name": name}
                self.scope[f"workflow.outputs.artifacts.{name}"] = {**kept, "name": name}

    def _count_failure(self, invocation: Invocation, node: Node) -> None:
        if invocation.boundary is not None and node.unsuccessful and invocation.attempt is None:
            assert invocation.boundary.inside is not None
            invocation.boundary.inside.failures += 1

    # Events

    def emit(self, parent: Parent, key: int, node: Node) -> None:
        """Tell a parent, in turn, that its child is done; never from within the child, so depth stays flat."""
        self._events.append((parent, key, node))

    def settle(self) -> None:
        """Let everything follow that follows from what has happened."""
        while True:
            while self._events:
                parent, key, node = self._events.popleft()
                parent.child_done(key, self.store[node.id])
            self.admission.retry_waiting(self)
            for watched in list(self.watched):
                watched.look()
            if not self._events:
                return

    def expire(self) -> None:
        """The workflow's `activeDeadlineSeconds` are over: what runs fails, and nothing but exit handlers begins."""
        self.expired = True
        self.fail_unfinished("Step exceeded its deadline", spare_exit_handlers=True)

    def closed(self, invocation: Invocation) -> str | None:
        """Why this invocation may not start a leaf any more; None where it may."""
        if self.shutdown and not (invocation.on_exit and self.shutdown == "Stop"):
            return f"workflow shutdown with strategy:  {self.shutdown}"
        if self.expired and not invocation.on_exit:
            return "Step exceeded its deadline"
        return None

    def fail_unfinished(self, message: str, *, spare_exit_handlers: bool) -> None:
        """End every unfinished leaf; what they belong to follows by the graph's own rules."""
        for invocation in list(self.live.values()):
            node = self.store[invocation.node_id]
            if invocation.resolved.is_leaf and not (spare_exit_handlers and invocation.on_exit) and not node.fulfilled:
                self.stops.append(node.id)
                self.finish(invocation, FAILED, message)
        self.settle()
