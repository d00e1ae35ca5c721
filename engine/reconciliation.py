"""One pass over one workflow: stage, ask the plugins, walk the graph, commit; or leave no trace of having tried."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from engine.execution import Result
from engine.graph import Graph, Invocation, leaves
from engine.graph.admission import Admission
from engine.graph.entry import Entry
from engine.graph.nodes import MAX_NODES, NodeStore, TooManyNodes
from engine.graph.queueing import LockQueue
from engine.hooks import Caller, Memory, NodeHooks, Rooms, WorkflowHooks, may_fail
from engine.library import Library
from engine.locks import LockError, Locks, Standing, lock_requests
from engine.memo import Memos
from engine.node import ERROR, FAILED, PENDING, POD, RUNNING, Node
from engine.operations import with_spec
from engine.specification import (
    InvalidMetadata,
    InvalidSpec,
    UnknownTemplate,
    context_of,
    filled_in,
    spec_in_force,
    with_metadata,
)
from engine.statistics import Counts
from engine.status import finished, pending, running, with_progress
from engine.validation import validate
from engine.variables import MissingParameter, add_metadata, workflow_scope
from engine.workflow import COMPLETED_PHASES, Workflow
from registry import Plugin
from rpc import FatalError, Method, TransientError

Document = Mapping[str, Any]

WORKERS: Final = 128
"""How many nodes of one workflow are being visited at a time; how many calls travel is each plugin's own limit."""

_AT_A_TIME: Final = 200
"""Nodes that are seen to in one turn of the event loop: a hundred thousand would keep all else waiting for a second."""

