"""What the page looks at: workflows, the nodes of one as they change, one node with all it has, and the plugins.

A workflow of 10,000 nodes that runs changes some hundred times a second: what is told is what has changed, twice a
second.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import AnyStr, Final

import orjson
from aiohttp import web

from engine.graph.nodes import pod_name
from engine.model.node import POD, Node, encode
from engine.model.workflow import Workflow
from engine.reconciler import Reconciler
from engine.reconciling.results import Commit
from engine.recording.secrets import Secrets
from engine.serving.errors import not_found
from engine.serving.figures import Plugins
from engine.serving.hub import DELETED
from engine.serving.logs import template_of
from engine.serving.records import Record, Records
from engine.serving.requests import Document
from engine.serving.stories import Stories
from engine.serving.streams import stream
from rpc.credentials import without

EVERY: Final = 0.5
"""Seconds between two messages of a stream."""

PIECE: Final = 512
"""Nodes that are told at once, in a millisecond."""


class Live:
    """The streams of the page."""

    def __init__(self, engine: Reconciler, records: Records) -> None:
        self._engine, self._records = engine, records
        self._plugins = Plugins(engine)
        self._stories = Stories(engine.recorder) if engine.recorder is not None else None
        self._secrets = engine.recorder.secrets if engine.recorder is not None else Secrets()

    def add_to(self, app: web.Application) -> None:
        """Have an application answer with them."""
        app.router.add_get("/api/oarlock/workflows", self.workflows, allow_head=False)
        app.router.add_get("/api/oarlock/workflows/{namespace}/{name}", self.workflow, allow_head=False)
        app.router.add_get("/api/oarlock/workflows/{namespace}/{name}/{node}", self.node)
        app.router.add_get("/api/oarlock/plugins", self._plugins.watch, allow_head=False)
        app.cleanup_ctx.append(self._plugins.kept)

    async def workflows(self, request: web.Request) -> web.StreamResponse:
        """``workflows``: all, then those that have changed; ``gone``: the uids of those that are there no more."""
        return await stream(request, self._all())

    async def _all(self) -> AsyncGenerator[Document]:
        yield {"workflows": [], "gone": []}  # there may be none
        async with aclosing(self._records.hub.batches(EVERY, lambda _: True)) as batches:
            async for batch in batches:
                yield {
                    "workflows": [self._summary(event.item) for event in batch if event.type != DELETED],
                    "gone": [event.item.uid for event in batch if event.type == DELETED],
                }

    async def workflow(self, request: web.Request) -> web.StreamResponse:
        """``workflow``, and ``nodes``: all, then those that have changed, as `_Told` has them. ``anew`` says to forget
        the nodes that were told before, and ``gone`` that the workflow is there no more."""
        record = self._records.find(request.match_info["namespace"], request.match_info["name"])
        return await stream(request, self._changes(record))

    async def _changes(self, record: Record) -> AsyncGenerator[Document]:
        told = _Told(record.uid, self._shown)
        self._engine.listeners.append(told.hear)
        try:
            async with aclosing(self._records.hub.batches(EVERY, lambda each: each is record)) as batches:
                async for batch in batches:
                    if batch[-1].type == DELETED:
                        yield {"gone": True}
                        return
                    workflow = await self._records.workflow(record)
                    yield {"workflow": self._summary(record)}
                    for rows in told.news(workflow):
                        yield rows
        finally:
            self._engine.listeners.remove(told.hear)

    async def node(self, request: web.Request) -> web.Response:
        """One node with its inputs and outputs as Argo has them, the name of its pod, empty where it is none, and its
        `Stories`, null where the engine has no recorder."""
        record = self._records.find(request.match_info["namespace"], request.match_info["name"])
        workflow = await self._records.workflow(record)
        node = workflow.committed_node(request.match_info["node"])
        if node is None:
            raise not_found("nodes", request.match_info["node"])
        pod = pod_name(workflow.name, template_of(node), node.id) if node.type == POD else ""
        told = [node.id] if node.boundary_id else [node.id, ""]  # at the top there is also what is about the workflow
        story = self._stories.of(record.uid, told) if self._stories is not None else b"null"
        body = orjson.dumps({"node": orjson.Fragment(encode(node)), "pod": pod, "story": orjson.Fragment(story)})
        return web.Response(body=self._shown(body), content_type="application/json")

    def _summary(self, record: Record) -> Document:
        metadata, status = record.document["metadata"], record.document["status"]
        return {
            "uid": record.uid,
            "created": record.created,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "createdAt": metadata.get("creationTimestamp"),
            "phase": status.get("phase") or "Pending",
            "message": self._shown(status.get("message") or ""),
            "progress": status.get("progress") or "",
            "startedAt": status.get("startedAt"),
            "finishedAt": status.get("finishedAt"),
        }

    def _shown(self, text: AnyStr) -> AnyStr:
        """With nothing in it that plugins are told and nobody else: one may have put it into a message or an output."""
        return without(text, self._secrets.known) if text else text


class _Told:
    """What somebody who looks at a workflow knows of its nodes.

    A node is told as an array: id, phase, message, start, end, children that have come to it; and the first time name,
    type, template and boundary.
    """

    def __init__(self, uid: str, shown: Callable[[str], str]) -> None:
        self._uid = uid
        self._shown = shown
        self._children: dict[str, int] = {}
        """How many children of which nodes are known."""
        self._changed: dict[str, None] | None = None
        """The ids of nodes that have changed, in order; None for all that there are."""

    def hear(self, commit: Commit) -> None:
        """The engine has changed a workflow."""
        if commit.workflow.uid != self._uid or self._changed is None:
            return
        if all(map(commit.workflow.nodes.__contains__, commit.nodes)):
            self._changed.update(dict.fromkeys(commit.nodes))
        else:  # a retry has done away with some
            self._changed = None

    def news(self, workflow: Workflow) -> Iterator[Document]:
        """What has changed of the nodes, in pieces between which others may have the event loop."""
        changed, self._changed = self._changed, {}
        if anew := changed is None:
            self._children.clear()
        ids = list(workflow.committed() if changed is None else changed)
        for at in range(0, len(ids), PIECE):
            nodes = map(workflow.committed_node, ids[at : at + PIECE])
            yield {"anew": anew and not at, "nodes": [self._row(node) for node in nodes if node is not None]}

    def _row(self, node: Node) -> list[object]:
        children = node.children or ()
        known = self._children.get(node.id)
        self._children[node.id] = len(children)
        new = children[known or 0 :]
        row: list[object] = [node.id, node.phase, self._shown(node.message), node.started_at, node.finished_at, new]
        if known is None:
            row += [node.display_name, node.type, template_of(node), node.boundary_id]
        return row
