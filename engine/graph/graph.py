"""The walk over one workflow's graph: who is unfinished, who waits, what is to be visited next."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Final, Protocol

from engine.graph import daemons, leaves
from engine.graph.admission import Admission
from engine.graph.arguments import variables_of
from engine.graph.closing import Closing, cut_off
from engine.graph.dag import Dag
from engine.graph.deadlines import started
from engine.graph.dependencies import Condition, dependencies
from engine.graph.invocation import Body, Inside, Invocation, Parent
from engine.graph.nodes import NodeStore, pod_name, relative_name
from engine.graph.publishing import GlobalOutputs
from engine.graph.record import Visit, WalkRecord
from engine.graph.steps import Steps
from engine.model.clock import timestamp
from engine.model.node import ERROR, FAILED, FLAGS, RETRY, RUNNING, SKIPPED_TYPE, Node
from engine.substitution.scope import Scope
from engine.templates.template import Template

Document = Mapping[str, Any]

_UNVISITED: Final = Visit()

FAIL_FAST = "template has failed or errored children and failFast enabled"


_ORDER: Final = attrgetter("order")


class Watcher(Protocol):
    """Somebody whom the state of the whole graph may move: hooks with conditions."""

    @property
    def subject(self) -> str:
        """The node whose hooks they are, empty for the workflow's."""
        ...

    def look(self) -> None:
        """Something has changed."""
        ...


