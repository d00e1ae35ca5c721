"""The operations on documents that are kept here: made, shown, listed, changed, looked at and deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from engine.serving.admission import check_path_namespace, manifest_of
from engine.serving.answers import answer_document, answer_json
from engine.serving.errors import invalid
from engine.serving.guard import Handler
from engine.serving.requests import Body, CreateOptions, Document, list_options, read_body, revision_of, wants_deletion
from engine.serving.selectors import field_selector, label_selector
from engine.serving.shelf import Key, Shelf

Check = Callable[[Document], Awaitable[None]]
"""Raises `ApiError` for a document that Argo's server refuses."""

_FIELDS: Final = ("metadata.name", "metadata.namespace")


class DocumentBody(Body):
    """Argo's requests to create, update or lint one: the field is another one for each kind."""

    template: Document | None = None
    cron_workflow: Document | None = None
    create_options: CreateOptions | None = None


class Catalog:
    """The operations on one kind."""

    def __init__(self, shelf: Shelf, check: Check) -> None:
        self._shelf = shelf
        self._check = check

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        name = self._shelf.kind.name
        return {
            f"{name}Service_Create{name}": self.create,
            f"{name}Service_Lint{name}": self.lint,
            f"{name}Service_Get{name}": self.get,
            f"{name}Service_List{name}s": self.list,
            f"{name}Service_Update{name}": self.update,
            f"{name}Service_Delete{name}": self.delete,
        }

    async def create(self, request: web.Request) -> web.Response:
        """Keep a new one; with ``createOptions.dryRun`` it is only answered as it would be."""
        body, document = await self._read(request)
        made = self._shelf.made(document)
        await self._check(made)
        if body.create_options is not None and body.create_options.dry_run:
            return await answer_document(made)
        return await answer_document(await self._shelf.create(document))

    async def lint(self, request: web.Request) -> web.Response:
        """Refuse what Argo's lint refuses; else it is answered as it came."""
        _, document = await self._read(request)
        await self._check(self._shelf.made(document))
        return await answer_document(document)

    async def get(self, request: web.Request) -> web.Response:
        """One of them, as it is now."""
        revision_of(request, "getOptions")
        return await answer_document(self._shelf.get(self._key(request)))

    async def list(self, request: web.Request) -> web.Response:
        """A page of those of a namespace, or of all where that is empty, by namespace and name."""
        options, query, namespace = list_options(request), request.query, request.match_info.get("namespace", "")
        check_path_namespace(namespace, all_will_do=True)
        labels, fields = label_selector(options.labels), field_selector(options.fields, _FIELDS)
        after, pattern = _position(options.token), query.get("namePattern", "")

        def selected(document: Document) -> bool:
            metadata = document["metadata"]
            named = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
            return (
                pattern in metadata["name"]
                and labels(metadata.get("labels") or {})
                and fields(named)
                and (after is None or self._shelf.key(document) > after)
            )

        found = [each for each in self._shelf.all(namespace) if selected(each)]
        about: Document = {"resourceVersion": self._shelf.revision}
        if options.limit and len(found) > options.limit:
            left, found = len(found) - options.limit, found[: options.limit]
            last = "/".join(self._shelf.key(found[-1]))
            about |= {"continue": last, "remainingItemCount": left}
        kind = f"{self._shelf.kind.name}List"
        return await answer_document(
            {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": about, "items": found}
        )

    async def update(self, request: web.Request) -> web.Response:
        """Put another one in its place, unless it has changed since the ``resourceVersion`` that is given."""
        key = self._key(request)
        _, document = await self._read(request)
        metadata = document["metadata"]
        if metadata.get("name") not in (None, "", key[1]):
            raise invalid(f"the name of the object ({metadata['name']}) does not match the name on the URL ({key[1]})")
        document = {**document, "metadata": {**metadata, "name": key[1]}}
        await self._check(self._shelf.updated(document))
        return await answer_document(await self._shelf.update(document))

    async def delete(self, request: web.Request) -> web.Response:
        """Forget one. What was made from it goes on."""

        def wanted(document: Document) -> bool:
            own = document["metadata"]
            return wants_deletion(request, own["uid"], own["resourceVersion"])

        await self._shelf.delete(self._key(request), wanted)
        return answer_json({})

    def _key(self, request: web.Request) -> Key:
        return request.match_info.get("namespace", ""), request.match_info["name"]

    async def _read(self, request: web.Request) -> tuple[DocumentBody, Document]:
        kind, namespace = self._shelf.kind, request.match_info.get("namespace", "")
        if kind.namespaced:
            check_path_namespace(namespace)
        body = await read_body(request, DocumentBody)
        given = body.template if kind.field == "template" else body.cron_workflow
        document = manifest_of(given, kind.field, namespace, kind.name)
        return body, {field: value for field, value in document.items() if field != "status"}  # that is the server's


class Suspension:
    """CronWorkflows are suspended and resumed besides."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "CronWorkflowService_SuspendCronWorkflow": self.suspend,
            "CronWorkflowService_ResumeCronWorkflow": self.resume,
        }

    async def suspend(self, request: web.Request) -> web.Response:
        """Have it make no workflows until it is resumed."""
        return await self._set(request, suspend=True)

    async def resume(self, request: web.Request) -> web.Response:
        """Have it make workflows again."""
        return await self._set(request, suspend=False)

    async def _set(self, request: web.Request, *, suspend: bool) -> web.Response:
        await read_body(request, Body)
        key = request.match_info["namespace"], request.match_info["name"]
        self._shelf.get(key)

        def change(document: Document) -> Document:
            return {**document, "spec": {**document["spec"], "suspend": suspend}}

        return await answer_document(await self._shelf.patch(key, change) or self._shelf.get(key))


def _position(token: str) -> Key | None:
    if not token:
        return None
    namespace, slash, name = token.partition("/")
    if not slash or "/" in name:
        raise invalid(f"listOptions.continue: expected what a list has told as metadata.continue, got {token!r}")
    return namespace, name
