"""The state of one workflow's graph: what its document and nodes say, as everybody in this room is given it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, Final, Protocol

import orjson

from engine.executors.executor import Result
from engine.graph.arguments import variables_of
from engine.graph.closing import Closing
from engine.graph.dependencies import dependencies
from engine.graph.invocation import Invocation
from engine.graph.memo import Memos
from engine.graph.nodes import NodeStore, complete, pod_name, relative_name
from engine.graph.publishing import GlobalOutputs
from engine.graph.queueing import LockQueue
from engine.graph.record import Visit, WalkRecord
from engine.graph.room import Room
from engine.graph.turns import Timers, Turns
from engine.model.clock import timestamp
from engine.model.node import FAILED, FULFILLED, PLUGIN, RUNNING, UNSUCCESSFUL, Node
from engine.model.pace import PIECE, Pieces, batched, in_order, used_up
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, render_string
from engine.templates.template import Condition, Resolving, Template

ORDER: Final = attrgetter("order")
"""That in which the nodes of invocations came to be."""


class Graph:
    """Who is unfinished, what is to be visited, started and stopped, which variables there are; it decides nothing.

    Changes to nodes go through `store`, which can undo them; `commit` writes down in the record what cannot be told
    from nodes. The rest of this object is dropped where a pass that moved it is aborted. A new one is `restoring` at
    first: what there is already is gone through, and nothing is decided about that.
    """

    def __init__(
        self, store: NodeStore, scope: Scope, spec: Document, record: WalkRecord, locks: LockQueue, memos: Memos
    ) -> None:
        self.store = store
        self.record = record
        self.scope = scope
        self.outputs = GlobalOutputs(scope)
        self.closing = Closing()
        self.room = Room(spec.get("parallelism"), locks, memos)
        self.timers = Timers()
        self.turns = Turns(store)
        claims = [claim.get("metadata") or {} for claim in spec.get("volumeClaimTemplates") or ()]
        self.volumes = frozenset(each.get("name") for each in (*(spec.get("volumes") or ()), *claims))
        """The names of the volumes that the workflow has for its pods to mount."""
        self.arguments: Document = {}
        """The workflow's own arguments, which exit handlers get that have none."""
        self.began = 0.0
        """When the workflow did, in seconds since the epoch."""
        self.now = 0.0
        self.timestamp = ""
        self.moved_at = record.at
        """When the last pass was that moved the walk."""
        self.held: list[Invocation] = []
        """Calls without a node that were met while restoring."""
        self.live: dict[str, Invocation] = {}
        """Invocations that are not finished, by node."""
        self.fresh: list[Invocation] = []
        """Invocations that were created or ended and were not visited since."""
        self.starts: list[Invocation] = []
        """Leaves that the executor is to start once the pass commits."""
        self.stops: list[str] = []
        """Nodes whose leaves the executor is to stop once the pass commits."""
        self.blocked: dict[str, str] = {}
        """What the steps and DAGs wait for that will never come, by node."""
        self.last_read: tuple[Result, Template, dict[str, Any] | None] | None = None
        """What was last reported of a leaf, its template, and the outputs that this comes to."""
        self.restoring = True
        self.exact = record.at is not None
        """Whether the record tells of a walk, so that whatever could follow from what there is has followed."""
        self._own_scope = f"local/{store.workflow}"
        self._touched: list[Invocation] = []
        """Invocations of which the record may have to say something else than it does."""
        self.noted: dict[str, Visit | None] = {}
        """What it is to say of nodes, None where nothing, as it was found when `note` was called."""

    def set_time(self, now: float, stamp: float) -> None:
        """When this pass happens, and when it is dated by what it writes to nodes, in seconds since the epoch.

        Expressions read the latter: an aborted pass and the one that resumes it are to ask the same questions.
        """
        self.now, self.last_read = now, None
        self.scope.now = stamp
        self.timestamp = timestamp(stamp)
        self.scope["workflow.duration"] = f"{max(stamp - self.began, 0):f}" if self.began else "0.000000"

    @property
    def replaying(self) -> bool:
        """Whether what is met has been decided before."""
        return self.restoring and self.exact

    # Nodes

    def knows(self, name: str) -> bool:
        """Whether the call `name` was made before this walk began, and nobody has asked for its node yet."""
        return self.store.knows(name) or (self.restoring and name in self.record.waiting)

    def create(self, name: str, type_: str, phase: str, boundary: Invocation | None, **fields: Any) -> Node:
        """A new node inside `boundary`."""
        parent = self.store[boundary.node_id] if boundary is not None else None
        return self.store.create(name, type_, phase, parent, **fields)

    def close_node(self, key: str, phase: str, message: str) -> None:
        """End a node that is no invocation's: a step group or a task group."""
        node = self.store.touch(key)
        node.phase, node.message, node.finished_at = phase, message, self.timestamp

    def begin(self, invocation: Invocation) -> Node:
        """Let the node be Running, unless it may not run or is held back."""
        node = self.store.nodes[invocation.node_id]
        if node.phase in FULFILLED or (node.phase == RUNNING and node.started_at):
            return node
        if self.is_held_back(invocation, node):
            return node
        node = self.store.touch(invocation.node_id)
        reason = None
        closing = self.closing
        if (closing.shutdown or closing.expired) and invocation.resolved.is_leaf and not node.started_at:
            reason = closing.reason(invocation)
        node.phase = RUNNING if reason is None else FAILED
        node.message = reason or node.message  # what a plugin said of it stays
        node.started_at = node.started_at or self.timestamp
        return node

    def round_off(self, invocation: Invocation) -> Node:
        """A node that is fulfilled began and ended now at the latest, and all is done of a leaf that went well; returns
        it, ready to be changed."""
        store, key = self.store, invocation.node_id
        node = store.nodes[key] if key in store.undo else store.touch(key)
        if not node.started_at:
            node.started_at = self.timestamp
        if not node.finished_at:
            node.finished_at = self.timestamp
        if node.progress and node.phase not in UNSUCCESSFUL and invocation.resolved.kind.leaf:
            store.progressed(node, complete(node.progress))
        return node

    def is_held_back(self, invocation: Invocation, node: Node) -> bool:
        """Whether a plugin wants it to begin later. One that executes it says when to be asked again, which is not
        that."""
        return invocation.requeue_at is not None and not (node.type == PLUGIN and node.phase == RUNNING)

    # Templates

    def template_scope(self, context: Resolving) -> str:
        """What nodes say of where names resolve (Argo's templateScope)."""
        return context.scope or self._own_scope

    def scope_of(self, invocation: Invocation) -> Scope:
        """The variables that hold inside the invocation's template."""
        if invocation.variables is None:
            invocation.variables = variables_of(self.store[invocation.node_id].inputs)
        scope = self.names_of(invocation)
        scope.update(invocation.variables)
        if invocation.extra:
            scope.update(invocation.extra)
        for name, path in invocation.resolved.unfixed.items():
            with suppress(SubstitutionError):
                scope[name] = render_string(path, scope)
        return scope

    def names_of(self, invocation: Invocation) -> Scope:
        """Of these the ones that hold before its inputs do: who it is, and which attempt."""
        template = invocation.resolved
        scope = Scope(self.scope, template.fixed)
        scope.update(invocation.attempt or self.called(invocation))
        if template.reads_pod:
            scope["pod.name"] = self.pod_name(invocation)
        return scope

    def called(self, invocation: Invocation) -> dict[str, str]:
        """What its node is called; its attempts are called the same (Argo fills that in before it knows of them).

        To Argo all but the tasks of a DAG are steps, the entrypoint and hooks ones without a name (executeTemplate).
        """
        names = {"node.name": invocation.name}
        if invocation.resolved.reads_name:
            boundary = invocation.boundary if not invocation.flag else None
            if boundary is None:
                names["steps.name"] = ""
            else:
                kind = "tasks" if boundary.resolved.kind.name == "dag" else "steps"
                names[f"{kind}.name"] = relative_name(invocation.name, boundary.name)
        return names

    def pod_name(self, invocation: Invocation) -> str:
        """The name of the pod that Argo would make for the node."""
        node_id = invocation.node_id or self.store.id_for(invocation.name)
        return pod_name(self.store.workflow, invocation.resolved.name, node_id)

    def render(self, invocation: Invocation) -> bytes:
        """The invocation's template as JSON, tags substituted."""
        text = invocation.resolved.text
        scope = self.scope_of(invocation) if text.tags else self.scope
        return text.render(scope, allow_unresolved=True)

    def settings(self, invocation: Invocation) -> Document:
        """The template's own fields other than its body, tags substituted."""
        template = invocation.resolved
        if not template.settings.tags:
            return template.document
        settings: Document = orjson.loads(template.settings.render(self.scope_of(invocation), allow_unresolved=True))
        return settings

    def declared(self, invocation: Invocation) -> Document:
        """The template's outputs as it declares them, tags substituted."""
        template = invocation.resolved
        if not template.declared.tags:
            return template.outputs
        declared: Document = orjson.loads(template.declared.render(self.scope_of(invocation), allow_unresolved=True))
        return declared

    def dependencies(self, template: Template) -> Generator[None, None, dict[str, Condition | None]]:
        """What each task of a DAG template depends on, parsed once."""
        if template.conditions is None:
            template.conditions = yield from dependencies(template)
        return template.conditions

    # Invocations

    def unfinished(self) -> Generator[None, None, list[Invocation]]:
        """All invocations in `live`, in the order in which their nodes came to be."""
        return in_order(list(self.live.values()), ORDER)

    def is_open(self, invocation: Invocation) -> bool:
        """Whether the invocation can still be ended, or have anything new happen inside."""
        return not invocation.gone and self.store.nodes[invocation.node_id].phase not in FULFILLED

    def queue(self, invocation: Invocation) -> None:
        """Have the invocation visited in the next wave."""
        invocation.queued = True
        self.live[invocation.node_id] = invocation
        self.fresh.append(invocation)

    def queue_all(self, invocations: Sequence[Invocation]) -> None:
        """The same for many."""
        live = self.live
        for invocation in invocations:
            invocation.queued = True
            live[invocation.node_id] = invocation
        self.fresh += invocations

    def leave(self, invocation: Invocation) -> bool:
        """It is over, or nobody waits for it any more; whether that is new."""
        if not invocation.touched:
            self.touch(invocation)
        return self.live.pop(invocation.node_id, None) is not None

    def requeue(self, invocation: Invocation, at: float | None) -> None:
        """A plugin wants to be asked again at that time, in seconds since the epoch, or no more."""
        if invocation.requeue_at != at:
            invocation.requeue_at = at
            self.touch(invocation)

    def no_requeues(self) -> Pieces:
        """Those who have said when they want to be asked again are not there any more."""
        for invocation in self.live.values():
            self.requeue(invocation, None)
            yield

    # The record

    def touch(self, invocation: Invocation) -> None:
        """The record may have to say something else of it when the pass commits."""
        if not invocation.touched:
            invocation.touched = True
            self._touched.append(invocation)

    def rollback(self) -> Pieces:
        """Take back what the pass did to nodes, locks and memos. The walk itself cannot be taken back."""
        self.room.rollback()
        yield from self.store.rollback()

    def used_up(self) -> Pieces:
        """This graph is not needed any more."""
        yield from used_up(self.live)
        for some in (self.fresh, self._touched, self.starts):
            yield from used_up(some)

    def let_go(self) -> None:
        """As `used_up`, but at once, and of all that a `Turn` may be in: this graph is good for nothing any more."""
        vars(self).clear()

    def note(self) -> Pieces:
        """Find out what the record is to say from now on of nodes: `noted`."""
        shared: dict[tuple[float | None, float | None, bool], Visit] = {}
        noted, live = self.noted, self.live
        touched, self._touched = self._touched, []
        touched.reverse()
        while touched:
            for invocation in reversed(touched[-PIECE:]):
                invocation.touched = False
                key, extra = invocation.node_id, invocation.extra
                since, requeue_at = invocation.since, invocation.requeue_at
                if key not in live or (since is None and extra is None and requeue_at is None):
                    noted[key] = None
                elif extra:
                    noted[key] = Visit(since, extra, requeue_at)
                else:  # most nodes are like others, and share what is to be said of them
                    about = since, requeue_at, extra is None
                    visit = shared.get(about)
                    if visit is None:
                        visit = shared[about] = Visit(since, extra, requeue_at)
                    noted[key] = visit
            del touched[-PIECE:]
            yield

    def write_down(self) -> Pieces:
        """Write down what cannot be told from nodes: the pass is about to commit, whatever happens."""
        yield from self.note()
        record, noted, self.noted = self.record, self.noted, {}
        for batch in batched(noted.items()):
            for key, visit in batch:
                if visit is None:
                    record.visits.pop(key, None)
                else:
                    record.visits[key] = visit
            yield
        record.at = self.moved_at
        self.closing.save(record)

    def commit(self) -> dict[str, Node | None]:
        """Keep what the pass did, which is written down; returns the nodes that changed as they were."""
        self.room.commit(self.record)
        return self.store.commit()


class Invoking(Protocol):
    """What bodies and hooks have besides the graph: somebody above them (`engine.graph.admission`) who makes calls."""

    graph: Graph

    def invoke(self, invocation: Invocation, existing: Node | None) -> None:
        """Make a call: it gets its node, now or when limits allow, and is visited after that."""
        ...
