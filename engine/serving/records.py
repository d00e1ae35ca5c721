"""The workflows that the API shows: those under way, which the engine has, and finished ones, which the store has."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Self
from weakref import WeakSet

from engine.model.clock import timestamp
from engine.model.large import is_large
from engine.model.workflow import Workflow
from engine.operations.errors import AlreadySubmitted
from engine.reconciler import Reconciler
from engine.reconciling.archive import Archive
from engine.reconciling.results import Commit
from engine.serving.errors import ApiError, Code, exists, not_found
from engine.serving.hub import Hub
from engine.serving.removal import Removals
from engine.serving.requests import Document
from engine.storage.store import Store, StoreError

WORKFLOWS: Final = "workflows.argoproj.io"

LATEST: Final = "@latest"
"""Instead of a name: the workflow of the namespace that was made last (Argo's alias)."""

RECENT_NODES: Final = 50_000
"""Nodes of finished workflows that are kept in memory, for whoever looks at what has just ended; some 50 MB."""

_LIFE: Final = ("Server", "", "life")
_SHIFT: Final = 32


class Record:
    """A workflow as the API knows it. ``document`` is all of it but its nodes; ``workflow`` is None once it is over."""

    __slots__ = ("created", "document", "large", "revision", "uid", "workflow")

    def __init__(self, uid: str, document: Document, created: int, workflow: Workflow | None = None) -> None:
        self.uid = uid
        self.document = document
        self.large = is_large(document)
        """Whether another thread is to write the document down."""
        self.created = self.revision = created
        self.workflow = workflow

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        metadata = self.document["metadata"]
        return metadata["namespace"], metadata["name"]

    @property
    def labels(self) -> dict[str, str]:
        """Those of its metadata."""
        labels: dict[str, str] = self.document["metadata"].get("labels") or {}
        return labels


class Records:
    """All workflows, followed from the time that this context manager is entered, which needs an engine entered before.

    Revisions, which tell watchers and clients what is newer, are counted here: in each life of the server from a number
    that no earlier life has reached. So what an earlier one has told is known to be too old, whatever was lost with it.
    """

    def __init__(self, engine: Reconciler, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._archive = Archive(store)
        self._names: dict[tuple[str, str], Record] = {}
        self._recent: OrderedDict[str, Workflow] = OrderedDict()
        self._recent_nodes = 0
        self.revision = self.began = 0
        self.hub: Hub[Record] = Hub(0)
        self._removals = Removals(engine, store)
        self._leaving = set[str]()
        """Those that are about to be deleted: nobody is to have them go on meanwhile."""
        self._refused: WeakSet[Workflow] = WeakSet()
        """Those that the store did not take: a pass over one may be under way, and be committed yet."""

    async def __aenter__(self) -> Self:
        await self._removals.go_on()
        found = await self._store.get(*_LIFE)
        life = (found.document["number"] if found is not None else 0) + 1
        await self._store.put(*_LIFE, {"number": life})
        self.revision = self.began = life << _SHIFT
        under_way = {workflow.uid: workflow for workflow in self._engine.workflows}
        async for document in self._archive.list(finished=None):
            uid = document["metadata"]["uid"]
            self._add(Record(uid, dict(document), self._next(), under_way.get(uid)))
        self.hub.forget(self.revision)
        self._engine.listeners.append(self._follow)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._engine.listeners.remove(self._follow)
        await self._removals.close()

    # What there is

    def find(self, namespace: str, name: str, uid: str = "") -> Record:
        """The workflow of that name, or `LATEST`; the one with that ``uid``, if given. Raises `ApiError`."""
        if name == LATEST:
            here = [each for each in self.hub.items.values() if each.key[0] == namespace]
            found = max(here, key=lambda each: each.created, default=None)
        elif uid:
            found = self.hub.items.get(uid)
            found = found if found is not None and found.key == (namespace, name) else None
        else:
            found = self._names.get((namespace, name))
        if found is None:
            raise not_found(WORKFLOWS, name)
        return found

    async def workflow(self, record: Record) -> Workflow:
        """The workflow with its nodes, from the store where it is over. Raises `ApiError` and `StoreError`."""
        found = record.workflow or self._recent.get(record.uid) or await self._archive.get(record.uid)
        if found is None:
            raise not_found(WORKFLOWS, record.key[1])
        return found

    def check(self, since: int) -> None:
        """Raises `ApiError` (410) for a revision from which nobody can watch: too old, or not told by this server."""
        if since > self.revision:
            raise ApiError(Code.OUT_OF_RANGE, f"resource version: {since} was never told by this server", status=410)
        self.hub.check(since)

    def shown(self, record: Record, document: Document | None = None) -> Document:
        """The document as clients see it, by default all but the nodes."""
        document = record.document if document is None else document
        return {**document, "metadata": {**document["metadata"], "resourceVersion": str(record.revision)}}

    # What becomes of it

    def check_name(self, workflow: Workflow) -> None:
        """Raises `ApiError` where there is one of that name, be it finished, as in Kubernetes."""
        if (workflow.namespace, workflow.name) in self._names:
            raise exists(WORKFLOWS, workflow.name)

    def stamp(self, workflow: Workflow) -> None:
        """Say when it was made."""
        metadata = {**workflow.document["metadata"], "creationTimestamp": timestamp(self._engine.clock())}
        workflow.document = {**workflow.document, "metadata": metadata}

    async def submit(self, workflow: Workflow) -> Record:
        """Take in a new workflow, and have it in the store. Raises `ApiError`, `OperationError` and `StoreError`."""
        record = self.begin(workflow)
        await self.kept(record, workflow)
        return record

    def begin(self, workflow: Workflow) -> Record:
        """Take in a new workflow; `kept` is to be awaited before anybody relies on it. Raises what `submit` does."""
        self.check_name(workflow)
        self.stamp(workflow)
        try:
            self._engine.submit(workflow)
        except AlreadySubmitted:
            raise exists(WORKFLOWS, workflow.name) from None
        return self._add(Record(workflow.uid, workflow.document, self._next(), workflow))

    async def kept(self, record: Record, workflow: Workflow) -> None:
        """Have a new workflow in the store. Raises `StoreError`: then there is none."""
        try:
            await self._engine.saved(workflow)
        except StoreError:
            if record.workflow is not None and self._is_there(record):  # else it would be lost with the process
                self._refused.add(workflow)
                self._engine.delete(workflow)
                self._remove(record)
            raise

    def check_there(self, record: Record) -> None:
        """Raises `ApiError` where a workflow that was found is deleted, or is about to be: nothing is done to it."""
        if not self._is_there(record):
            raise not_found(WORKFLOWS, record.key[1])

    def _is_there(self, record: Record) -> bool:
        return record.uid in self.hub.items and record.uid not in self._leaving

    async def delete(self, record: Record) -> None:
        """Stop what runs of it, and forget it, with all that it has left. Raises `StoreError`."""
        self._leaving.add(record.uid)
        try:
            await self._delete(record)
        finally:
            self._leaving.discard(record.uid)

    async def _delete(self, record: Record) -> None:
        await self._removals.begin(record.uid)
        if record.workflow is not None:
            await self._engine.delete(record.workflow)
        else:
            recent = self._recent.get(record.uid)
            if recent is not None:
                await self._engine.saved(recent)
            try:
                await self._archive.delete(record.uid)
            except StoreError:
                await self._removals.take_back(record.uid)
                raise
        if record.uid in self.hub.items:
            self._remove(record)
        self._removals.remove(record.uid)

    def _follow(self, commit: Commit) -> None:
        """The engine has changed a workflow."""
        workflow = commit.workflow
        record = self.hub.items.get(workflow.uid)
        if record is None:
            if workflow not in self._refused:
                self._add(Record(workflow.uid, workflow.document, self._next(), workflow))
            return
        if not commit.nodes and record.document is workflow.document:
            return
        if not record.large and not record.document["status"]:  # what it is made from is in its status from now on
            record.large = is_large(workflow.document)
        record.document = workflow.document
        record.revision = self._next()
        record.workflow = None if commit.finished else workflow
        self._forget_recent(record.uid)
        if commit.finished:
            self._keep_recent(workflow)
        self.hub.put(record)

    def _add(self, record: Record) -> Record:
        self._names[record.key] = record
        self.hub.put(record)
        return record

    def _remove(self, record: Record) -> None:
        if self._names.get(record.key) is record:
            del self._names[record.key]
        record.revision = self._next()
        self.hub.remove(record.uid, record.revision)
        self._forget_recent(record.uid)

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    # Those that have just ended

    def _keep_recent(self, workflow: Workflow) -> None:
        self._recent[workflow.uid] = workflow
        self._recent_nodes += len(workflow.nodes)
        while self._recent_nodes > RECENT_NODES:
            self._forget_recent(next(iter(self._recent)))

    def _forget_recent(self, uid: str) -> None:
        workflow = self._recent.pop(uid, None)
        if workflow is not None:
            self._recent_nodes -= len(workflow.nodes)
