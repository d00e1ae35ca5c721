"""Documents that clients keep here, by kind: WorkflowTemplates, ClusterWorkflowTemplates and CronWorkflows.

They are in the store before anybody is told so, and in memory, where they are looked at.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from engine.model.clock import timestamp
from engine.model.naming import InvalidName, check_name, generated_name
from engine.serving.admission import anew
from engine.serving.errors import ApiError, Code, exists, invalid, not_found
from engine.serving.requests import Document
from engine.storage.store import Item, Store
from engine.templates.catalog import CLUSTER_WORKFLOW_TEMPLATE, WORKFLOW_TEMPLATE

Key = tuple[str, str]
"""Namespace, empty for what has none, and name."""

CRON_WORKFLOW: Final = "CronWorkflow"


class Kind(NamedTuple):
    """One kind: what it is called in a document, in errors, and in the bodies of requests."""

    name: str
    field: str
    namespaced: bool = True
    status: bool = False
    """Whether it has a status, which is the server's to say."""

    @property
    def plural(self) -> str:
        """As Kubernetes names it in errors."""
        return f"{self.name.lower()}s.argoproj.io"


KINDS: Final = (
    Kind(WORKFLOW_TEMPLATE, "template"),
    Kind(CLUSTER_WORKFLOW_TEMPLATE, "template", namespaced=False),
    Kind(CRON_WORKFLOW, "cronWorkflow", status=True),
)


class Shelf:
    """The documents of one kind. They are not to be changed in place."""

    def __init__(self, kind: Kind, store: Store, clock: Callable[[], float]) -> None:
        self.kind = kind
        self._store = store
        self._clock = clock
        self._documents: dict[Key, Document] = {}
        self._lock = asyncio.Lock()
        self.listeners: list[Callable[[Key, Document | None], None]] = []
        """Whom to tell of each change, once it is made; of a deletion with None."""

    async def load(self) -> None:
        """Take up what the store has. Raises `StoreError`."""
        for item in await self._store.items(self.kind.name):
            self._keep(_shown(item))

    def find(self, key: Key) -> Document | None:
        """One document, None where there is none."""
        return self._documents.get(key)

    def get(self, key: Key) -> Document:
        """One document. Raises `ApiError` where there is none."""
        found = self._documents.get(key)
        if found is None:
            raise not_found(self.kind.plural, key[1])
        return found

    def all(self, namespace: str = "") -> list[Document]:
        """The documents of a namespace, or of all, by namespace and name."""
        return [self._documents[key] for key in sorted(self._documents) if namespace in ("", key[0])]

    @property
    def revision(self) -> str:
        """That of the store."""
        return str(self._store.revision)

    async def create(self, document: Mapping[str, Any]) -> Document:
        """Keep a new one. Raises `ApiError` and `StoreError`."""
        async with self._lock:
            made = self.made(document)
            if self.key(made) in self._documents:
                raise exists(self.kind.plural, made["metadata"]["name"])
            return await self._put(made)

    def made(self, document: Mapping[str, Any]) -> Document:
        """A new one as it would be kept. Raises `ApiError`."""
        document = anew(dict(document))
        metadata = document["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = generated_name(metadata["generateName"])
        self._check_name(metadata.get("name") or "")
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp(self._clock()), "generation": 1}
        return {**document, "metadata": metadata} | ({"status": {}} if self.kind.status else {})

    async def update(self, document: Mapping[str, Any]) -> Document:
        """Put one in the place of that of its name: the one whose ``resourceVersion`` it has, if it has one.

        Raises `ApiError` and `StoreError`.
        """
        async with self._lock:
            return await self._put(self.updated(document))

    def updated(self, document: Mapping[str, Any]) -> Document:
        """What would be kept in place of the one of that name. Raises `ApiError`."""
        given = document["metadata"]
        found = self.get(self.key(document))
        own = found["metadata"]
        for field in ("uid", "resourceVersion"):
            if given.get(field) and given[field] != own[field]:
                raise ApiError(
                    Code.ALREADY_EXISTS,
                    f'Operation cannot be fulfilled on {self.kind.plural} "{own["name"]}":'
                    " the object has been modified; please apply your changes to the latest version and try again"
                    f" (expected {field} {own[field]!r}, got {given[field]!r})",
                )
        changed = document.get("spec") != found.get("spec")
        metadata = {**given, **{field: own[field] for field in ("uid", "creationTimestamp")}}
        metadata["generation"] = own["generation"] + changed
        return {**document, "metadata": metadata} | ({"status": found["status"]} if self.kind.status else {})

    async def apply(self, document: Mapping[str, Any]) -> None:
        """Create it, or have the one of its name be like it, with the labels and annotations of both.

        Raises `ApiError` and `StoreError`.
        """
        found = self.find(self.key(document))
        if found is None:
            await self.create(document)
            return
        given, own = document["metadata"], found["metadata"]
        marks = {field: {**(own.get(field) or {}), **(given.get(field) or {})} for field in ("labels", "annotations")}
        changed = any(document[field] != found.get(field) for field in document if field not in ("metadata", "status"))
        if changed or any(marks[field] != (own.get(field) or {}) for field in marks):
            await self.update({**document, "metadata": {**given, **marks}})

    async def patch(self, key: Key, change: Callable[[Document], Document]) -> Document | None:
        """Change one as it is by now, None where there is none. Raises `StoreError`, and what `change` does."""
        async with self._lock:
            found = self._documents.get(key)
            if found is None:
                return None
            changed = change(found)
            if changed is found:
                return found
            if changed.get("spec") != found.get("spec"):
                generation = found["metadata"]["generation"] + 1
                changed = {**changed, "metadata": {**changed["metadata"], "generation": generation}}
            return await self._put(changed)

    async def delete(self, key: Key, wanted: Callable[[Document], bool]) -> None:
        """Forget one, if that is ``wanted`` of it as it is by now. Raises `ApiError` where there is none, `StoreError`,
        and what `wanted` does."""
        async with self._lock:
            if not wanted(self.get(key)):
                return
            await self._store.remove(self.kind.name, *key)
            del self._documents[key]
        self._tell(key, None)

    async def _put(self, document: Document) -> Document:
        key = self.key(document)
        metadata = {name: value for name, value in document["metadata"].items() if name != "resourceVersion"}
        document = {**document, "metadata": metadata}
        revision = await self._store.put(self.kind.name, *key, document)
        return self._keep(_shown(Item(self.kind.name, *key, document, revision)))

    def _keep(self, document: Document) -> Document:
        key = self.key(document)
        self._documents[key] = document
        self._tell(key, document)
        return document

    def _tell(self, key: Key, document: Document | None) -> None:
        for listener in list(self.listeners):
            listener(key, document)

    def key(self, document: Mapping[str, Any]) -> Key:
        """Of a document that has a name."""
        metadata = document["metadata"]
        return metadata["namespace"] if self.kind.namespaced else "", metadata["name"]

    def _check_name(self, name: str) -> None:
        try:
            check_name(name)
        except InvalidName as error:
            raise invalid(f"{self.kind.field}.metadata.name: {error}") from None


def _shown(item: Item) -> Document:
    metadata = {**item.document["metadata"], "resourceVersion": str(item.revision)}
    return {**item.document, "metadata": metadata}
