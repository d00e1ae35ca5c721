"""What is kept of one workflow from pass to pass.

What has to survive a crash is its document, its nodes and `WalkRecord`: a walk is built from these. The rest costs time
when it is gone: the walk, what plugins have answered, which of them there were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.graph.locks import Locks, Priority
from engine.graph.memo import Memos
from engine.graph.queueing import LockQueue
from engine.graph.record import WalkRecord
from engine.model.node import PENDING, RUNNING, Node
from engine.model.pace import Pace, Pieces
from engine.model.statistics import PASS_RESULTS, Counts
from engine.model.workflow import Workflow, has_ended
from engine.plugins import Caller, Jobs, Memory, Rooms
from engine.reconciling.ledger import Books, Ledger
from engine.reconciling.walking import Walk
from engine.shape import Document
from engine.storage.store import WorkflowStore
from engine.substitution.variables import parse_time
from engine.templates.catalog import Templates
from engine.templates.kinds import STARTED
from engine.templates.library import Library
from engine.templates.storing import library_of
from rpc.spans import Spans, no_spans
from rpc.stats import Histogram

if TYPE_CHECKING:
    from engine.recording.recorder import Recorder
    from engine.recording.recording import Recording
    from registry import Plugin, PluginConfig


WORKERS: Final = 128
"""How many nodes of one workflow are being visited at a time; how many calls travel is each plugin's own limit."""


class Surroundings:
    """What all workflows of an engine share: templates and ConfigMaps to refer to, locks and memos to contend for."""

    def __init__(
        self,
        templates: Templates,
        workers: int,
        max_nodes: int,
        store: WorkflowStore | None,
        span: Spans = no_spans,
        recorder: Recorder | None = None,
    ) -> None:
        self.span = span
        """Makes a span of what goes on; of nothing where nobody traces."""
        self.max_nodes = max_nodes
        self.templates = templates
        self.workers = workers
        self.locks = Locks()
        self.memos = Memos()
        self.rooms = Rooms()
        self.counts = Counts()
        self.passes = {result: Histogram() for result in PASS_RESULTS}
        """How long passes took, by what came of them."""
        self.pace = Pace()
        self.books = Books(store, self.counts, self.pace) if store is not None else None
        self.recorder = recorder
        self._digested: tuple[list[PluginConfig], str] = [], digest([])

    def digest(self, plugins: Sequence[Plugin]) -> str:
        """See `digest`: each workflow that was found asks. The plugins themselves, and their clients, are not kept."""
        configurations = [plugin.config for plugin in plugins]
        if configurations != self._digested[0]:
            self._digested = configurations, digest(configurations)
        return self._digested[1]


