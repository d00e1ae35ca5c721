"""The driver of a fleet: it has all that counts, does what shards say in the order in which they say it, and acts.

A change that a shard mails is written to the store; once it is durable the workflow's owner sees it, and its leaves are
started and stopped. While the store does not take it nothing is done of what the same shard has said behind it. A
workflow goes to a shard as the store has it, be it new, of a shard that is gone, or of an earlier process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from msgspec import json
from msgspec.structs import replace

from engine.cluster.asking import Asked, Asking
from engine.cluster.custody import Custody
from engine.cluster.figures import Gathered
from engine.cluster.following import changed_nodes
from engine.cluster.holding import Held
from engine.cluster.journal import Journal
from engine.cluster.mail import (
    Committed,
    Done,
    Kept,
    MadeUp,
    News,
    Start,
    State,
    Stop,
    Template,
    Up,
    of_kind,
)
from engine.cluster.outbox import TEMPLATES
from engine.cluster.placing import Placing
from engine.cluster.shards import Line, Lines
from engine.cluster.watching import Watchers
from engine.cluster.writing import Writing
from engine.executors.executor import Adopting, Executor, Result
from engine.executors.simulated import SimulatedExecutor
from engine.graph.record import WalkRecord
from engine.model.node import Node
from engine.model.pace import FEW, Pace, Pieces
from engine.model.statistics import Counts, EngineStats
from engine.model.workflow import Workflow
from engine.operations.errors import UnknownWorkflow
from engine.reconciling.entries import MARKS, Marks
from engine.reconciling.results import Commit
from engine.reconciling.starting import failed, started, stop
from engine.storage.store import StoreError
from engine.templates.catalog import Templates
from rpc.logs import get_logger

_log = get_logger(__name__)


class Driver:
    """All but who waits for what: `news` is called whenever something may be over."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        templates: Templates,
        limit: int | None,
        *,
        news: Callable[[], None],
        watchers: Watchers,
    ) -> None:
        self.custody = Custody()
        self.gathered = Gathered()
        self.writing = Writing(journal)
        self._asking = Asking()
        self._placing = Placing(limit, self.custody, self.writing, self._asking, templates, self._heard, news)
        self.roster = self._placing.roster
        self.lines: Lines
        self._started = 0
        """How often the executor was given a leaf to start."""
        self._counts = Counts()
        """Of workflows that are over: a shard that is killed takes those with it that it has not told of."""
        self._executor = executor
        self._adopting = executor if isinstance(executor, Adopting) else None
        self._news = news
        self._watchers = watchers
        self._pace = Pace()
        self._last: dict[str, list[str]] = {}
        """By uid the nodes that the last pass has changed, of workflows that have leaves to be stopped yet."""

    @property
    def given_up(self) -> Exception | None:
        """Why nothing more is done: the store was given up, or this has a mistake."""
        return self._asking.given_up

    @property
    def stats(self) -> EngineStats:
        """Those of all shards, with what the driver knows better."""
        stats, over = self.gathered.stats, self._counts
        simulated = isinstance(self._executor, SimulatedExecutor)
        return replace(
            stats,
            workflows_finished=over.workflows_finished,
            workflows_succeeded=over.workflows_succeeded,
            workflows_failed=over.workflows_failed,
            workflows_in_error=over.workflows_in_error,
            writes=self.writing.writes,
            writes_failed=self.writing.failures,
            leaves_started=stats.leaves_started if simulated else self._started,
            workflows=len(self.roster.runs),
        )

    # Workflows

    def attach(self, lines: Lines) -> None:
        """These are the shards."""
        self.lines = self._placing.lines = lines

    def restored(self, workflow: Workflow, record: WalkRecord) -> None:
        """The store had it when it was opened."""
        self._placing.restored(workflow, record)

    def forget(self, held: Held) -> Coroutine[Any, Any, None]:
        """Know a workflow no more, at once. What is returned is to be awaited by somebody: then nothing is left."""
        workflow = held.workflow
        line = self.lines.get(self.custody.holder(workflow.uid))
        self._leave(held, parting=True)
        self._news()
        self.custody.forget(workflow.uid)
        self._last.pop(workflow.uid, None)
        left = Asked.of("forget", {})
        if line is None:
            left.answer.set_result(None)
        else:
            self._asking.ask(line, workflow.uid, left)

        async def forgotten() -> None:
            with suppress(UnknownWorkflow):  # its last pass was committed there meanwhile
                await left.answer
            await self.writing.delete(workflow.uid)
            self.roster.parted(workflow)

        return forgotten()

    def stop_all(self, held: Held) -> None:
        """Have all leaves of a workflow stopped."""
        for node_id in self.custody.running(held.workflow.uid):
            if (node := held.workflow.nodes.get(node_id)) is not None:
                self.stop(held.workflow, node)

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Have a leaf stopped."""
        self.roster.stopped(workflow, node.id)
        stop(self._executor, workflow, node, _log.bind(workflow=workflow.key))

    def _leave(self, held: Held, *, parting: bool = False) -> None:
        self._placing.left(held)
        self.roster.drop(held, parting=parting)
        for each in held.asked:
            each.answer.set_exception(_unknown(held))

    # Where they are

    async def place(self) -> None:
        """Have workflows be where they are to be, until cancelled, or all is given up."""
        try:
            await self._placing.place()
        except Exception as error:
            self._give_up(error)

    def joined(self, line: Line) -> None:
        """A shard is there."""
        self._placing.joined(line.number)
        line.seeing = asyncio.create_task(self._see_to(line), name=f"see to shard {line.number}")

    async def gone(self, line: Line) -> None:
        """A shard is no more: once all is done that it has said, its workflows are others'."""
        line.news.set()
        if line.seeing is not None:
            await asyncio.wait((line.seeing,))
        self.custody.gone(line.epoch)
        self._placing.gone(line.number)
        self.gathered.gone(line.number)
        for uid, asked in self._asking.gone(line.epoch):
            held = self.roster.by_uid(uid)
            if held is not None:
                held.asked.append(asked)
            elif not asked.answer.done():
                asked.answer.set_result(None)
        self._news()

    # What is asked of them

    def ask(self, held: Held, name: str, arguments: Mapping[str, Any]) -> asyncio.Future[Any]:
        """Have a shard do something with a workflow: what it says, once what that has changed is durable."""
        asked = Asked.of(name, arguments)
        if self.roster.by_uid(held.workflow.uid) is not held:  # whoever asks has waited for something meanwhile
            asked.answer.set_exception(_unknown(held))
            return asked.answer
        held.said = True
        line = self.lines.get(self.custody.holder(held.workflow.uid))
        if line is not None:
            self._asking.ask(line, held.workflow.uid, asked)
        elif self.given_up is not None:
            asked.answer.set_exception(self.given_up)
        else:
            held.asked.append(asked)
        return asked.answer

    def ask_shard(self, line: Line, name: str, arguments: Mapping[str, Any]) -> asyncio.Future[Any]:
        """Have a shard do something; None where it is gone before it has."""
        asked = Asked.of(name, arguments)
        self._asking.ask(line, "", asked)
        return asked.answer

    async def saved(self, held: Held) -> None:
        """Wait until the store has what was said of a workflow by now. Raises `StoreError` where it fails."""
        await self.writing.unless_failing(held.written)
        if held.said:
            with suppress(UnknownWorkflow):  # it is over by now, which the store has
                await self.writing.unless_failing(self.ask(held, "saved", {}))

    async def ask_why(self, some: list[Held]) -> None:
        """Have it known why workflows do not go on."""
        by_line: dict[int, list[str]] = {}
        for held in some:
            by_line.setdefault(self.custody.holder(held.workflow.uid), []).append(held.workflow.uid)
        asked = [
            self.ask_shard(line, "waiting_for", {"uids": uids})
            for epoch, uids in by_line.items()
            if (line := self.lines.get(epoch)) is not None
        ]
        for answer in asked:
            for uid, why in (await answer or {}).items():
                if (known := self.roster.by_uid(uid)) is not None:
                    known.why = why

    async def ask_all(self, name: str) -> None:
        """Have all shards do something."""
        for answer in [self.ask_shard(line, name, {}) for line in self.lines]:
            await answer

    def _heard(self, epoch: int, uid: str, node_ids: list[str], result: Result) -> None:
        if (line := self.lines.get(epoch)) is not None:
            line.report(uid, node_ids, result)

    # What they say

    async def _see_to(self, line: Line) -> None:
        """Do what a shard says, in the order in which it says it; nothing any more once all is given up."""
        try:
            await self._do_what_comes(line)
        except Exception as error:
            self._give_up(error)
        except asyncio.CancelledError:  # the event loop is torn down, with whoever waits for an answer
            self._give_up(StoreError("the driver was ended"))
            raise

    def _give_up(self, error: Exception) -> None:
        """The store has not taken something, and will not be asked again, or a mistake was made, behind which nothing
        is known for sure but what the store has: whoever waits is told."""
        if not isinstance(error, StoreError):
            _log.error("the fleet cannot go on", exc_info=error)
        self._asking.give_up(error)
        for held in self.roster.runs.values():
            asked, held.asked = held.asked, []
            for each in asked:
                each.answer.set_exception(error)
        self._news()

    async def _do_what_comes(self, line: Line) -> None:
        while line.came or not line.is_gone:
            if not line.came:
                line.news.clear()
                await line.news.wait()
                continue
            line.is_busy = True
            items = line.take()
            changes = [item for item in items if isinstance(item, Committed)]
            if changes:
                await self.writing.write(changes, lambda uid: self.custody.has(uid, line.epoch))
            await self._pace.through(self._do_all(line, items))
            line.done += len(items)
            if line.mailbox.waiting or (line.state is not None and line.state.held_up):
                line.put(Kept(line.done))
            line.is_busy = False
            self._news()

    def _do_all(self, line: Line, items: Collection[Up]) -> Pieces:
        for number, item in enumerate(items):
            self._do(line, item)
            if not number % FEW:
                yield
        self._tell(line)

    def _do(self, line: Line, item: Up) -> None:
        match item:
            case Committed():
                self._tell(line)
                self._committed(line, item)
            case Start():
                self._start(line, item)
            case Stop():
                held = self.roster.by_uid(item.uid)
                if self.custody.stop(item.uid, line.epoch, item.node_id) and held is not None:
                    self.stop(held.workflow, held.workflow.nodes[item.node_id])
            case Template():
                line.templates[item.number] = item.document
                if len(line.templates) > TEMPLATES:
                    del line.templates[next(iter(line.templates))]
            case State():
                line.state = item
            case Done():
                self._asking.answered(item)
            case News():
                self.gathered.take(line.number, item)
            case MadeUp():
                if isinstance(self._executor, SimulatedExecutor):
                    self._executor.made_up.update(item.outputs)
            case _:
                try:
                    self._watchers.see(item, line.number)
                except Exception:
                    _log.exception("an observer failed")

    def _committed(self, line: Line, change: Committed) -> None:
        uid = change.head.uid
        if not self.custody.has(uid, line.epoch):
            return
        self.custody.committed(change)
        held = self.roster.by_uid(uid)
        if held is None:
            return
        workflow = held.workflow
        seen = held.following.follow(change)
        if isinstance(self._executor, SimulatedExecutor) and MARKS in change.put:
            at: float | None = json.decode(of_kind(change.put, MARKS)[""], type=Marks)[0]
            if at is not None:
                self._executor.clock.jump(at)  # the shard's was set forward
        if change.head.finished:
            self._counts.finish(workflow.phase)
            self._leave(held)
        if not self.roster.listeners:
            return
        changed = changed_nodes(change)
        if change.head.finished:
            line.untold.append(Commit(workflow, [*self._last.pop(uid, ()), *changed]))
        elif workflow.finished:
            self._last.setdefault(uid, []).extend(changed)
        elif seen:
            line.untold.append(Commit(workflow, changed))

    def _tell(self, line: Line) -> None:
        untold, line.untold = line.untold, []
        for commit in untold:
            self.roster.tell(commit)

    def _start(self, line: Line, item: Start) -> None:
        """Start leaves, unless they were started before; those of an earlier process may be adopted."""
        uid, held = item.uid, self.roster.by_uid(item.uid)
        if held is None:
            return
        workflow, template, adopting = held.workflow, line.templates[item.template], self._adopting
        starting, executor = held.following.starting, self._executor
        self.roster.started(workflow, *item.node_ids)
        for node_id, found in self.custody.start(uid, line.epoch, item.node_ids):
            node = starting.get(node_id) or workflow.nodes[node_id]
            try:
                if found and adopting is not None and adopting.adopt(workflow, template, node):
                    continue
                self._started += 1
                result = started(executor, workflow, template, node)
            except Exception as error:
                result = failed(error, node, _log.bind(workflow=workflow.key))
            if result is not None:
                self.roster.note_all(held, [node_id], result)

    @property
    def is_done(self) -> bool:
        """Whether all is done that was said, by shards and to them."""
        return self._placing.is_done and all(line.is_done for line in self.lines)

    @property
    def is_still(self) -> bool:
        """Whether nothing more comes of itself, but for what the executor has yet to report: where no shard is there,
        the next one may be."""
        states = [line.state for line in self.lines]
        return self.is_done and bool(states) and all(state is not None and state.still for state in states)


def _unknown(held: Held) -> UnknownWorkflow:
    return UnknownWorkflow(f"{held.workflow.key}: it is finished, or gone")
