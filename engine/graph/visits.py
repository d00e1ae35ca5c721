"""What to visit next in a graph, and what comes of a visit; until nothing more follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.graph import leaves
from engine.graph.admission import Admission
from engine.graph.dag import Dag
from engine.graph.deadlines import started
from engine.graph.ends import conclude, note_end
from engine.graph.graph import ORDER
from engine.graph.invocation import Body, Inside, Invocation
from engine.graph.record import Visit
from engine.graph.series import Looping
from engine.graph.steps import Steps
from engine.model.node import FULFILLED, RUNNING
from engine.model.pace import FEW, PIECE, Pieces, in_order

_UNVISITED: Final = Visit()

BODIES: Final[dict[str, Callable[[Looping, Invocation], Body]]] = {"steps": Steps, "dag": Dag}


class Visits:
    """A pass lets what there was be recalled, once; then it fires the timers that are due (`tick`), reports what leaves
    did (`leaves.report`), and alternates between `take_fresh`, what to visit, and `visited`, what came of it.
    """

    def __init__(self, admission: Admission) -> None:
        self.graph = admission.graph
        self.admission = admission

    def tick(self) -> Pieces:
        """Do what is due at the time that was set."""
        graph = self.graph
        graph.moved_at = graph.now
        for action in graph.timers.due(graph.now):
            action()
            yield from graph.turns.done_at_length()
            yield
        yield from self.settle()

    def settle(self) -> Pieces:
        """Let everything follow that follows from what has happened."""
        return self.graph.turns.settle(self.admission.let_in)

    def first_wave(self, wave: list[Invocation]) -> Pieces:
        """Put all unfinished invocations into the wave that are to be visited: what a pass visits first."""
        yield from self.take_fresh([])
        for number, invocation in enumerate(self.graph.live.values()):
            if invocation.ended or not invocation.parked:
                wave.append(invocation)
            if not number % PIECE:
                yield
        wave[:] = yield from in_order(wave, ORDER)

    def take_fresh(self, wave: list[Invocation]) -> Pieces:
        """Put the invocations into the wave that were created or ended since the last call, in order; the caller
        visits them all."""
        graph = self.graph
        fresh, graph.fresh = graph.fresh, []
        for invocation in fresh:
            if invocation.gone:
                continue
            invocation.queued = False
            wave.append(invocation)
            if not len(wave) % PIECE:
                yield

    def follow(self, wave: list[Invocation]) -> Pieces:
        """Do what comes of the visits of a wave; what it is replaced by is the next one."""
        undo, turns = self.graph.store.undo, self.graph.turns
        wave.reverse()  # who was visited need not be kept
        while wave:
            invocation = wave.pop()
            if invocation.node_id in undo or not invocation.executing:  # else nothing has come of it
                self.visited(invocation)
                if turns.work:
                    yield from turns.done_at_length()
            if wave and not len(wave) % FEW:
                yield
        yield from self.settle()
        yield from self.take_fresh(wave)

    def visited(self, invocation: Invocation) -> None:
        """The plugins have had their say about the node: it may be finished, held back, or go on as it would."""
        graph = self.graph
        if invocation.gone or invocation.queued:
            return
        node = graph.store.nodes[invocation.node_id]
        if node.phase in FULFILLED:
            if not invocation.ended and invocation.resolved.is_leaf:
                graph.stops.append(node.id)  # a plugin may have fulfilled what an executor still runs
            conclude(graph, invocation)
            return
        if not invocation.touched:
            graph.touch(invocation)
        if not invocation.executing and (invocation.requeue_at is None or not graph.is_held_back(invocation, node)):
            self._execute(invocation)

    def _execute(self, invocation: Invocation) -> None:
        graph, template = self.graph, invocation.template
        assert template is not None
        node = graph.begin(invocation)
        if node.phase in FULFILLED:
            conclude(graph, invocation)
            return
        invocation.executing = True
        if invocation.since is None:
            invocation.since = graph.now
        closing = graph.closing
        calm = not (graph.restoring or closing.shutdown or closing.expired)
        if template.plain_leaf and calm and invocation.deadline is None and not node.daemoned:
            graph.starts.append(invocation)
            return
        if template.is_leaf:
            leaves.begin(graph, invocation, node)
            return
        body = BODIES[template.kind.name](self.admission, invocation)
        invocation.body, invocation.inside = body, Inside(invocation.depth)
        invocation.inside.failed = graph.store.failed_inside(node.id)
        body.start()

    # What there was

    def recall(self, begun: list[Invocation]) -> Pieces:
        """Of the invocations that are fresh, while restoring, those that executed before this walk began.

        The caller has them go on (`recalled`); the others it leaves for the first wave.
        """
        graph = self.graph
        fresh: list[Invocation] = []
        yield from self.take_fresh(fresh)
        for invocation in fresh:
            yield
            if invocation.executing:
                continue
            node = graph.store[invocation.node_id]
            visit = graph.record.visits.get(node.id, _UNVISITED)
            invocation.extra = dict(visit.extra) if visit.extra is not None else None
            invocation.requeue_at, since = visit.requeue_at, visit.since
            if since is None and not graph.exact and node.phase == RUNNING and node.started_at:
                since = started(graph, node)
            if since is not None and not node.fulfilled:
                invocation.since = since
                begun.append(invocation)

    def recalled(self, invocations: list[Invocation]) -> Pieces:
        """Let invocations go on that executed before."""
        graph = self.graph
        for invocation in invocations:
            if not graph.exact:
                graph.touch(invocation)
            if not invocation.gone:
                self._execute(invocation)
                yield from graph.turns.done_at_length()
            yield
        yield from self.settle()

    def restored(self) -> Pieces:
        """All that there was has been gone through: from now on things are decided."""
        graph = self.graph
        yield from self.admission.restored()
        graph.turns.restored(look=not graph.exact)
        if graph.exact:
            graph.store.restored()
            return
        for invocation in list(graph.live.values()):
            if invocation.inside is not None and graph.is_open(invocation):
                note_end(graph, invocation, failed=False)
            yield
        yield from self.settle()
