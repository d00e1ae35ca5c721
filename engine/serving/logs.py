"""The logs of a workflow's leaves, as a stream: by the line, of one pod or all, and on until nobody writes any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Final

import msgspec
from aiohttp import web

from engine.executors.executor import Executor, Keeping
from engine.executors.logs import LOOK_EVERY, Line, Lines
from engine.expressions.errors import Invalid
from engine.expressions.regex import searching
from engine.graph.nodes import pod_name
from engine.model.node import POD, Node
from engine.model.workflow import Workflow
from engine.reconciler import Reconciler
from engine.serving.errors import invalid, not_found
from engine.serving.guard import Handler
from engine.serving.hub import DELETED
from engine.serving.records import Record, Records
from engine.serving.requests import Document, flag, number, time_of
from engine.serving.selectors import Selector, label_selector
from engine.serving.streams import stream

MAIN: Final = "main"

AT_ONCE: Final = 16
"""Pieces of a log that is being written are sent before it is the next one's turn."""


class Logs:
    """The operations that read logs."""

    def __init__(self, engine: Reconciler, records: Records) -> None:
        self._executor, self._records = engine.executor, records

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {"WorkflowService_WorkflowLogs": self.logs, "WorkflowService_PodLogs": self.logs}

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """The lines of a workflow's logs as a stream of Argo's LogEntry, of one pod where that is named."""
        wants = wanted(request)
        record = self._records.find(request.match_info["namespace"], request.match_info["name"])
        if wants.pod and not (wants.follow and record.workflow is not None):
            await self._check(record, wants)
        return await stream(request, _entries(self._records, self._executor, record, wants))

    async def _check(self, record: Record, wants: Wanted) -> None:
        """Raises `ApiError` where there is no such pod, or no log of it any more."""
        workflow = await self._records.workflow(record)
        nodes = _nodes(workflow, wants)
        if not nodes:
            raise not_found("pods", wants.pod)
        if not isinstance(self._executor, Keeping) or not nodes[0].fulfilled:
            return
        pod = _Pod(self._executor, workflow, nodes[0], wants)
        if not await asyncio.to_thread(pod.begin):
            raise not_found(f'pods "{wants.pod}": the log of container', wants.container)


class Wanted(msgspec.Struct, frozen=True):
    """What of which logs: the options of Argo's operation, most of which are those of Kubernetes' `PodLogOptions`."""

    pod: str
    container: str
    previous: bool
    """Of the container before it was restarted, which does not happen here."""
    follow: bool
    timestamps: bool
    tail: int | None
    since: float | None
    most: int | None
    matches: Callable[[str], bool]
    selector: Selector | None


def wanted(request: web.Request) -> Wanted:
    """What a request asks for. Raises `ApiError`."""
    query = request.query
    try:
        matches = searching(query.get("grep", ""))
    except Invalid as error:
        raise invalid(f"grep: failed to compile {query['grep']!r}: {error}") from None
    if query.get("logOptions.stream", "All") not in ("All", ""):
        raise invalid("logOptions.stream: expected All: what a container writes to both streams is one log here")
    ago, moment = number(request, "logOptions.sinceSeconds", 1), _since(request)
    if ago is not None and moment is not None:
        raise invalid("logOptions: at most one of sinceTime or sinceSeconds may be specified")
    return Wanted(
        pod=request.match_info.get("podName") or query.get("podName", ""),
        container=query.get("logOptions.container") or MAIN,
        previous=flag(request, "logOptions.previous"),
        follow=flag(request, "logOptions.follow"),
        timestamps=flag(request, "logOptions.timestamps"),
        tail=number(request, "logOptions.tailLines"),
        since=moment if ago is None else time.time() - ago,
        most=number(request, "logOptions.limitBytes", 1),
        matches=matches,
        selector=label_selector(query["selector"]) if query.get("selector") else None,
    )


def _since(request: web.Request) -> float | None:
    """``sinceTime``, as a text as `argo` over HTTP/1 sends it, or as its seconds and nanoseconds. Raises `ApiError`."""
    told, seconds = time_of(request, "logOptions.sinceTime"), number(request, "logOptions.sinceTime.seconds")
    fraction = (number(request, "logOptions.sinceTime.nanos") or 0) / 1e9
    if told is not None:
        return told.timestamp()
    return None if seconds is None else seconds + fraction