_log = structlog.get_logger()


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
    """One workflow under reconciliation: the workflow, the walk over its graph, and what leaves have reported."""

    def __init__(self, workflow: Workflow, surroundings: Surroundings) -> None:
        self.workflow = workflow
        self.inbox: dict[str, Result] = {}
        """What leaves have reported and no committed pass has taken up."""
        self._taken: dict[str, Result] = {}
        self.started: set[str] = set()
        """Leaves that this engine's executor was given and has not ended."""
        self._surroundings = surroundings
        self._memory = Memory(surroundings.counts, surroundings.rooms)
        self._caller = Caller(self._memory, surroundings.counts)
        self._plugins: Sequence[Plugin] = ()
        """Those of the last pass."""
        self._stamp = 0.0
        self._spec: Document | None = None
        self._spec_source: Document = {}
        self._metadata: object = None
        self._graph: Graph | None = None
        self._entry: Entry | None = None
        self._begun: dict[str, dict[str, str] | None] = {}
        """Nodes that were executing when a walk was given up, with the parameters that plugins had added to each."""
        self.aborts = 0
        """Passes aborted one after the other, up to now."""
        self.abort_reason = ""
        self._amended: dict[str, Any] = {}
        """Fields of the spec that were changed from outside since the pass began."""
        self._why = ""
        """The message of whoever told the workflow to end."""
        metadata = workflow.document["metadata"]
        urgency, created = workflow.document["spec"].get("priority"), metadata.get("creationTimestamp")
        standing = Standing(-urgency if isinstance(urgency, int) else 0, str(created or ""))
        self._locks = LockQueue(surroundings.locks, workflow.key, standing)
        self._locks.load(workflow.document["status"].get("synchronization") or {})

    async def reconcile(self, plugins: Sequence[Plugin], now: float) -> None:
        """Make one pass at `now` (seconds since the epoch).

        Raises `TransientError` where the pass is aborted: then the workflow is what it was before, to the byte.
        """
        workflow = self.workflow
        if workflow.finished:
            return
        _refuse_while_open(plugins)
        if plugins != self._plugins:
            self._plugins = plugins
            self._ask_again()
        self._memory.begin(plugins, now)
        # What a resumed pass makes is dated as the aborted one dated it, so that its questions are the same.
        self._stamp = self._memory.journal.resumed_at or now
        hooks = WorkflowHooks(plugins, self._caller)
        old = workflow.document
        self._taken, self._amended = {}, {}
        try:
            document = running(old, self._stamp)
            try:
                document = await hooks.pre_operate(document, workflow.nodes)
                document = await self._walk(document, plugins, now)
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
            self._memory.journal.resumed_at = self._stamp
            raise
        self._commit(self._locks.saved(document, finished=document["status"]["phase"] in COMPLETED_PHASES))

    def _ask_again(self) -> None:
        """Nodes were put off at the wish of plugins that are not the same any more."""
        for invocation in self._graph.live.values() if self._graph is not None else ():
            invocation.requeue_at = None

    async def _walk(self, document: dict[str, Any], plugins: Sequence[Plugin], now: float) -> dict[str, Any]:
        """Visit every node that wants it until nothing more can follow; returns the document with the outcome."""
        graph = self._graph
        if graph is None or not _may_go_on(graph, document["spec"], self._spec_source):
            document, graph = self._build(document, now)
        elif document["metadata"] != self._metadata:
            add_metadata(graph.scope, document["metadata"], self._spec or {})
        self._metadata, self._spec_source = document["metadata"], document["spec"]
        entry = self._entry
        assert entry is not None
        graph.set_time(now, self._stamp)
        waiting = self._wait_for_lock()
        if not waiting and is_suspended(document):
            return document
        if document["spec"].get("shutdown"):
            graph.closing.shut_down(document["spec"]["shutdown"], self._why)
        if waiting:  # what waits fails at once, be it a node or the workflow
            return (
                finished(document, FAILED, graph.closing.stopped(), now)
                if graph.closing.shutdown
                else pending(document, waiting)
            )
        if not entry.started:
            entry.start(document["status"].get("startedAt") or graph.timestamp)
            self._catch_up(graph)
        self._taken = dict(self.inbox)  # more may be reported while the plugins are being asked
        untold = await self._tell(graph, self._taken)
        graph.tick()
        node_hooks = NodeHooks(plugins, graph, document, self._caller)
        wave = node_hooks.worth_visiting(graph.first_wave())
        while wave and entry.outcome is None:
            await node_hooks.visit(wave, self._surroundings.workers)
            undo = graph.store.undo
            for start in range(0, len(wave), _AT_A_TIME):
                if start:
                    await asyncio.sleep(0)
                for invocation in wave[start : start + _AT_A_TIME]:
                    if invocation.node_id in undo or not invocation.executing:  # else nothing has come of the visit
                        graph.visited(invocation)
            graph.settle()
            untold = await self._tell(graph, untold)  # a walk that was begun anew meets its leaves one by one
            self._surroundings.counts.nodes_visited += len(wave)
            wave = graph.take_fresh()
            node_hooks.refresh()
        document = with_progress(graph.outputs.merged_into(document), graph.store.progress)
        if entry.outcome is not None:
            entry.close()
            pods = any(node.type == POD for node in graph.store.nodes.values())
            document = finished(document, *entry.outcome, now, pods=pods)
        return document

    @staticmethod
    async def _tell(graph: Graph, reports: dict[str, Result]) -> dict[str, Result]:
        """Let the reports count whose leaves the walk has met; returns those of the others."""
        met = [node_id for node_id in reports if node_id in graph.live]
        for start in range(0, len(met), _AT_A_TIME):
            if start:
                await asyncio.sleep(0)
            for node_id in met[start : start + _AT_A_TIME]:
                leaves.report(graph, graph.live[node_id], reports[node_id])
        return {node_id: result for node_id, result in reports.items() if node_id not in graph.live}

    def _build(self, document: dict[str, Any], now: float) -> tuple[dict[str, Any], Graph]:
        """The walk from its beginning; nodes that exist already are taken over.

        Raises `InvalidSpec`, `UnknownTemplate`, `MissingParameter` and `InvalidMetadata`.
        """
        workflow, surroundings = self.workflow, self._surroundings
        spec = spec_in_force(document, surroundings.library)
        context = context_of(document, spec, surroundings.library)
        validate(document, context)
        scope = workflow_scope(document, spec, surroundings.config_maps, self._stamp)
        spec = filled_in(spec, scope)
        if not workflow.phase:
            document = with_metadata(document, spec, scope)
        self._locks.begin_anew()
        admission = Admission(spec, workflow.namespace, surroundings.config_maps, self._locks, surroundings.memos)
        graph = Graph(NodeStore(workflow.name, workflow.nodes, surroundings.max_nodes), scope, admission)
        graph.set_time(now, self._stamp)
        self._entry = Entry(graph, spec, context)
        self._graph, self._spec = graph, spec
        return document, graph

    def _wait_for_lock(self) -> str:
        """Why the workflow may not begin yet, empty where it holds the locks that it asks for as a whole."""
        assert self._spec is not None
        synchronization = self._spec.get("synchronization")
        if not synchronization:
            return ""
        requests = lock_requests(synchronization, self.workflow.namespace, self._surroundings.config_maps)
        return "" if not requests or self._locks.enter(requests) else self._locks.explain(requests)[0]

    def _fatal(self, document: dict[str, Any], message: str, now: float) -> dict[str, Any]:
        """A workflow hook said what cannot be: what the pass did to the nodes is undone, and the workflow is Error."""
        self._rollback()
        return finished(document, ERROR, message, now)

    def give_up(self, message: str, now: float) -> None:
        """After a pass that raised what it should not have: the workflow is Error, and its nodes are as they were."""
        self._taken = {}
        document = finished(running(self.workflow.document, now), ERROR, message, now)
        self._commit(self._locks.saved(document, finished=True))

    def _rollback(self) -> None:
        """As if the pass had not been: nodes as they were, locks given back. The walk is begun anew if it had moved."""
        graph = self._graph
        if graph is None:
            return
        graph.admission.rollback()
        if graph.store.rollback() or graph.starts or graph.stops or not graph.live:
            self._begun |= {key: each.extra for key, each in graph.live.items() if each.executing} | graph.ended
            self._graph = self._entry = None

    def _catch_up(self, graph: Graph) -> None:
        """Take a walk that was begun anew to where the last committed pass had left it, without asking anybody."""
        begun, self._begun = self._begun, {}
        if not begun:
            return
        graph.settle()
        while fresh := graph.take_fresh():
            for invocation in fresh:
                node = graph.store[invocation.node_id]
                if node.id in begun and node.phase == RUNNING and node.started_at:
                    invocation.extra = begun[node.id]
                    graph.visited(invocation)
            graph.settle()

    def _commit(self, document: dict[str, Any]) -> None:
        self.workflow.document = with_spec(document, **self._amended) if self._amended else document
        self._memory.journal.clear()
        for node_id, result in self._taken.items():
            if self.inbox.get(node_id) is result:
                del self.inbox[node_id]
            if result.phase != RUNNING:  # a daemon that is up is still to be stopped
                self.started.discard(node_id)
        if self._graph is not None:
            self._graph.store.commit()
            self._graph.ended = {}
            self._graph.admission.commit()
        if self.workflow.finished:
            self._locks.leave()

    # What is done from outside, between passes or while one is under way

    def amend(self, why: str = "", **fields: Any) -> None:
        """Change fields of the workflow's spec, None taking one away; a pass under way commits beneath that."""
        self._why = why or self._why
        self._amended |= fields
        self.workflow.document = with_spec(self.workflow.document, **fields)

    def committed(self) -> list[Node]:
        """The nodes as the last committed pass left them."""
        undo = self._graph.store.undo if self._graph is not None else {}
        nodes = (undo.get(key, node) for key, node in self.workflow.nodes.items())
        return [node for node in nodes if node is not None]

    # What the engine asks between passes

    def take_starts(self) -> Iterator[tuple[Invocation, bytes]]:
        """The leaves to start now that the pass is committed, each with its substituted template as JSON."""
        graph = self._graph
        if graph is None or self.workflow.finished:
            return
        starts, graph.starts = graph.starts, []
        for invocation in starts:
            if invocation.node_id not in self.started and not graph.store[invocation.node_id].fulfilled:
                self.started.add(invocation.node_id)
                yield invocation, graph.render(invocation)
            invocation.variables = None  # read from the node again where somebody asks

    def take_stops(self) -> list[str]:
        """The ids of leaves to stop now that the pass is committed; all that still run once the workflow is over."""
        graph = self._graph
        stops: list[str] = []
        if graph is not None:
            stops, graph.stops = graph.stops, []
        if self.workflow.finished:
            stops = sorted(self.started)
        due = [node_id for node_id in dict.fromkeys(stops) if node_id in self.started]
        self.started.difference_update(stops)
        return due

    @property
    def has_news(self) -> bool:
        """Whether leaves have reported something that the next pass would take up."""
        return bool(self.inbox) and not is_suspended(self.workflow.document)

    @property
    def next_timer(self) -> float | None:
        """When the walk has something to do by itself (a suspend, a deadline, a retry), in seconds since the epoch."""
        if self._graph is None or is_suspended(self.workflow.document):
            return None
        return self._graph.next_timer

    @property
    def requeue_at(self) -> float | None:
        """When a plugin wants to be asked again, in seconds since the epoch."""
        if self._graph is None or is_suspended(self.workflow.document):
            return None
        wishes = [each.requeue_at for each in self._graph.live.values() if each.requeue_at is not None]
        return min(wishes, default=None)

    def waiting_for(self) -> str:
        """What an unfinished workflow waits for, in words."""
        if is_suspended(self.workflow.document):
            return "the workflow is suspended"
        if self.workflow.phase == PENDING:
            return self.workflow.message
        graph = self._graph
        if graph is None or not graph.live:
            return "nothing was started"
        kinds: dict[str, list[str]] = {}
        for invocation in graph.live.values():
            if invocation.resolved.is_leaf and invocation.body is None:
                node = graph.store[invocation.node_id]
                what = {"Suspend": "suspended"}.get(node.type, node.phase.lower())
                kinds.setdefault(what, []).append(node.display_name)
        reasons = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in kinds.items()
        ]
        hanging = [f"{graph.store[node_id].display_name} waits for {what}" for node_id, what in graph.blocked.items()]
        return "; ".join(reasons + hanging[:3])


def _refuse_while_open(plugins: Sequence[Plugin]) -> None:
    """Abort before any work while the breaker of a plugin is open that the pass cannot do without."""
    for plugin in plugins:
        client = plugin.client
        if client.breaker == "open" and not may_fail(plugin) and any(map(client.supports, Method)):
            reason = "it has failed too often, nothing is sent for now (breaker open)"
            raise TransientError(plugin.name, Method.WORKFLOW_PRE_OPERATE, reason)


def _may_go_on(graph: Graph, spec: Document, source: Document) -> bool:
    """Whether a walk that was made from `source` is one over `spec`: `suspend` and `shutdown` are read in each pass.

    Once it was told to end it is no good for a workflow that was not, after all.
    """
    if graph.closing.shutdown and not spec.get("shutdown"):
        return False
    fields = (spec.keys() | source.keys()) - {"shutdown", "suspend"} if spec is not source else ()
    return all(spec.get(field) == source.get(field) for field in fields)


def is_suspended(document: Document) -> bool:
    """Whether nothing is to happen to the workflow but that it may be told to end."""
    return bool(document["spec"].get("suspend")) and not document["spec"].get("shutdown")