class Graph:
    """The runtime state of one workflow's graph; a cache of what its document and nodes say.

    A pass sets the time, lets due timers fire (`tick`), reports what leaves did (`leaves.report`), then alternates
    between `take_fresh` (what to visit) and `visited` (what came of it) until nothing is fresh. Changes to nodes go
    through `store`, which can undo them; `commit` writes down in the record what cannot be told from nodes. The rest
    of this object is dropped where a pass that moved it is aborted.

    A new one is `restoring` at first: it goes through what there is already and decides nothing about that.
    """

    def __init__(self, store: NodeStore, scope: Scope, admission: Admission, record: WalkRecord) -> None:
        self.store = store
        self.record = record
        self.scope = scope
        self.admission = admission
        self.outputs = GlobalOutputs(scope)
        self.closing = Closing(self)
        self.arguments: Document = {}
        """The workflow's own arguments, which exit handlers get that have none."""
        self.began = 0.0
        """When the workflow did, in seconds since the epoch."""
        self.now = 0.0
        self.timestamp = ""
        self.live: dict[str, Invocation] = {}
        """Invocations that were visited and are not finished, in the order of their creation."""
        self.fresh: dict[str, Invocation] = {}
        """Invocations that were created or ended and were not visited since."""
        self.starts: list[Invocation] = []
        """Leaves that the executor is to start once the pass commits."""
        self.stops: list[str] = []
        """Nodes whose leaves the executor is to stop once the pass commits."""
        self.restoring = True
        self.exact = record.at is not None
        """Whether the record tells of a walk, so that whatever could follow from what there is has followed."""
        self._moved_at = record.at
        self._held: list[Invocation] = []
        """Calls without a node that were met while restoring."""
        self._touched: dict[str, Invocation] = {}
        """Invocations of which the record may have to say something else than it does."""
        self.blocked: dict[str, str] = {}
        """What the steps and DAGs wait for that will never come, by node."""
        self._watched: dict[Watcher, None] = {}
        self._look = False
        self._events: deque[tuple[Callable[..., None], int, str]] = deque()
        self._timers: list[tuple[float, int, int, Callable[[], bool], Callable[[], None]]] = []
        self._timer_ids = 0
        self._dependencies: dict[int, dict[str, Condition | None]] = {}

    # Time

    def set_time(self, now: float, stamp: float) -> None:
        """When this pass happens, and when it is dated by what it writes to nodes, in seconds since the epoch.

        Expressions read the latter: an aborted pass and the one that resumes it are to ask the same questions.
        """
        self.now = now
        self.scope.now = stamp
        self.timestamp = timestamp(stamp)
        self.scope["workflow.duration"] = f"{max(stamp - self.began, 0):f}" if self.began else "0.000000"

    def at(self, when: float, order: int, matters: Callable[[], bool], action: Callable[[], None]) -> None:
        """Have `action` called by the first `tick` at or after `when` (seconds since the epoch), if that still matters.

        Of those that are due at one time the one of lower order comes first: that of an invocation, -1 for the
        workflow.
        """
        self._timer_ids += 1
        heapq.heappush(self._timers, (when, order, self._timer_ids, matters, action))

    def tick(self) -> None:
        """Fire the timers that are due."""
        self._moved_at = self.now
        while self._timers and self._timers[0][0] <= self.now:
            *_, matters, action = heapq.heappop(self._timers)
            if matters():
                action()
        self.settle()

    @property
    def next_timer(self) -> float | None:
        """When the next timer is due, in seconds since the epoch."""
        while self._timers and not self._timers[0][3]():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    @property
    def replaying(self) -> bool:
        """Whether what is met has been decided before."""
        return self.restoring and self.exact

    # Calls

    def invoke(self, invocation: Invocation, existing: Node | None) -> None:
        """Make a call: it gets its node, now or when limits allow, and is visited after that."""
        if existing is not None and existing.fulfilled:
            invocation.node_id = existing.id
            invocation.ended = True
            invocation.parent.child_created(invocation.key, existing.id)
            self._told(invocation, existing)
        elif self.restoring and existing is None and (self.exact or self.admission.is_limited(invocation)):
            self._held.append(invocation)
        else:
            self.admission.admit(self, invocation, existing)

    def knows(self, name: str) -> bool:
        """Whether the call `name` was made before this walk began, and nobody has asked for its node yet."""
        return self.store.knows(name) or (self.restoring and name in self.record.waiting)

    def create(self, name: str, type_: str, phase: str, boundary: Invocation | None, **fields: Any) -> Node:
        """A new node inside `boundary`."""
        parent = self.store[boundary.node_id] if boundary is not None else None
        return self.store.create(name, type_, phase, parent, **fields)

    def create_skipped(self, name: str, call: Document, boundary: Invocation | None, phase: str, message: str) -> Node:
        """The node of a call that never runs: Skipped, Omitted, or in Error before it began."""
        if phase == ERROR:
            self.note_end(boundary, failed=True)
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
            node_flag=FLAGS["group"],
        )

    def refuse(self, invocation: Invocation, message: str, *, raised: bool = True) -> None:
        """A call that cannot be made at all: its node is Error from the start."""
        node = self.create_skipped(invocation.name, invocation.call, invocation.boundary, ERROR, message)
        if invocation.flag:
            node.node_flag = FLAGS[invocation.flag]
        invocation.node_id = node.id
        invocation.ended, invocation.raised = True, raised
        invocation.parent.child_created(invocation.key, node.id)
        self._told(invocation, node)

    def scope_of(self, invocation: Invocation) -> Scope:
        """The variables that hold inside the invocation's template."""
        if invocation.variables is None:
            invocation.variables = variables_of(self.store[invocation.node_id].inputs)
        template = invocation.resolved
        scope = Scope(self.scope, template.fixed)
        scope.update(invocation.variables)
        scope["node.name"] = invocation.name
        if template.reads_name:
            boundary = invocation.boundary
            inside = boundary is not None and not invocation.flag
            own = relative_name(invocation.name, boundary.name) if boundary is not None and inside else ""
            scope["steps.name"] = scope["tasks.name"] = own
        if template.is_pod:
            scope["pod.name"] = self.pod_name(invocation)
        if invocation.attempt:
            scope.update(invocation.attempt)
        if invocation.extra:
            scope.update(invocation.extra)
        return scope

    def pod_name(self, invocation: Invocation) -> str:
        """The name of the pod that Argo would make for the node."""
        node_id = invocation.node_id or self.store.id_for(invocation.name)
        return pod_name(self.store.workflow, invocation.resolved.name, node_id)

    def render(self, invocation: Invocation) -> bytes:
        """The invocation's template as JSON, tags substituted."""
        text = invocation.resolved.text
        scope = self.scope_of(invocation) if text.tags else self.scope
        return text.render(scope, allow_unresolved=True)

    def dependencies(self, template: Template) -> dict[str, Condition | None]:
        """What each task of a DAG template depends on, parsed once."""
        key = id(template)
        if key not in self._dependencies:
            self._dependencies[key] = dependencies(template)
        return self._dependencies[key]

    # Visits

    def first_wave(self) -> list[Invocation]:
        """All unfinished invocations that are to be visited: what a pass visits first."""
        self.take_fresh()
        return [invocation for invocation in self.unfinished() if invocation.ended or not invocation.parked]

    def unfinished(self) -> list[Invocation]:
        """All invocations in `live`, in the order in which their nodes came to be."""
        return sorted(self.live.values(), key=_ORDER)

    def take_fresh(self) -> list[Invocation]:
        """The invocations that were created or ended since the last call, in order; the caller visits them all."""
        fresh, self.fresh = self.fresh, {}
        for invocation in fresh.values():
            invocation.queued = False
        self.live.update(fresh)
        return list(fresh.values())

    def visited(self, invocation: Invocation) -> None:
        """The plugins have had their say about the node: it may be finished, held back, or go on as it would."""
        if invocation.gone or invocation.queued:
            return
        self.touch(invocation)
        node = self.store[invocation.node_id]
        if node.fulfilled:
            if invocation.resolved.is_leaf:
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
        reason = self.closing.reason(invocation) if invocation.resolved.is_leaf and not node.started_at else None
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
        if invocation.since is None:
            invocation.since = self.now
        template = invocation.resolved
        if template.is_leaf:
            leaves.begin(self, invocation, node)
            return
        body: Body = Steps(self, invocation) if template.kind == "steps" else Dag(self, invocation)
        invocation.body, invocation.inside = body, Inside()
        invocation.inside.failed = self.store.failed_inside(node.id)
        body.start()

    def block(self, invocation: Invocation, reason: str) -> None:
        """The steps or the DAG waits for something that nothing will bring about, as it would in Argo."""
        self.blocked[invocation.node_id] = reason
        if self.closing.reason(invocation) is not None:
            self.closing.end_blocked()

    # Ends

    def is_open(self, invocation: Invocation) -> bool:
        """Whether the invocation can still be ended, or have anything new happen inside."""
        return not invocation.gone and not self.store[invocation.node_id].fulfilled

    def finish(
        self,
        invocation: Invocation,
        phase: str,
        message: str,
        *,
        outputs: dict[str, Any] | None = None,
        outbound: tuple[str, ...] = (),
        raised: bool = False,
    ) -> None:
        """End an invocation's node. Its parent is told once the plugins have seen it, in the next wave of visits."""
        if not self.is_open(invocation):
            return
        node = self.store.touch(invocation.node_id)
        node.phase = phase
        node.message = message or node.message
        if outputs is not None:
            node.outputs = outputs
        if outbound:
            node.outbound_nodes = outbound
        node.finished_at = node.finished_at or self.timestamp
        invocation.ended, invocation.raised = True, raised
        if node.type == RETRY:
            self._complete(invocation)  # plugins see the attempts
        elif not invocation.queued:
            self.queue(invocation)

    def queue(self, invocation: Invocation) -> None:
        """Have the invocation visited in the next wave."""
        invocation.queued = True
        self.fresh[invocation.node_id] = invocation

    def _complete(self, invocation: Invocation) -> None:
        """Do what follows from a node having become fulfilled, however it did."""
        if not self.leave(invocation):
            return
        node = self.store.touch(invocation.node_id)
        node.started_at = node.started_at or self.timestamp
        node.finished_at = node.finished_at or self.timestamp
        was_daemon, node.daemoned = bool(node.daemoned), None
        if invocation.body is not None and not invocation.ended:  # it is over because a plugin says so
            invocation.body.abandon(node.phase, node.message)
            self.cut_off(invocation)
        if invocation.resolved.is_leaf:
            leaves.end(self, invocation, node)
        if node.outputs and invocation.resolved.kind != "dag":
            self.outputs.publish(node.outputs)
        if invocation.inside is not None:
            daemons.end_all(self, invocation.inside)
        invocation.body = invocation.variables = None
        self.admission.release(self, invocation, node)
        self._told(invocation, node, lost=was_daemon)

    def _told(self, invocation: Invocation, node: Node, *, lost: bool = False) -> None:
        """Tell the parent what became of the call, which may be the end of the template that it stands in."""
        self.note_end(invocation.boundary, failed=node.unsuccessful)
        parent = invocation.parent
        if lost:  # the parent was told that it is done when it came up
            self._events.append((parent.child_lost, invocation.key, node.id))
        elif invocation.raised:
            self._events.append((parent.child_raised, invocation.key, node.id))
        else:
            self._events.append((parent.child_done, invocation.key, node.id))

    def leave(self, invocation: Invocation) -> bool:
        """It is over, or nobody waits for it any more; whether that is new."""
        self.touch(invocation)
        return self.live.pop(invocation.node_id, None) is not None

    def note_end(self, boundary: Invocation | None, *, failed: bool) -> None:
        """Something inside `boundary` is over, which may be the end of that, too."""
        if boundary is None or boundary.inside is None or not boundary.resolved.fail_fast:
            return
        boundary.inside.failed = boundary.inside.failed or failed
        if boundary.inside.failed and not self.restoring:
            self.later(partial(self._fail_fast, boundary))

    def _fail_fast(self, boundary: Invocation) -> None:
        """Nothing begins any more in a template with `failFast` once something failed, and it ends with its pods."""
        assert boundary.inside is not None
        assert boundary.body is not None
        if not boundary.inside.pods and self.is_open(boundary):
            self.cut_off(boundary)
            boundary.body.abandon(FAILED, FAIL_FAST)
            self.finish(boundary, FAILED, FAIL_FAST)

    def cut_off(self, invocation: Invocation) -> None:
        """Forget everything unfinished inside steps or a DAG that is about to end."""
        cut_off(self, invocation)

    def close_node(self, key: str, phase: str, message: str) -> None:
        """End a node that is no invocation's: a step group or a task group."""
        node = self.store.touch(key)
        node.phase, node.message, node.finished_at = phase, message, self.timestamp

    # Events

    def emit(self, parent: Parent, key: int, node: Node) -> None:
        """Tell a parent, in turn, that its child is done; never from within the child, so depth stays flat."""
        self._events.append((parent.child_done, key, node.id))

    def later(self, action: Callable[[], None]) -> None:
        """Do something in turn, once what happens now is over."""
        self._events.append((action, 0, ""))

    def watch(self, watcher: Watcher) -> None:
        """Let it look whenever something has changed."""
        self._watched[watcher] = None
        self._look = True

    def unwatch(self, watcher: Watcher) -> None:
        """It need not look any more."""
        self._watched.pop(watcher, None)

    def settle(self) -> None:
        """Let everything follow that follows from what has happened."""
        while True:
            while self._events:
                told, key, node_id = self._events.popleft()
                if node_id:
                    told(key, self.store[node_id])
                else:
                    told()
            if not self.restoring:
                self.admission.retry_waiting(self)
            look, self._look = self._look or bool(self.store.undo), False
            if look:
                for watcher in list(self._watched):
                    watcher.look()
            if not self._events and not self._look:
                return

    # The record

    def touch(self, invocation: Invocation) -> None:
        """The record may have to say something else of it when the pass commits."""
        self._touched[invocation.node_id] = invocation

    def requeue(self, invocation: Invocation, at: float | None) -> None:
        """A plugin wants to be asked again at that time, in seconds since the epoch, or no more."""
        if invocation.requeue_at != at:
            invocation.requeue_at = at
            self.touch(invocation)

    def recall(self) -> list[Invocation]:
        """Of the invocations that are fresh, while restoring, those that executed before this walk began.

        The caller has them go on (`recalled`); the others it leaves for the first wave.
        """
        begun = []
        for invocation in self.take_fresh():
            if invocation.executing:
                continue
            node = self.store[invocation.node_id]
            visit = self.record.visits.get(node.id, _UNVISITED)
            invocation.extra = dict(visit.extra) if visit.extra is not None else None
            invocation.requeue_at, since = visit.requeue_at, visit.since
            if since is None and not self.exact and node.phase == RUNNING and node.started_at:
                since = started(self, node)
            if since is not None and not node.fulfilled:
                invocation.since = since
                begun.append(invocation)
        return begun

    def recalled(self, invocations: Iterable[Invocation]) -> None:
        """Let invocations go on that executed before."""
        for invocation in invocations:
            if not self.exact:
                self.touch(invocation)
            if not invocation.gone:
                self._execute(invocation)
        self.settle()

    def restored(self) -> None:
        """All that there was has been gone through: from now on things are decided."""
        new = self.admission.resume(self, self._held)
        self.restoring, self._held = False, []
        for invocation in new:
            self.admission.admit(self, invocation)
        places = {watcher: self.store.place(watcher.subject) if watcher.subject else -1 for watcher in self._watched}
        self._watched = dict.fromkeys(sorted(self._watched, key=places.__getitem__))
        if self.exact:
            self.store.restored()
            self._look = False
            return
        for invocation in self.live.values():
            if invocation.inside is not None and self.is_open(invocation):
                self.note_end(invocation, failed=False)
        self._look = True
        self.settle()

    def rollback(self) -> None:
        """Take back what the pass did to nodes, locks and memos. The walk itself cannot be taken back."""
        self.admission.rollback()
        self.store.rollback()

    def commit(self) -> None:
        """Keep what the pass did, and write down what cannot be told from nodes."""
        record, shared = self.record, dict[tuple[float | None, float | None, bool], Visit]()
        for key, invocation in self._touched.items():
            extra, about = invocation.extra, (invocation.since, invocation.requeue_at, invocation.extra is None)
            if key not in self.live or about == (None, None, True):
                record.visits.pop(key, None)
            elif extra:
                record.visits[key] = Visit(invocation.since, extra, invocation.requeue_at)
            else:  # most nodes are like others, and share what is to be said of them
                record.visits[key] = shared.get(about) or shared.setdefault(about, Visit(about[0], extra, about[1]))
        self._touched = {}
        record.at = self._moved_at
        self.closing.save(record)
        self.store.commit()
        self.admission.commit(record)
