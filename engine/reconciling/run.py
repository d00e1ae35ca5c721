"""One pass over one workflow: stage, ask the plugins, walk the graph, commit; or leave no trace of having tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from engine.executors.executor import Result
from engine.graph import Invocation
from engine.graph.locks import LockError, Locks, Priority, lock_requests
from engine.graph.memo import Memos
from engine.graph.nodes import MAX_NODES, TooManyNodes
from engine.graph.queueing import LockQueue
from engine.graph.record import WalkRecord
from engine.graph.shutdown import shut_down
from engine.model.node import ERROR, FAILED, PENDING, POD, RUNNING, STARTED, Node
from engine.model.statistics import Counts
from engine.model.status import finished, pending, running, with_progress
from engine.model.workflow import COMPLETED_PHASES, Workflow
from engine.operations import with_spec
from engine.plugins import Caller, Memory, NodeHooks, Patience, Rooms, WorkflowHooks, may_fail
from engine.reconciling.walking import Walk
from engine.substitution.variables import MissingParameter, workflow_scope
from engine.templates.library import Library
from engine.templates.specification import (
    InvalidMetadata,
    InvalidSpec,
    UnknownTemplate,
    context_of,
    filled_in,
    spec_in_force,
    with_metadata,
)
from engine.validation import validate
from registry import Plugin
from rpc import FatalError, Method, TransientError

Document = Mapping[str, Any]

WORKERS: Final = 128
"""How many nodes of one workflow are being visited at a time; how many calls travel is each plugin's own limit."""


class Surroundings:
    """What all workflows of an engine share: templates and ConfigMaps to refer to, locks and memos to contend for."""

    def __init__(
        self,
        library: Library | None = None,
        config_maps: Mapping[str, Document] | None = None,
        workers: int = WORKERS,
        max_nodes: int = MAX_NODES,
    ) -> None:
        self.max_nodes = max_nodes
        self.library = library or Library()
        self.config_maps = config_maps or {}
        self.workers = workers
        self.locks = Locks()
        self.memos = Memos()
        self.rooms = Rooms()
        self.counts = Counts()


