"""All that clients keep here: the shelves of each kind, loaded from the store, and what is let on to them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, Self

from engine.reconciler import Reconciler
from engine.serving import cron
from engine.serving.admission import admitted, check_fields, looked_at
from engine.serving.catalog import Catalog, Suspension
from engine.serving.cron import InvalidCron
from engine.serving.errors import ApiError, Code, invalid
from engine.serving.firing import Firing
from engine.serving.guard import Handler
from engine.serving.records import Records
from engine.serving.requests import Document
from engine.serving.shelf import CRON_WORKFLOW, KINDS, Key, Shelf
from engine.shape import WrongType, check_shape
from engine.storage.store import Store
from engine.templates.catalog import CLUSTER_WORKFLOW_TEMPLATE, WORKFLOW_TEMPLATE
from engine.templates.library import Library
from engine.templates.specification import InvalidSpec, UnknownTemplate, spec_in_force
from engine.validation import validate_template

_TEMPLATES: Final = (WORKFLOW_TEMPLATE, CLUSTER_WORKFLOW_TEMPLATE)


class Shelves:
    """By kind; an async context manager. Templates that are on them are among the engine's, too."""

    def __init__(self, engine: Reconciler, store: Store) -> None:
        self._engine = engine
        self._templates = engine.templates
        self.of = {kind.name: Shelf(kind, store, engine.clock) for kind in KINDS}
        for kind in _TEMPLATES:
            self.of[kind].listeners.append(partial(self._hand_on, kind))

    async def __aenter__(self) -> Self:
        """Take up what the store has. Raises `StoreError`."""
        for shelf in self.of.values():
            await shelf.load()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left to be written."""

    def firing(self, records: Records) -> AbstractAsyncContextManager[Firing]:
        """While that is entered, the CronWorkflows among them fire."""
        admit = partial(admitted, templates=self._templates)
        return Firing(self._engine, records, self.of[CRON_WORKFLOW], admit).going_on()

    async def apply(self, document: Document) -> None:
        """Have the one of its kind and name be like this one. Raises `ApiError` and `StoreError`."""
        shelf = self.of[document["kind"]]
        await self.check(shelf.made(document))
        await shelf.apply(document)

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        found = dict(Suspension(self.of[CRON_WORKFLOW]).handlers())
        for shelf in self.of.values():
            found |= Catalog(shelf, self.check).handlers()
        return found

    async def check(self, document: Document) -> None:
        """Raise `ApiError` for what Argo's server refuses, with its reason."""
        if document["kind"] == CRON_WORKFLOW:
            await looked_at(document, partial(check_fields, document))
            await self._check_cron(document)
        else:
            library = self._templates.library(document["metadata"].get("namespace", ""))
            await looked_at(document, partial(_check_template, document, library), large=library.large)

    async def _check_cron(self, document: Document) -> None:
        try:
            cron.check(cron.read(document))
        except InvalidCron as error:
            raise invalid(str(error)) from None
        try:
            await admitted(cron.workflow_of(document, 0), self._templates)
        except ApiError as error:
            raise ApiError(error.code, f"cannot validate Workflow: {error}") from None

    def _hand_on(self, kind: str, key: Key, document: Document | None) -> None:
        if document is not None:
            self._templates.put_checked(document)
        elif self._templates.get(kind, key[1], namespace=key[0]) is not None:
            self._templates.remove(kind, key[1], namespace=key[0])


def _check_template(document: Document, library: Library) -> None:
    check_fields(document)
    try:
        check_shape(document)
        if document.get("spec") is None:
            raise InvalidSpec("spec: expected a mapping, got nothing")
        validate_template(document, library.local(spec_in_force(document, library)))
    except (WrongType, InvalidSpec) as error:
        raise invalid(str(error)) from None
    except UnknownTemplate as error:
        raise ApiError(Code.NOT_FOUND, str(error)) from None
