"""The walk over one workflow's graph: built from its document, its nodes and its record, kept from pass to pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Final

from engine.executors.executor import Result
from engine.graph import Invocation, leaves
from engine.graph.admission import Admission
from engine.graph.entry import Entry
from engine.graph.graph import ORDER
from engine.graph.retry import Retry
from engine.graph.shutdown import shut_down
from engine.graph.visits import Visits
from engine.model.node import Node
from engine.model.pace import FEW, Pace, Pieces
from engine.shape import Document
from engine.substitution.variables import add_metadata
from engine.templates.library import Context

MOST: Final = 3
"""Of what is waited for, the reasons that are told, and the names with each."""


class Walk:
    """One workflow's graph on its way, over `spec`, which was made of the document's own.

    A pass that is aborted drops it. The next one makes another and lets it `begin`, which takes it to where, by the
    record, the last committed pass had left it: nothing is asked, started, stopped or written on the way.
    """

    def __init__(self, admission: Admission, document: Document, spec: Document, context: Context, pace: Pace) -> None:
        self.graph = admission.graph
        self._pace = pace
        self.visits = Visits(admission)
        self.entry = Entry(admission, spec, context)
        """The top of the graph."""
        self.spec = spec
        self.begun = False
        """Whether it is where the last committed pass was."""
        self._source, self._metadata = document["spec"], document["metadata"]

    def __del__(self) -> None:
        # Nothing in the graph leads here, so that this is called however all of it is dropped.
        self.graph.let_go()

    def may_go_on(self, spec: Document) -> bool:
        """Whether it is one over `spec`, too: `suspend` and `shutdown` are read in each pass.

        Once it was told to end it is no good for a workflow that was not, after all.
        """
        if self.graph.closing.shutdown and not spec.get("shutdown"):
            return False
        source, self._source = self._source, spec
        fields = (spec.keys() | source.keys()) - {"shutdown", "suspend"} if spec is not source else ()
        return all(spec.get(field) == source.get(field) for field in fields)

    def look_at(self, metadata: Document) -> None:
        """The workflow's labels and annotations may be others now."""
        if metadata != self._metadata:
            add_metadata(self.graph.scope, metadata, self.spec)
            self._metadata = metadata

    async def begin(
        self,
        document: Document,
        now: float,
        why: str,
        add_parameters: Callable[[Sequence[Invocation]], Awaitable[None]],
    ) -> None:
        """Go through what there is already; `why` is the message of whoever told the workflow to end.

        Plugins are asked to add parameters only where the record tells nothing.
        """
        graph, visits, record = self.graph, self.visits, self.graph.record
        then = now if record.at is None else record.at
        graph.set_time(then, then)
        shutdown = document["spec"].get("shutdown")
        if shutdown and graph.exact:  # and where there is none it is to go on after all
            graph.closing.load(record)
        elif shutdown:
            await self.shut_down(shutdown, why)
        self.entry.start(document["status"].get("startedAt") or graph.timestamp)  # a plugin may have removed it
        await self._pace.through(visits.settle())
        while True:
            invocations: list[Invocation] = []
            await self._pace.through(visits.recall(invocations))
            if not invocations:
                break
            if not graph.exact:
                await add_parameters(invocations)
            await self._pace.through(visits.recalled(invocations))
        await self._pace.through(visits.restored())
        self.begun = True

    async def shut_down(self, strategy: str, why: str) -> None:
        """End what runs; see `engine.graph.shutdown`."""
        shut_down(self.graph, strategy, why)
        await self._pace.through(self.graph.turns.done_at_length())

    async def catch_up(self, reports: Mapping[str, Result]) -> list[Invocation]:
        """Let reports count and do what is due; what a pass visits first."""
        wave: list[Invocation] = []
        await self._pace.through(chain(self._tell(reports), self.visits.tick(), self.visits.first_wave(wave)))
        return wave

    def _tell(self, reports: Mapping[str, Result]) -> Pieces:
        graph = self.graph
        for number, (node_id, result) in enumerate(reports.items()):
            invocation = graph.live.get(node_id)
            if invocation is not None:
                leaves.report(graph, invocation, result)
                if graph.turns.work:
                    yield from graph.turns.done_at_length()
            if not number % FEW:
                yield

    async def follow(self, wave: list[Invocation]) -> None:
        """The plugins have seen a wave of nodes: do what comes of it, and make the next wave of this one."""
        await self._pace.through(self.visits.follow(wave))

    def waiting_for(self) -> str:
        """What it waits for, in words; empty where nothing was begun."""
        graph, store = self.graph, self.graph.store
        unfinished = sorted(graph.live.values(), key=ORDER)
        kinds: dict[str, list[Node]] = {}
        for invocation in unfinished:
            what = _waits_for(invocation, node := store[invocation.node_id])
            if what:
                kinds.setdefault(what, []).append(node)
        if not kinds and not graph.blocked:
            for node in (store[invocation.node_id] for invocation in unfinished):
                kinds.setdefault(node.phase.lower(), []).append(node)
        reasons = [
            f"{len(nodes)} {what} "
            f"({', '.join(node.display_name for node in nodes[:MOST])}{', …' if len(nodes) > MOST else ''})"
            for what, nodes in kinds.items()
        ]
        hanging = [f"{graph.store[node_id].display_name} waits for {what}" for node_id, what in graph.blocked.items()]
        return "; ".join(reasons[:MOST] + hanging[:MOST])


def _waits_for(invocation: Invocation, node: Node) -> str:
    """What keeps a node from going on, as said of several; empty where that is others within it."""
    status = node.synchronization_status
    if status and status.get("waiting"):
        return f"waiting for {status['waiting']}"
    if invocation.requeue_at is not None:
        return "requeued by a plugin"
    body = invocation.body
    if body is not None:
        return "backing off before a retry" if isinstance(body, Retry) and body.backs_off else ""
    if not invocation.resolved.is_leaf:
        return ""
    return "suspended" if node.type == "Suspend" else node.phase.lower()
