"""What a pass writes into a workflow's status and labels: that it runs, how far it has got, how it ended.

Nothing is changed in place: each function returns a document that shares what it does not touch. The labels are Argo's,
and plugins read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.model.clock import timestamp

LABEL_PHASE: Final = "workflows.argoproj.io/phase"
LABEL_COMPLETED: Final = "workflows.argoproj.io/completed"

_RUNNING: Final = {LABEL_PHASE: "Running", LABEL_COMPLETED: "false"}


def _with_status(document: dict[str, Any], labels: Mapping[str, str], **fields: Any) -> dict[str, Any]:
    metadata = {**document["metadata"], "labels": {**(document["metadata"].get("labels") or {}), **labels}}
    return {**document, "metadata": metadata, "status": {**document["status"], **fields}}


def running(document: dict[str, Any], now: float) -> dict[str, Any]:
    """The workflow as every pass but its last leaves it: Running since its first pass, labelled for plugins to see."""
    status = document["status"]
    if status.get("phase") == "Running" and status.get("startedAt"):
        return document
    if status.get("phase") == "Pending":
        document = {**document, "status": {key: value for key, value in status.items() if key != "message"}}
    started = status.get("startedAt") or timestamp(now)
    document = _with_status(document, _RUNNING, phase="Running", startedAt=started)
    if not document["metadata"].get("creationTimestamp"):
        document["metadata"]["creationTimestamp"] = started
    return document


def pending(document: dict[str, Any], message: str) -> dict[str, Any]:
    """The workflow while it waits for a lock: it has not begun."""
    document = _with_status(document, {LABEL_PHASE: "Pending"}, phase="Pending", message=message)
    document["status"].pop("startedAt", None)  # a plugin may have removed it
    return document


def finished(document: dict[str, Any], phase: str, message: str, now: float, *, pods: bool = False) -> dict[str, Any]:
    """The workflow at its end; ``pods`` says whether it had any."""
    labels = {LABEL_PHASE: phase, LABEL_COMPLETED: "true"}
    conditions = {"PodRunning": "False", "Completed": "True"} if pods else {"Completed": "True"}
    others = [each for each in document["status"].get("conditions") or () if each.get("type") not in conditions]
    fields: dict[str, Any] = {
        "phase": phase,
        "finishedAt": timestamp(now),
        "conditions": [*others, *({"type": kind, "status": status} for kind, status in conditions.items())],
    }
    if message:
        fields["message"] = message
    return _with_status(document, labels, **fields)


def begun_again(document: dict[str, Any], now: float) -> dict[str, Any]:
    """A finished workflow that is to go on: it runs, and nothing says that it was over, or why (Argo's retry)."""
    status = {field: value for field, value in document["status"].items() if field not in ("message", "finishedAt")}
    others = [each for each in status.get("conditions") or () if each.get("type") != "Completed"]
    fields = {
        "phase": "Running",
        "startedAt": timestamp(now),
        "conditions": [*others, {"type": "Completed", "status": "False"}],
    }
    return _with_status({**document, "status": status}, _RUNNING, **fields)


def with_progress(document: dict[str, Any], progress: str) -> dict[str, Any]:
    """The workflow with how many of its leaves are done."""
    status = document["status"]
    return document if status.get("progress") == progress else {**document, "status": {**status, "progress": progress}}
