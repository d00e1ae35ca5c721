"""Workflows made, shown, listed, watched, looked at and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from engine.model.workflow import Workflow
from engine.reconciler import Reconciler
from engine.serving.admission import admitted, anew, check_path_namespace, manifest_of
from engine.serving.answers import answer, answer_document, answer_json
from engine.serving.errors import ApiError
from engine.serving.fields import ALL, NODES, Fields, fields_of
from engine.serving.guard import Handler
from engine.serving.listing import Selected, name_of, page, selected
from engine.serving.records import LATEST, Record, Records
from engine.serving.requests import (
    PACE,
    Body,
    CreateOptions,
    Document,
    flag,
    list_options,
    read_body,
    revision_of,
    wants_deletion,
)
from engine.serving.streams import stream

FEW: Final = 256
"""Nodes that are encoded in one turn of the event loop."""

TOGETHER: Final = 64 * 1024
"""Bytes of events behind which those are sent, and others later."""

REST: Final = 0.01
"""Seconds between two looks of a watcher for each workflow that it had to be told of. A workflow has a state for each
of its passes, and each that is told has to be encoded: so it is told of one that goes on alone as it goes, and where
many do at a time of what some of those states have come to."""

LONGEST_REST: Final = 0.1
"""Seconds between two looks at most."""


class CreateBody(Body):
    """Argo's WorkflowCreateRequest, and its WorkflowLintRequest."""

    workflow: Document | None = None
    server_dry_run: bool = False
    create_options: CreateOptions | None = None


class Workflows:
    """The operations on workflows that change none, but make and delete them."""

    def __init__(self, engine: Reconciler, records: Records) -> None:
        self._engine = engine
        self._records = records

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "WorkflowService_CreateWorkflow": self.create,
            "WorkflowService_LintWorkflow": self.lint,
            "WorkflowService_GetWorkflow": self.get,
            "WorkflowService_ListWorkflows": self.list,
            "WorkflowService_DeleteWorkflow": self.delete,
            "WorkflowService_WatchWorkflows": self.watch,
        }

    async def create(self, request: web.Request) -> web.Response:
        """Submit a workflow. With ``createOptions.dryRun`` it is answered as it came, with ``serverDryRun`` as it would
        be."""
        body, document = await self._manifest(request)
        workflow = await admitted(document, self._engine.templates)
        if body.create_options is not None and body.create_options.dry_run:
            return await answer_document(document)
        return await self.submit(workflow, dry_run=body.server_dry_run)

    async def submit(self, workflow: Workflow, *, dry_run: bool = False) -> web.Response:
        """Take in a new workflow, unless it is only a trial, and answer with it."""
        if dry_run:
            self._records.check_name(workflow)
            self._records.stamp(workflow)
            return await answer_document(workflow.document)
        record = self._records.begin(workflow)
        answer = await self.answer(record)  # as it was made, whatever has become of it once the store has it
        await self._records.kept(record, workflow)
        return answer

    async def lint(self, request: web.Request) -> web.Response:
        """Refuse what Argo's lint refuses; else it is answered as it came."""
        _, document = await self._manifest(request)
        await admitted(document, self._engine.templates)
        return await answer_document(document)

    async def _manifest(self, request: web.Request) -> tuple[CreateBody, Document]:
        namespace = request.match_info["namespace"]
        check_path_namespace(namespace)
        body = await read_body(request, CreateBody)
        document = anew(manifest_of(body.workflow, "workflow", namespace))
        return body, {field: value for field, value in document.items() if field != "status"}  # it is a new one

    async def get(self, request: web.Request) -> web.Response:
        """One workflow as it is now, or the parts of it that ``fields`` names."""
        revision_of(request, "getOptions")
        return await self.answer(self.find(request), fields_of(request.query.get("fields", "")))

    async def list(self, request: web.Request) -> web.Response:
        """A page of the workflows of a namespace, or of all where that is empty."""
        records = self._records
        fields = fields_of(request.query.get("fields", ""))
        revision = records.revision
        found = page(records.hub.items.values(), request, request.match_info["namespace"], records.began)
        each = fields.below("items")
        items = []
        for record in found.items if not each.none else ():
            items.append(await self._encoded(record, each))
            await PACE.rest()
        about = {"kind": "WorkflowList", "apiVersion": "argoproj.io/v1alpha1", "metadata": found.metadata(revision)}
        about = about if fields.all or fields.excluded else fields.of(about)
        head = orjson.dumps({**about, "items": []})
        return answer(b"".join((head[:-2], b",".join(items), b"]}")))

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """What happens to workflows, from a revision on, as a stream."""
        options, namespace = list_options(request), request.match_info["namespace"]
        name = name_of(options)
        if name == LATEST or (name and namespace and not options.since):  # whose end a watcher that was away is told
            found = self._records.find(namespace, name)
            options = msgspec.structs.replace(options, fields=options.fields.replace(LATEST, found.key[1]))
        wanted = selected(request, options, namespace)
        self._records.check(options.since)
        fields = fields_of(request.query.get("fields", ""))
        fields = fields.below("result", "object") if "result" in fields.tree else fields
        return await stream(request, self._events(options.since, wanted, fields), options.seconds)

    async def _events(self, since: int, wanted: Selected, fields: Fields) -> AsyncGenerator[Any]:
        with self._records.hub.watching(since, wanted) as watcher:
            while await watcher.more():
                most = watcher.pending  # what changes meanwhile is for the next time
                told: list[dict[str, Any]] = []
                size = 0
                for event in islice(iter(watcher.take, None), most):
                    encoded = b"" if fields.none else await self._encoded(event.item, fields)
                    told.append({"type": event.type} | ({"object": orjson.Fragment(encoded)} if encoded else {}))
                    size += len(encoded)
                    if size > TOGETHER:
                        yield told
                        told, size = [], 0
                if told:
                    yield told
                await asyncio.sleep(min(most * REST, LONGEST_REST))

    async def delete(self, request: web.Request) -> web.Response:
        """Stop what runs of a workflow and forget it, with all that the store has of it."""
        flag(request, "force")
        record = self.find(request)
        if wants_deletion(request, record.uid, str(record.revision)):
            await self._records.delete(record)
        return answer_json({})

    def find(self, request: web.Request) -> Record:
        """The workflow that a path names. Raises `ApiError`."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        return self._records.find(namespace, name, request.query.get("uid", ""))

    async def answer(self, record: Record, fields: Fields = ALL) -> web.Response:
        """A workflow, or parts of it."""
        return answer(await self._encoded(record, fields))

    async def _encoded(self, record: Record, fields: Fields) -> bytes:
        """A workflow as JSON. Its nodes are fetched only where they are wanted."""
        nodes = fields.below(*NODES)
        workflow = None
        if not nodes.none:
            with suppress(ApiError):  # it was deleted a moment ago
                workflow = await self._records.workflow(record)
        if workflow is None:
            document = fields.of(self._records.shown(record))
            return await asyncio.to_thread(orjson.dumps, document) if record.large else orjson.dumps(document)
        document = self._records.shown(record, workflow.document)
        if nodes.all:
            document = fields.of(document)
            if len(workflow.nodes) <= FEW and not record.large:
                return workflow.encode(document)
            return await workflow.encoded(document)
        whole = {**document, "status": workflow.to_dict()["status"]}
        return await asyncio.to_thread(lambda: orjson.dumps(fields.of(whole)))
