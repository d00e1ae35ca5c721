"""What a pass writes into a workflow's status and labels: that it runs, what it has put out, how it ended.

Nothing is changed in place: each function returns a document that shares what it does not touch. The labels are Argo's,
and plugins read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.graph.graph import timestamp

Document = Mapping[str, Any]

LABEL_PHASE: Final = "workflows.argoproj.io/phase"
LABEL_COMPLETED: Final = "workflows.argoproj.io/completed"


def _with_status(document: dict[str, Any], labels: Mapping[str, str], **fields: Any) -> dict[str, Any]:
    metadata = {**document["metadata"], "labels": {**(document["metadata"].get("labels") or {}), **labels}}
    return {**document, "metadata": metadata, "status": {**document["status"], **fields}}


def running(document: dict[str, Any], now: float) -> dict[str, Any]:
    """The workflow as every pass but its last leaves it: Running since its first pass, labelled for plugins to see."""
    if document["status"].get("phase") == "Running":
        return document
    started = document["status"].get("startedAt") or timestamp(now)
    labels = {LABEL_PHASE: "Running", LABEL_COMPLETED: "false"}
    document = _with_status(document, labels, phase="Running", startedAt=started)
    if not document["metadata"].get("creationTimestamp"):
        document["metadata"]["creationTimestamp"] = started
    return document


def finished(document: dict[str, Any], phase: str, message: str, now: float) -> dict[str, Any]:
    """The workflow at its end, in Succeeded, Failed or Error."""
    labels = {LABEL_PHASE: phase, LABEL_COMPLETED: "true"}
    others = [each for each in document["status"].get("conditions") or () if each.get("type") != "Completed"]
    fields: dict[str, Any] = {
        "phase": phase,
        "finishedAt": timestamp(now),
        "conditions": [*others, {"type": "Completed", "status": "True"}],
    }
    if message:
        fields["message"] = message
    return _with_status(document, labels, **fields)


def with_outputs(document: dict[str, Any], outputs: Mapping[str, Mapping[str, Document]]) -> dict[str, Any]:
    """Global outputs are kept in the workflow's status, the last word on each name."""
    if not any(outputs.values()):
        return document
    merged: dict[str, Any] = dict(document["status"].get("outputs") or {})
    for kind, named in outputs.items():
        kept = {each["name"]: each for each in merged.get(kind) or ()}
        kept.update(named)
        if kept:
            merged[kind] = list(kept.values())
    return {**document, "status": {**document["status"], "outputs": merged}}
