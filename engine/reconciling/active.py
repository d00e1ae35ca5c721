"""The workflows that an engine has, and which of them want a pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from engine.executors.executor import Result
from engine.graph.record import WalkRecord
from engine.model.node import FULFILLED
from engine.model.workflow import Workflow
from engine.reconciling.keeping import Surroundings
from engine.reconciling.queueing import Queue
from engine.reconciling.roll import Roll
from engine.reconciling.run import Run


class Active(Roll[Run]):
    """Those, their runs and their queue."""

    def __init__(self, surroundings: Surroundings, limit: int | None) -> None:
        super().__init__(limit)
        self.queue = Queue()
        self.news = asyncio.Event()
        """Set whenever a workflow may want a pass, or is gone."""
        self._surroundings = surroundings
        self.pace = surroundings.pace

    def bind(self) -> None:
        before = self.loop
        super().bind()
        if self.loop is not before:  # an event is of the loop that somebody waited in, which is over by now
            self.news = asyncio.Event()

    def _new(self, workflow: Workflow) -> Run:
        run = Run(workflow, self._surroundings)
        run.say()
        return run

    def found(self, workflow: Workflow, record: WalkRecord) -> Run:
        """The run of a workflow that a store had: known and claimed, unless it is over, and only has leaves to stop."""
        run = Run(workflow, self._surroundings, record)
        if not workflow.finished:
            self.restored(run)
        return run

    def drop(self, run: Run) -> None:
        """The workflow is over, or to be known no more: whoever waits for it hears of that."""
        workflow = run.workflow
        if self.find(workflow) is not run:
            return
        self._remove(run)
        self.queue.discard(workflow.key)
        if run.parting:
            self._parting.add(workflow)
        self.news.set()
        run.tell_waiting()

    def parted(self, run: Run) -> None:
        """What there was to be undone of it is undone: its locks are others' now."""

        def gone() -> None:
            self._parting.discard(run.workflow)
            run.parted.set()

        run.leave()
        if run.ledger is None:
            gone()
        else:
            run.ledger.forget(gone)
        self.wake_all(self._surroundings.locks.take_woken())

    # Which want a pass

    def wake(self, key: str) -> None:
        """The workflow wants a pass, if it is known."""
        if key in self.runs:
            self.queue.add(key)
            self.news.set()

    def wake_all(self, keys: Iterable[str]) -> None:
        """Likewise."""
        for key in keys:
            self.wake(key)

    def wake_held_up(self) -> None:
        """Those that a plugin has asked to wait, or that failed for one, and those with a pass under way."""
        for key, run in self.runs.items():
            if run.aborts or run.requeue_at is not None or run.busy:
                self.wake(key)

    def hear_all(self, workflow: Workflow, node_ids: Iterable[str], result: Result) -> None:
        """What somebody says of leaves, perhaps once more, and keeps until that is taken up. What has ended has."""
        run = self.find(workflow)
        if run is None:
            return
        stopped, undo, nodes = self._stopped.get(workflow, ()), workflow.undo, workflow.nodes
        reports, told = run.record.reports, []
        for node_id in node_ids:
            node, said = undo[node_id] if node_id in undo else nodes.get(node_id), reports.get(node_id)
            is_open = node is not None and node.phase not in FULFILLED and (said is None or not said.ended)
            if is_open and node_id not in stopped:
                told.append(node_id)
        run.report(told, result, kept=True)
        self.wake(workflow.key)

    def note(self, run: Run, node_id: str, result: Result) -> None:
        """What became of a leaf, to be taken up by the next pass."""
        run.report((node_id,), result)
        self.wake(run.workflow.key)
