"""What a pass that is about to be committed has changed, as it is written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from itertools import chain
from typing import Any

import msgspec

from engine.executors.executor import Result
from engine.graph import Graph
from engine.graph.record import Job, WalkRecord
from engine.model.node import Node
from engine.model.pace import FEW, PIECE, Pieces, batched
from engine.model.workflow import has_ended
from engine.reconciling.entries import (
    FREED,
    GIVEN,
    JOB,
    LEAF,
    REPORT,
    STOPPING,
    VISIT,
    WAITING,
    Marks,
    Sheet,
    marks,
)


class Staged(msgspec.Struct, frozen=True):
    """A pass that is about to be committed: the document, the graph if it came that far, the reports it took, and what
    plugins were asked to execute, or execute no more."""

    document: dict[str, Any]
    graph: Graph | None
    taken: Mapping[str, Result]
    plugins: str
    jobs: Iterable[tuple[str, Job | None]]

    def marks(self, record: WalkRecord) -> Marks:
        """What is to be said of the workflow as a whole."""
        at, shutdown, closing, why, _ = marks(record)
        if self.graph is not None:
            at, shutdown, closing = self.graph.moved_at, self.graph.closing.shutdown, self.graph.closing.message
        return at, shutdown, closing, why, self.plugins

    def changes(self, record: WalkRecord, nodes: Mapping[str, Node], reports: Set[str], sheet: Sheet) -> Pieces:
        """What becomes of the record, of which ``reports`` are written, and of the ``nodes`` of the workflow."""
        graph = self.graph
        if sheet.whole:
            yield from sheet.all_of(record, nodes)
        elif graph is not None:
            yield from sheet.nodes(graph.store.nodes, graph.store.undo)
        if graph is not None:
            yield from graph.note()
            for some in batched(graph.noted.items()):
                sheet.write_all(VISIT, {key: visit for key, visit in some if visit is not None})
                sheet.lose_all(VISIT, [key for key, visit in some if visit is None and key in record.visits])
                yield
            for number, (name, waiting) in enumerate(graph.room.noted()):
                sheet.set(WAITING, name, None)  # it loses the place that it had
                sheet.set(WAITING, name, waiting)
                if not number % FEW:
                    yield
            if (freed := graph.room.freed()) != record.freed:
                sheet.set(FREED, "", freed)
        for number, (key, job) in enumerate(self.jobs):
            sheet.set(JOB, key, job)
            if not number % PIECE:
                yield
        yield from self._of_leaves(record, reports, sheet)

    def _of_leaves(self, record: WalkRecord, reports: Set[str], sheet: Sheet) -> Pieces:
        """What becomes of leaves: those that ended, those to stop, and those to start, which the executor is given."""
        graph, taken = self.graph, self.taken
        for some in batched(taken.items()):
            if sheet.whole or reports:
                written = ((key, result) for key, result in some if sheet.whole or key in reports)
                sheet.lose_all(REPORT, [key for key, result in written if record.reports.get(key) is result])
            sheet.lose_all(LEAF, [key for key, result in some if result.ended])
            yield
        finished = has_ended(self.document)
        stops: Iterable[str] = graph.stops if graph is not None else ()
        for number, node_id in enumerate(chain(record.leaves, record.presumed) if finished else stops):
            ended = node_id in taken and taken[node_id].ended
            if not ended and (node_id in record.leaves or node_id in record.presumed):
                sheet.set(LEAF, node_id, STOPPING)
            if not number % FEW:
                yield
        if graph is not None and not finished:
            for starts in batched(graph.starts):
                sheet.write_all(LEAF, {each.node_id: GIVEN for each in starts if graph.is_open(each)})
                yield