class Kept:
    """All that a pass over the workflow begins with, and may change only by committing."""

    def __init__(self, workflow: Workflow, surroundings: Surroundings, record: WalkRecord | None = None) -> None:
        self.workflow = workflow
        self.surroundings = surroundings
        restored = record is not None
        if record is None:
            record = found_record(workflow)
        self.record = record
        books = surroundings.books
        self.ledger = Ledger(books, workflow, record, written=restored) if books is not None else None
        """None without a store."""
        self.memory = Memory(surroundings.counts, surroundings.rooms)
        self.recording = _recording(surroundings.recorder, workflow)
        """What is told to a recorder; None where nobody wants to know."""
        self.jobs = Jobs(record.jobs)
        self.caller = Caller(self.memory, surroundings.counts, surroundings.pace, self.recording, self.jobs)
        self.plugins: Sequence[Plugin] | None = None if restored else ()
        """Those of the last pass that was committed, None where only the record knows."""
        self.walk: Walk | None = None
        self.changed: dict[str, Node | None] = {}
        """The nodes that the last committed pass has changed, as they were before it; None for those that are new."""
        self.locks = LockQueue(surroundings.locks, workflow.key, priority_of(workflow.document))
        if workflow.document["status"]:
            self.locks.load(*_locking(workflow))
        self.library: Library | None = None
        self.config_maps: Mapping[str, Document] = {}

    def look_up(self) -> Library:
        """The templates and ConfigMaps that the workflow may refer to: those of now until its first pass is committed,
        and from then on those that there were."""
        if self.library is None or not self.workflow.phase:
            templates, namespace = self.surroundings.templates, self.workflow.namespace
            self.library = library_of(self.workflow.document, templates.library(namespace))
            self.config_maps = templates.config_maps(namespace)
        return self.library

    def has_plugins(self, plugins: Sequence[Plugin]) -> bool:
        """Whether these are those of the last committed pass."""
        if self.plugins is None:
            return self.record.plugins == self.surroundings.digest(plugins)
        return self.plugins == plugins

    def staged(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with what only a commit knows."""
        return self.locks.saved(document, finished=has_ended(document))

    def write_down(self, document: Document) -> Pieces:
        """Get ready to commit: nobody but the next pass reads what is written here."""
        yield from self.jobs.commit(finished=has_ended(document))
        if self.walk is not None:
            yield from self.walk.graph.write_down()

    def commit(self, document: dict[str, Any]) -> None:
        """The workflow is this from now on, and the walk has got to where it is."""
        self.workflow.document = self.staged(document)
        self.memory.journal.clear()
        if self.walk is not None:
            self.changed = self.walk.graph.commit()
        self.workflow.undo = self.walk.graph.store.undo if self.walk is not None else {}
        if self.workflow.finished:
            self.locks.leave()

    def rollback(self, *, moved: bool) -> Pieces:
        """As if the pass had not been: nodes as they were, locks given back; a walk that it moved is made anew."""
        if self.walk is not None:
            yield from self.walk.graph.rollback()
            if moved:
                walk, self.walk = self.walk, None
                yield from walk.graph.used_up()


def found_record(workflow: Workflow) -> WalkRecord:
    """Of a workflow that was found somewhere, or begins."""
    nodes = workflow.nodes.items()
    return WalkRecord(presumed={key for key, node in nodes if node.phase == RUNNING and node.type in STARTED})


def _recording(recorder: Recorder | None, workflow: Workflow) -> Recording | None:
    if recorder is None:
        return None
    from engine.recording.recording import Recording  # most engines have no use for it

    return Recording(recorder, workflow)


def priority_of(document: Document) -> Priority:
    """Where a workflow stands among others that wait for what it waits for."""
    urgency, created = document["spec"].get("priority"), document["metadata"].get("creationTimestamp")
    return Priority(-urgency if isinstance(urgency, int) else 0, _moment(created) if created else "")


@lru_cache(maxsize=64)  # thousands may be made in one second
def _moment(created: str) -> str:
    return parse_time(created).isoformat()


def _locking(workflow: Workflow) -> tuple[Document, list[tuple[str, str]]]:
    """What a workflow that was found somewhere holds, by its holders' full names, and what it waits for."""
    found: Document = workflow.document["status"].get("synchronization") or {}
    kinds = {kind: found.get(kind) or {} for kind in ("mutex", "semaphore")}
    locking = workflow.nodes.values() if any(map(attrgetter("synchronization_status"), workflow.nodes.values())) else ()
    nodes = ((node, node.synchronization_status or {}) for node in locking if not node.fulfilled)
    waiting = [(node.id, status["waiting"]) for node, status in nodes if status.get("waiting")]
    waiting = [(key, name) for key, name in waiting if not _is_cut_off(workflow, key)]
    if workflow.phase == PENDING:
        waiting += [("", each[kind]) for kind, status in kinds.items() for each in status.get("waiting") or ()]
    whole = workflow.name if workflow.document["spec"].get("synchronization") else ""

    def full(holder: str) -> str:
        """Argo before 3.6 wrote the node's id alone, or the workflow's name (sync_manager.go, getUpgradedKey)."""
        return holder if "/" in holder else workflow.key if holder == whole else f"{workflow.key}/{holder}"

    mutexes = [{**each, "holder": full(each["holder"])} for each in kinds["mutex"].get("holding") or ()]
    semaphores = [
        {**each, "holders": [full(holder) for holder in each.get("holders") or ()]}
        for each in kinds["semaphore"].get("holding") or ()
    ]
    return {"mutex": {"holding": mutexes}, "semaphore": {"holding": semaphores}}, waiting


def _is_cut_off(workflow: Workflow, node_id: str) -> bool:
    """Whether steps or a DAG that the node is in are over: it stays as it was, and waits no more."""
    node = workflow.nodes.get(workflow.nodes[node_id].boundary_id)
    while node is not None and not node.fulfilled:
        node = workflow.nodes.get(node.boundary_id)
    return node is not None


def digest(configurations: Sequence[PluginConfig]) -> str:
    """By which the plugins of one process are told from those of another: a hash of all that is configured of them."""
    return hashlib.sha256(msgspec.json.encode(configurations, enc_hook=str)).hexdigest()