class _Pod:
    """The log of one leaf, as far as it was read."""

    def __init__(self, executor: Keeping, workflow: Workflow, node: Node, wants: Wanted) -> None:
        self.name = pod_name(workflow.name, template_of(node), node.id)
        self._executor, self._uid, self._node_id, self._wants = executor, workflow.uid, node.id, wants
        self._lines: Lines | None = None

    @property
    def is_written(self) -> bool:
        """Whether somebody may write to it yet."""
        return self._executor.has(self._uid, self._node_id)

    def take(self, *, last: bool) -> list[Document] | None:
        """The entries of the next lines, None where there are no more for now. Blocks."""
        if self._lines is None and not self.begin():
            return None
        assert self._lines is not None
        lines = self._lines.take(last=last)
        if not lines:
            return None
        contents = [_stamped(line) if self._wants.timestamps else line.text for line in lines]
        return [{"content": each, "podName": self.name} for each in contents if self._wants.matches(each)]

    def begin(self) -> bool:
        """Whether there is such a log by now. Blocks."""
        wants = self._wants
        try:
            log = self._executor.log(self._uid, self._node_id, wants.container)
        except LookupError:
            return False
        if log is None or not log.exists():
            return False
        self._lines = Lines(log, tail=wants.tail, since=wants.since, most=wants.most)
        return True


def _stamped(line: Line) -> str:
    moment = datetime.fromtimestamp(line.moment, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z {line.text}"


def template_of(node: Node) -> str:
    return (node.template_ref or {}).get("template") or node.template_name


async def _entries(
    records: Records, executor: Executor, record: Record, wants: Wanted
) -> AsyncGenerator[list[Document]]:
    """The entries of logs, some at a time: of one leaf after the other as they began, or of all that write by turns.

    Leaves of an executor that keeps no logs have none.
    """
    if wants.previous or not isinstance(executor, Keeping):
        return
    open_: list[_Pod] = []
    known = set[str]()
    async with aclosing(_news(records, record, open_)) as news:
        async for goes_on in news:
            goes_on = goes_on and wants.follow
            workflow = await records.workflow(record)
            for node in _nodes(workflow, wants):
                if node.id not in known and (node.fulfilled or executor.has(workflow.uid, node.id)):
                    known.add(node.id)
                    open_.append(_Pod(executor, workflow, node, wants))
            for pod in list(open_):
                last = not (wants.follow and pod.is_written)
                for _ in count() if last else range(AT_ONCE):
                    some = await asyncio.to_thread(pod.take, last=last)
                    if some is None:
                        break
                    yield some
                if last:
                    open_.remove(pod)
            if not goes_on and not open_:
                return


async def _news(records: Records, record: Record, open_: list[_Pod]) -> AsyncGenerator[bool]:
    """When to look: whenever the workflow has changed, and as long as logs are written; says whether it goes on."""
    goes_on = True
    with records.hub.watching(0, lambda each: each is record) as watcher:
        while record.uid in records.hub.items:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY if open_ else None):
                    if not await watcher.more():
                        return
            if (event := watcher.take()) is not None:
                if event.type == DELETED:
                    return
                goes_on = event.item.workflow is not None
            yield goes_on
            await asyncio.sleep(LOOK_EVERY)  # however often it changes


def _nodes(workflow: Workflow, wants: Wanted) -> list[Node]:
    """The leaves whose logs are asked for, those that began first before the others."""
    nodes = workflow.committed()
    if wants.pod:
        candidates = {wants.pod, f"{workflow.name}-{wants.pod.rpartition('-')[2]}"}
        found = [nodes[each] for each in candidates if each in nodes]
        names = {node.id: pod_name(workflow.name, template_of(node), node.id) for node in found}
        found = [node for node in found if node.type == POD and wants.pod in (node.id, names[node.id])]
    else:
        found = [node for node in nodes.values() if node.type == POD]
    if wants.selector is not None:
        found = [node for node in found if wants.selector(_labels(workflow, node))]
    return sorted(found, key=lambda node: node.started_at or "")


def _labels(workflow: Workflow, node: Node) -> dict[str, str]:
    """Those of the pod that Argo would make, as far as they are known here."""
    spec, status = workflow.document["spec"], workflow.document["status"]
    stored = status.get("storedWorkflowTemplateSpec") or {}
    templates = [*(spec.get("templates") or ()), *(stored.get("templates") or ())]
    templates += (status.get("storedTemplates") or {}).values()
    own: Document = next((each for each in templates if each.get("name") == template_of(node)), {})
    pod_metadata = spec.get("podMetadata") or stored.get("podMetadata") or {}
    return {
        **(pod_metadata.get("labels") or {}),
        **((own.get("metadata") or {}).get("labels") or {}),
        "workflows.argoproj.io/workflow": workflow.name,
        "workflows.argoproj.io/completed": "true" if node.fulfilled else "false",
    }
