"""CronWorkflows as workflows: what each makes when its time has come, or as if it had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.shape import Document
from engine.substitution.variables import CRON_WORKFLOW

_INSTANCE: Final = "workflows.argoproj.io/controller-instanceid"


def one_run(cron: Document) -> dict[str, Any] | None:
    """The Workflow that a CronWorkflow makes (Argo's ConvertCronWorkflowToWorkflow), None where there is none in it.

    When it was scheduled is for the engine to say, by its clock.
    """
    metadata, spec = cron.get("metadata") or {}, cron.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(spec.get("workflowSpec"), Mapping):
        return None
    name, labels = metadata.get("name") or metadata.get("generateName") or "", metadata.get("labels")
    made: dict[str, Any] = {"generateName": f"{name}-", "labels": {CRON_WORKFLOW: name}}
    if isinstance(labels, Mapping) and _INSTANCE in labels:
        made["labels"][_INSTANCE] = labels[_INSTANCE]
    if metadata.get("namespace"):
        made["namespace"] = metadata["namespace"]
    wanted = spec.get("workflowMetadata")
    for field, value in wanted.items() if isinstance(wanted, Mapping) else ():
        if value and field in ("labels", "annotations", "finalizers"):
            made[field] = {**made.get(field, {}), **value} if isinstance(value, Mapping) else value
    return {
        "apiVersion": cron.get("apiVersion") or "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": made,
        "spec": spec["workflowSpec"],
    }
