"""What becomes of workflows as Kubernetes' events, as Argo's controller emits them (its operator.go)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from aiohttp import web

from engine.serving.admission import check_path_namespace
from engine.serving.guard import Handler
from engine.serving.hub import DELETED
from engine.serving.records import Record, Records
from engine.serving.requests import list_options
from engine.serving.selectors import Selector, field_selector, label_selector
from engine.serving.streams import stream

_MESSAGES: Final = {"Pending": "Workflow Pending", "Running": "Workflow Running", "Succeeded": "Workflow completed"}
_INVOLVED: Final = ("kind", "name", "namespace", "uid")
_FIELDS: Final = ("reason", "type", "metadata.namespace", *(f"involvedObject.{field}" for field in _INVOLVED))


class Events:
    """The operation that watches them. They are not kept: who begins to watch is told where each workflow is now."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {"WorkflowService_WatchEvents": self.watch}

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """An event for each phase that a workflow of the namespace, or of any, gets to."""
        options, namespace = list_options(request), request.match_info["namespace"]
        check_path_namespace(namespace, all_will_do=True)
        labels, fields = label_selector(options.labels), field_selector(options.fields, _FIELDS)
        since = options.since
        self._records.check(since)
        messages = self._events(since, namespace, lambda event: labels({}) and fields(event))  # they have no labels
        return await stream(request, messages, options.seconds)

    async def _events(self, since: int, namespace: str, selected: Selector) -> AsyncGenerator[Any]:
        told: dict[str, str] = {}
        wanted = self._records.hub.watch(since, lambda record: not namespace or record.key[0] == namespace)
        async with aclosing(wanted) as changes:
            async for kind, record in changes:
                phase = record.document["status"].get("phase") or ""
                if kind == DELETED:
                    told.pop(record.uid, None)
                elif phase and told.get(record.uid) != phase:
                    told[record.uid] = phase
                    event = _event(record, phase)
                    if selected(_fields(event)):
                        yield event


def _event(record: Record, phase: str) -> dict[str, Any]:
    metadata, status = record.document["metadata"], record.document["status"]
    time = status.get("finishedAt") or status.get("startedAt") or metadata.get("creationTimestamp")
    revision = str(record.revision)
    name, namespace = metadata["name"], metadata["namespace"]
    failed = phase in ("Failed", "Error")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{name}.{record.revision:x}",
            "namespace": namespace,
            "resourceVersion": revision,
            "creationTimestamp": time,
        },
        "involvedObject": {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": name,
            "namespace": namespace,
            "uid": record.uid,
            "resourceVersion": revision,
        },
        "reason": "WorkflowFailed" if failed else f"Workflow{phase}",
        "message": status.get("message") or _MESSAGES.get(phase, f"Workflow {phase}"),
        "type": "Warning" if failed else "Normal",
        "source": {"component": "oarlock"},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def _fields(event: Mapping[str, Any]) -> dict[str, str]:
    involved = {f"involvedObject.{field}": event["involvedObject"][field] for field in _INVOLVED}
    own = {"reason": event["reason"], "type": event["type"], "metadata.namespace": event["metadata"]["namespace"]}
    return {**own, **involved}
