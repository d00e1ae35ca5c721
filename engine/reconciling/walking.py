"""The walk over one workflow's graph: built from its document, its nodes and its record, kept from pass to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from engine.executors.executor import Result
from engine.graph import Invocation, leaves
from engine.graph.admission import Admission
from engine.graph.entry import Entry
from engine.graph.shutdown import shut_down
from engine.graph.visits import Visits
from engine.substitution.variables import add_metadata
from engine.templates.library import Context

Document = Mapping[str, Any]

AT_A_TIME: Final = 200
"""Nodes that are seen to in one turn of the event loop: a hundred thousand would keep all else waiting for a second."""


class Walk:
    """One workflow's graph on its way, over `spec`, which was made of the document's own.

    A pass that is aborted drops it. The next one makes another and lets it `begin`, which takes it to where, by the
    record, the last committed pass had left it: nothing is asked, started, stopped or written on the way.
    """

    def __init__(self, admission: Admission, document: Document, spec: Document, context: Context) -> None:
        self.graph = admission.graph
        self.visits = Visits(admission)
        self.entry = Entry(admission, spec, context)
        """The top of the graph."""
        self.spec = spec
        self.begun = False
        """Whether it is where the last committed pass was."""
        self._source, self._metadata = document["spec"], document["metadata"]

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
            shut_down(graph, shutdown, why)
        self.entry.start(document["status"].get("startedAt") or graph.timestamp)  # a plugin may have removed it
        visits.settle()
        while invocations := visits.recall():
            if not graph.exact:
                await add_parameters(invocations)
            for some in _some_of(invocations):
                visits.recalled(some)
                await asyncio.sleep(0)
        visits.restored()
        self.begun = True

    async def tell(self, reports: Mapping[str, Result]) -> None:
        """Let reports count."""
        graph = self.graph
        for some in _some_of(list(reports)):
            for node_id in some:
                if node_id in graph.live:
                    leaves.report(graph, graph.live[node_id], reports[node_id])
            if len(reports) > AT_A_TIME:
                await asyncio.sleep(0)

    async def follow(self, wave: Sequence[Invocation]) -> list[Invocation]:
        """The plugins have seen a wave of nodes: do what comes of it. Returns the next wave."""
        graph = self.graph
        for some in _some_of(wave):
            for invocation in some:
                if invocation.node_id in graph.store.undo or not invocation.executing:  # else nothing has come of it
                    self.visits.visited(invocation)
            if len(wave) > AT_A_TIME:
                await asyncio.sleep(0)
        self.visits.settle()
        return self.visits.take_fresh()

    def waiting_for(self) -> str:
        """What it waits for, in words; empty where nothing was begun."""
        graph = self.graph
        kinds: dict[str, list[str]] = {}
        unfinished = graph.unfinished()
        ends = [each for each in unfinished if each.resolved.is_leaf and each.body is None]
        for invocation in ends or ([] if graph.blocked else unfinished):
            node = graph.store[invocation.node_id]
            what = {"Suspend": "suspended"}.get(node.type, node.phase.lower())
            kinds.setdefault(what, []).append(node.display_name)
        reasons = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in kinds.items()
        ]
        hanging = [f"{graph.store[node_id].display_name} waits for {what}" for node_id, what in graph.blocked.items()]
        return "; ".join(reasons + hanging[:3])


def _some_of(many: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(many), AT_A_TIME):
        yield many[start : start + AT_A_TIME]
