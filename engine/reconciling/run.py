"""One workflow under reconciliation, as an engine sees it: passes over it, and what it wants in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from engine.executors.executor import Result
from engine.graph import Invocation
from engine.graph.record import WalkRecord
from engine.model.node import ERROR, PENDING
from engine.model.pace import Pieces, batched, in_order, used_up
from engine.model.status import finished, running
from engine.model.workflow import Workflow
from engine.operations import with_spec
from engine.plugins import Patience, Stopping, WorkflowHooks
from engine.reconciling.entries import LEAF, REPORT
from engine.reconciling.keeping import Kept, Surroundings
from engine.reconciling.ledger import Ledger
from engine.reconciling.pass_ import Pass, is_suspended, refuse_while_open
from engine.shape import Document
from engine.templates.template import Plain
from rpc.logs import Logger, get_logger

if TYPE_CHECKING:
    from engine.recording.recording import Recording
    from registry import Plugin


_log = get_logger(__name__)


class Run:
    """One workflow, for as long as an engine knows it."""

    def __init__(self, workflow: Workflow, surroundings: Surroundings, record: WalkRecord | None = None) -> None:
        self.workflow = workflow
        self.number = 0
        """That of the pass under way, or of the last one."""
        self._surroundings = surroundings
        self._given = record
        self._found: list[str] = []
        """Leaves that were handed to the executor of a process that is no more."""
        self.ledger: Ledger | None = None
        """What is written down of it; None without a store."""
        if record is not None or workflow.document["status"] or surroundings.books is not None:
            self._found, self.ledger = list(self.record.leaves), self._kept.ledger
        self._pass: Pass | None = None
        self.aborts = 0
        """Passes aborted one after the other, up to now."""
        self.cut_off = 0
        """Of those the last ones that ran out of time with nothing answered meanwhile."""
        self.abort_reason = ""
        self.backoff = 0.0
        """Seconds between the last of those and the next pass."""
        self.busy = False
        """Whether a pass is under way, up to the last of what follows from it."""
        self.overlooked = False
        """Whether another pass was wanted while one was under way that is not the loop's."""
        self.parting = ""
        """What it is dropped by, `forget` or `delete`, once it is."""
        self.waiting: dict[object, Callable[[], None]] = {}
        """Whoever waits for the workflow to be over, and how they are told; once."""

    # There may be thousands that wait for their first pass, of which little is to be had until then.

    @cached_property
    def _kept(self) -> Kept:
        return Kept(self.workflow, self._surroundings, self._given)

    @property
    def record(self) -> WalkRecord:
        """What a walk knows beyond the workflow's document and nodes."""
        return self._kept.record

    @property
    def recording(self) -> Recording | None:
        """What is told to a recorder of it; None where nobody wants to know."""
        return self._kept.recording

    @cached_property
    def parted(self) -> asyncio.Event:
        """Set once nothing of it is left here."""
        return asyncio.Event()

    @property
    def log(self) -> Logger:
        """For what is said of the pass under way, or of the last one."""
        log = _log.bind(workflow=self.workflow.key)
        return log.bind(pass_id=self.number) if self.number else log

    async def reconcile(
        self, plugins: Sequence[Plugin], now: float, patience: Patience
    ) -> asyncio.CancelledError | None:
        """Make one pass at `now` (seconds since the epoch).

        Raises `TransientError` where the pass is aborted: then the workflow is what it was before, to the byte.
        Returns a cancellation that came too late for that.
        """
        if self.workflow.finished:
            return None
        refuse_while_open(plugins)
        self._kept.memory.begin(plugins, now)
        if self.recording is not None:
            self.recording.begin(self.number)
        self._kept.caller.patience = patience
        self._pass = Pass(self._kept, plugins, now, lambda: self.log)
        try:
            return await self._pass.make(patience)
        finally:
            self._pass = None

    async def give_up(self, message: str, now: float, plugins: Sequence[Plugin]) -> asyncio.CancelledError | None:
        """The workflow cannot be reconciled: it is Error, and its nodes are as they were.

        Plugins are told where that can be done; returns a cancellation that came meanwhile.
        """
        document = finished(running(self.workflow.document, now), ERROR, message, now)
        kept, cancelled = self._kept, None
        stopping = Stopping(plugins, kept.caller, document, self.workflow.nodes, self.log, tolerant=True)
        try:
            await stopping.tell(lambda node_id: True)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception as error:
            self.log.warning("plugins were not told to stop", reason=str(error))
        for plugin in plugins:
            try:
                hooks = WorkflowHooks((plugin,), self._kept.caller)
                document = await hooks.post_operate(self.workflow.document, document, self.workflow.nodes)
            except asyncio.CancelledError as error:
                cancelled = error
            except Exception as error:  # it may be this plugin that is the reason
                self.log.warning("a plugin was not told of the end", plugin=plugin.name, reason=str(error))
        return await self._surroundings.pace.to_the_end(self._give_up(document)) or cancelled

    def _give_up(self, document: dict[str, Any]) -> Pieces:
        try:
            yield from self._kept.write_down(document)
            self._kept.commit(document)
        except Exception:  # what the walk would commit is what went wrong: without it then
            self._kept.walk = None
            self._kept.commit(document)
        if self.ledger is not None:
            self.ledger.say_all()

    # What is done from outside, between passes or while one is under way

    def amend(self, why: str = "", **fields: Any) -> None:
        """Change fields of the workflow's spec, None taking one away; a pass under way commits beneath that."""
        self.record.why = why or self.record.why
        if self._pass is not None:
            self._pass.amended |= fields
        self.workflow.document = with_spec(self.workflow.document, **fields)
        self.say()

    def report(self, node_ids: Collection[str], result: Result, *, kept: bool = False) -> None:
        """Leaves have something to say, all the same, which somebody else may have ``kept`` in case we lose it."""
        reports = self.record.reports
        for node_id in node_ids:
            reports[node_id] = result
        if self.ledger is not None:
            self.ledger.say(REPORT, node_ids, soon=not kept)

    def reported(self, node_id: str) -> Result | None:
        """What was reported of a leaf and no committed pass has taken up."""
        return self.record.reports.get(node_id)

    def has_ended(self, node_id: str) -> bool:
        """Whether the leaf's end was reported, and no committed pass has taken that up: there is nothing to stop."""
        result = self.reported(node_id)
        return result is not None and result.ended

    def drop(self, node_id: str) -> None:
        """The executor has nothing to do with that leaf any more."""
        self.record.leaves.discard(node_id)
        self.record.presumed.discard(node_id)
        self.say(node_id)

    def say(self, *leaves: str) -> None:
        """The document, or what is said of leaves, is to be written soon, where there is a store."""
        if self.ledger is not None:
            self.ledger.say(LEAF, leaves)

    def leave(self) -> None:
        """Give back all locks, and wait for none: between passes, by who knows the workflow no more."""
        self._kept.locks.leave()

    def tell_waiting(self) -> None:
        """The workflow is over, or will not be here."""
        waiting, self.waiting = self.waiting, {}
        for tell in waiting.values():
            tell()

    # What the engine asks between passes

    def take_starts(self) -> Iterator[list[Invocation]]:
        """The leaves to start now that the pass is committed, some at a time."""
        if self._kept.walk is None or self.workflow.finished:
            return
        graph, record = self._kept.walk.graph, self.record
        starts, graph.starts = graph.starts, []
        for some in batched(starts):
            due = list(filter(graph.is_open, some))
            node_ids = [each.node_id for each in due]
            record.leaves.update(node_ids)
            record.presumed.difference_update(node_ids)
            yield due
            for invocation in some:
                invocation.variables = None  # read from the node again where somebody asks

    def take_found(self) -> Iterator[Invocation | None]:
        """The leaves that were handed to an executor before the process began anew, and have not ended; None is a
        moment to rest."""
        walk = self._kept.walk
        if not self._found or walk is None or not walk.begun or self.workflow.finished:
            return
        found, self._found = self._found, []
        for node_id in (yield from in_order(found)):
            invocation = walk.graph.live.get(node_id)
            if (
                not self.has_ended(node_id)
                and node_id in self.record.leaves
                and invocation is not None
                and walk.graph.is_open(invocation)
            ):
                yield invocation

    def template_of(self, invocation: Invocation) -> Document:
        """The substituted template of a leaf; leaves that are alike share it. Raises `SubstitutionError`."""
        assert self._kept.walk is not None
        template, call = invocation.resolved, invocation.call
        if not template.text.tags:
            return template.as_json
        plain = call if type(call) is Plain and call.bound is not None and not invocation.extra else None
        if plain is not None and plain.document is not None:
            return plain.document
        document: Document = orjson.loads(self._kept.walk.graph.render(invocation))
        if plain is not None and plain.bound is not None and template.text.tags <= plain.bound[1].keys():
            plain.document = document
        return document

    def take_leaves(self) -> Generator[None, None, list[str]]:
        """The ids of all leaves that still run, to be stopped by who knows the workflow no more."""
        record = self.record
        due = [*record.leaves, *record.presumed]
        record.leaves, record.presumed = set(), set()
        return in_order(due)

    @property
    def changed(self) -> Collection[str]:
        """The nodes that the pass has made or changed that was just committed, until it is `over`."""
        return self._kept.changed

    def take_stops(self) -> Iterator[str | None]:
        """The ids of leaves to stop now that the pass is committed; all that still run once the workflow is over.

        None is a moment to rest. Each is remembered until the next is asked for.
        """
        record = self.record
        stops: list[str] = []
        if self._kept.walk is not None:
            stops, self._kept.walk.graph.stops = self._kept.walk.graph.stops, []
        if self.workflow.finished:
            stops = yield from in_order([*record.leaves, *record.presumed])
        for node_id in [*sorted(record.stopping), *stops]:
            if node_id in record.leaves or node_id in record.presumed:
                record.leaves.discard(node_id)
                record.presumed.discard(node_id)
                record.stopping.add(node_id)
            if node_id in record.stopping:
                if not self.has_ended(node_id):
                    yield node_id
                record.stopping.discard(node_id)
                self.say(node_id)
            yield None

    def over(self) -> Pieces:
        """All that a committed pass has brought with it is done."""
        yield from used_up(self._kept.changed)
        if self.workflow.finished and self._kept.walk is not None:
            yield from self._kept.walk.graph.store.settled()
            self._kept.walk = None

    @property
    def has_news(self) -> bool:
        """Whether leaves have reported something that the next pass would take up."""
        return bool(self.record.reports) and not is_suspended(self.workflow.document)

    @property
    def answers(self) -> int:
        """How often plugins were heard that had to be asked."""
        return self._kept.memory.heard

    @property
    def next_timer(self) -> float | None:
        """When the walk has something to do by itself (a suspend, a deadline, a retry), in seconds since the epoch."""
        if self._kept.walk is None or is_suspended(self.workflow.document):
            return None
        return self._kept.walk.graph.timers.next_due

    @property
    def requeue_at(self) -> float | None:
        """When a plugin wants to be asked again, in seconds since the epoch."""
        if self._kept.walk is None or is_suspended(self.workflow.document):
            return None
        wishes = [each.requeue_at for each in self._kept.walk.graph.live.values() if each.requeue_at is not None]
        return min(wishes, default=None)

    @property
    def unwritten(self) -> str:
        """Why what was said of it could not be written, empty where it could."""
        return self.ledger.error if self.ledger is not None else ""

    def waiting_for(self) -> str:
        """What an unfinished workflow waits for, in words."""
        asked = self._kept.caller.patience.asked if self.busy else ""
        if asked:
            return f"plugin {asked!r} to answer"
        if self.aborts:
            return f"{self.abort_reason} (backoff of {self.backoff:g}s)"
        if self.unwritten:
            return self.unwritten
        if is_suspended(self.workflow.document):
            return "the workflow is suspended"
        if self.workflow.phase == PENDING:
            return self.workflow.message or "a lock"
        return (self._kept.walk.waiting_for() if self._kept.walk is not None else "") or "nothing was started"