class Run:
    """One workflow under reconciliation, for as long as an engine knows it."""

    def __init__(self, workflow: Workflow, surroundings: Surroundings) -> None:
        self.workflow = workflow
        self.record = WalkRecord(presumed={node.id for node in workflow.nodes.values() if _may_run(node)})
        self._surroundings = surroundings
        self._memory = Memory(surroundings.counts, surroundings.rooms)
        self._caller = Caller(self._memory, surroundings.counts)
        self._plugins: Sequence[Plugin] = ()
        """Those of the last pass that was committed."""
        self._walking: Walk | None = None
        self._pass: _Pass | None = None
        self.aborts = 0
        """Passes aborted one after the other, up to now."""
        self.cut_off = 0
        """Of those the last ones that ran out of time with nothing answered meanwhile."""
        self.abort_reason = ""
        self._why = ""
        """The message of whoever told the workflow to end."""
        metadata = workflow.document["metadata"]
        urgency, created = workflow.document["spec"].get("priority"), metadata.get("creationTimestamp")
        priority = Priority(-urgency if isinstance(urgency, int) else 0, str(created or ""))
        self._locks = LockQueue(surroundings.locks, workflow.key, priority)
        self._locks.load(workflow.document["status"].get("synchronization") or {})

    async def reconcile(self, plugins: Sequence[Plugin], now: float, patience: Patience) -> None:
        """Make one pass at `now` (seconds since the epoch).

        Raises `TransientError` where the pass is aborted: then the workflow is what it was before, to the byte.
        """
        workflow = self.workflow
        if workflow.finished:
            return
        _refuse_while_open(plugins)
        self._memory.begin(plugins, now)
        self._caller.patience = patience
        # What a resumed pass makes is dated as the aborted one dated it, so that its questions are the same.
        stamp = self._memory.journal.resumed_at or now
        self._pass = _Pass(plugins, now, stamp)
        hooks = WorkflowHooks(plugins, self._caller)
        old = workflow.document
        try:
            document = running(old, stamp)
            try:
                document = await hooks.pre_operate(document, workflow.nodes)
                document = await self._walk(document, self._pass)
                document = await hooks.post_operate(old, document, workflow.nodes)
            except (FatalError, TooManyNodes) as error:
                document = self._fatal(document, str(error), now)
            except InvalidSpec as error:
                document = finished(document, FAILED, f"invalid spec: {error}", now)
            except MissingParameter as error:
                document = finished(document, FAILED, f"failed to set global parameters: {error}", now)
            except LockError as error:
                document = finished(document, FAILED, f"Failed to acquire the synchronization lock. {error}", now)
            except (UnknownTemplate, InvalidMetadata) as error:
                document = finished(document, ERROR, str(error), now)
        except BaseException:
            self._rollback()
            self._memory.abort(stamp)
            self._pass = None
            raise
        self._commit(document)

    async def _walk(self, document: dict[str, Any], this: _Pass) -> dict[str, Any]:
        """Visit every node that wants it until nothing more can follow; returns the document with the outcome."""
        walk = self._walking
        if walk is None or not walk.may_go_on(document["spec"]):
            document, walk = self._begin_walk(document, this.stamp)
        walk.look_at(document["metadata"])
        waiting, shutdown = self._wait_for_lock(walk.spec), document["spec"].get("shutdown")
        if waiting and shutdown:  # what waits fails at once, be it a node or the workflow
            shut_down(walk.graph, shutdown, self._why)
            return finished(document, FAILED, walk.graph.closing.stopped(), this.now)
        if waiting:
            return pending(document, waiting)
        if is_suspended(document):
            return document
        this.moves = True
        graph, workers = walk.graph, self._surroundings.workers
        node_hooks = NodeHooks(this.plugins, graph, document, self._caller)
        if not walk.begun:
            await walk.begin(document, this.now, self._why, partial(node_hooks.add_parameters, width=workers))
        graph.set_time(this.now, this.stamp)
        if this.plugins != self._plugins:  # nodes were put off at the wish of plugins that are not the same any more
            for invocation in graph.live.values():
                graph.requeue(invocation, None)
        entry = walk.entry
        if shutdown:
            shut_down(graph, shutdown, self._why)
        this.taken = dict(self.record.reports)  # more may be reported while the plugins are being asked
        await walk.tell(this.taken)
        walk.visits.tick()
        node_hooks.begin()
        wave = node_hooks.worth_visiting(walk.visits.first_wave())
        while wave and entry.outcome is None:
            await node_hooks.visit(wave, workers)
            self._caller.patience.rest()
            self._surroundings.counts.nodes_visited += len(wave)
            wave = await walk.follow(wave)
            node_hooks.refresh()
        document = with_progress(graph.outputs.merged_into(document), graph.store.progress)
        if entry.outcome is not None:
            entry.close()
            pods = any(node.type == POD for node in graph.store.nodes.values())
            document = finished(document, *entry.outcome, this.now, pods=pods)
        return document

    def _begin_walk(self, document: dict[str, Any], stamp: float) -> tuple[dict[str, Any], Walk]:
        """A walk over the spec as it is, and the document with what that says of metadata.

        Raises `InvalidSpec`, `UnknownTemplate`, `MissingParameter` and `InvalidMetadata`.
        """
        workflow, surroundings = self.workflow, self._surroundings
        spec = spec_in_force(document, surroundings.library)
        context = context_of(document, spec, surroundings.library)
        validate(document, context)
        scope = workflow_scope(document, spec, surroundings.config_maps, stamp)
        spec = filled_in(spec, scope)
        if not workflow.phase:
            document = with_metadata(document, spec, scope)
        config_maps, memos, most = surroundings.config_maps, surroundings.memos, surroundings.max_nodes
        walk = Walk(workflow, document, spec, context, scope, self.record, config_maps, self._locks, memos, most)
        self._walking = walk
        return document, walk

    def _wait_for_lock(self, spec: Document) -> str:
        """Why the workflow may not begin yet, empty where it holds the locks that it asks for as a whole."""
        synchronization = spec.get("synchronization")
        if not synchronization:
            return ""
        requests = lock_requests(synchronization, self.workflow.namespace, self._surroundings.config_maps)
        return "" if not requests or self._locks.enter(requests) else self._locks.explain(requests)[0]

    def _fatal(self, document: dict[str, Any], message: str, now: float) -> dict[str, Any]:
        """A workflow hook said what cannot be: what the pass did to the nodes is undone, and the workflow is Error."""
        self._rollback()
        return finished(document, ERROR, message, now)

    def give_up(self, message: str, now: float) -> None:
        """The workflow cannot be reconciled: it is Error, and its nodes are as they were."""
        self._commit(finished(running(self.workflow.document, now), ERROR, message, now))

    def _rollback(self) -> None:
        """As if the pass had not been: nodes as they were, locks given back; the walk, if it moved, is made anew."""
        walk, this = self._walking, self._pass
        if walk is None:
            return
        walk.graph.rollback()
        if this is None or this.moves:
            self._walking = None

    def _commit(self, document: dict[str, Any]) -> None:
        this, self._pass, record = self._pass, None, self.record
        document = self._locks.saved(document, finished=document["status"]["phase"] in COMPLETED_PHASES)
        if this is not None:
            self._plugins = this.plugins
            document = with_spec(document, **this.amended) if this.amended else document
            for node_id, result in this.taken.items():
                if record.reports.get(node_id) is result:
                    del record.reports[node_id]
                if result.phase != RUNNING:  # a daemon that is up is still to be stopped
                    record.leaves.discard(node_id)
                    record.presumed.discard(node_id)
        self.workflow.document = document
        self._memory.journal.clear()
        if self._walking is not None:
            self._walking.graph.commit()
        if self.workflow.finished:
            self._locks.leave()

    # What is done from outside, between passes or while one is under way

    def amend(self, why: str = "", **fields: Any) -> None:
        """Change fields of the workflow's spec, None taking one away; a pass under way commits beneath that."""
        self._why = why or self._why
        if self._pass is not None:
            self._pass.amended |= fields
        self.workflow.document = with_spec(self.workflow.document, **fields)

    def committed(self) -> list[Node]:
        """The nodes as the last committed pass left them."""
        undo = self._walking.graph.store.undo if self._walking is not None else {}
        nodes = (undo.get(key, node) for key, node in self.workflow.nodes.items())
        return [node for node in nodes if node is not None]

    # What the engine asks between passes

    def take_starts(self) -> Iterator[Invocation]:
        """The leaves to start now that the pass is committed."""
        if self._walking is None or self.workflow.finished:
            return
        graph, record = self._walking.graph, self.record
        starts, graph.starts = graph.starts, []
        for invocation in starts:
            if not invocation.gone and not graph.store[invocation.node_id].fulfilled:
                record.leaves.add(invocation.node_id)
                record.presumed.discard(invocation.node_id)
                yield invocation
            invocation.variables = None  # read from the node again where somebody asks

    def template_of(self, invocation: Invocation) -> Document:
        """The substituted template of a leaf. Raises `SubstitutionError`."""
        assert self._walking is not None
        template: Document = orjson.loads(self._walking.graph.render(invocation))
        return template

    def take_stops(self) -> list[str]:
        """The ids of leaves to stop now that the pass is committed; all that still run once the workflow is over."""
        record, stops = self.record, list[str]()
        if self._walking is not None:
            stops, self._walking.graph.stops = self._walking.graph.stops, []
        if self.workflow.finished:
            stops = sorted(record.leaves | record.presumed)
        due = [node_id for node_id in dict.fromkeys(stops) if node_id in record.leaves or node_id in record.presumed]
        record.leaves.difference_update(due)
        record.presumed.difference_update(due)
        return due

    @property
    def has_news(self) -> bool:
        """Whether leaves have reported something that the next pass would take up."""
        return bool(self.record.reports) and not is_suspended(self.workflow.document)

    @property
    def answers(self) -> int:
        """How often plugins were heard that had to be asked."""
        return self._memory.heard

    @property
    def next_timer(self) -> float | None:
        """When the walk has something to do by itself (a suspend, a deadline, a retry), in seconds since the epoch."""
        if self._walking is None or is_suspended(self.workflow.document):
            return None
        return self._walking.graph.timers.next_due

    @property
    def requeue_at(self) -> float | None:
        """When a plugin wants to be asked again, in seconds since the epoch."""
        if self._walking is None or is_suspended(self.workflow.document):
            return None
        wishes = [each.requeue_at for each in self._walking.graph.live.values() if each.requeue_at is not None]
        return min(wishes, default=None)

    def waiting_for(self) -> str:
        """What an unfinished workflow waits for, in words."""
        if is_suspended(self.workflow.document):
            return "the workflow is suspended"
        if self.workflow.phase == PENDING:
            return self.workflow.message or "a lock"
        return (self._walking.waiting_for() if self._walking is not None else "") or "nothing was started"


class _Pass:
    """What lives for one pass."""

    def __init__(self, plugins: Sequence[Plugin], now: float, stamp: float) -> None:
        self.plugins = plugins
        self.now = now
        self.stamp = stamp
        """How what it writes is dated."""
        self.moves = False
        """Whether the walk has been touched."""
        self.taken: dict[str, Result] = {}
        """The reports that it has taken up."""
        self.amended: dict[str, Any] = {}
        """Fields of the spec that were changed from outside since it began."""


def _may_run(node: Node) -> bool:
    return node.type in STARTED and node.phase == RUNNING


def _refuse_while_open(plugins: Sequence[Plugin]) -> None:
    """Abort before any work while the breaker of a plugin is open that the pass cannot do without."""
    for plugin in plugins:
        client = plugin.client
        if client.breaker == "open" and not may_fail(plugin) and any(map(client.supports, Method)):
            reason = "it has failed too often, nothing is sent for now (breaker open)"
            raise TransientError(plugin.name, Method.WORKFLOW_PRE_OPERATE, reason)


def is_suspended(document: Document) -> bool:
    """Whether nothing is to happen to the workflow but that it may be told to end."""
    return bool(document["spec"].get("suspend")) and not document["spec"].get("shutdown")
