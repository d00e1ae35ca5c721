"""The spec as a whole: what stands outside its templates, and in which order those are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.library import Context
from engine.specification import InvalidSpec
from engine.validation.arguments import check_arguments
from engine.validation.bodies import check_hooks
from engine.validation.names import LONGEST_WORKFLOW, check_names
from engine.validation.templates import Templates, drive

Document = Mapping[str, Any]

_POD_GC: Final = ("", "OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess")


def validate(document: Document, spec: Document, context: Context) -> None:
    """Raise `InvalidSpec` for the first thing in a workflow that Argo would refuse; `spec` is the one in force."""
    metadata = document["metadata"]
    if len(metadata["name"]) > LONGEST_WORKFLOW:
        raise InvalidSpec(
            f'workflow name "{metadata["name"]}" must not be more than {LONGEST_WORKFLOW} characters long'
            f" (currently {len(metadata['name'])})"
        )
    check_names("spec.templates", spec.get("templates") or ())
    check_arguments("spec.arguments.", spec.get("arguments"))
    entrypoint = spec.get("entrypoint")
    if not entrypoint:
        raise InvalidSpec("spec.entrypoint is required")
    templates = Templates(_known(metadata, spec))
    arguments = spec.get("arguments") or {}
    drive(templates.check_call({"template": entrypoint}, context, arguments))
    if spec.get("onExit"):
        templates.known.add("workflow.failures")
        drive(templates.check_call({"template": spec["onExit"]}, context, arguments))
    check_hooks("hooks", spec.get("hooks"))
    strategy = (spec.get("podGC") or {}).get("strategy") or ""
    if strategy not in _POD_GC:
        raise InvalidSpec(f"podGC.strategy unknown strategy '{strategy}'")
    for name in context.names():
        try:
            drive(templates.check_call({"template": name}, context, None))
        except InvalidSpec as error:
            raise InvalidSpec(f"templates.{name} {error}") from error


def _known(metadata: Document, spec: Document) -> set[str]:
    """The variables `workflow.*` that exist before anything runs."""
    fields = ("name", "namespace", "mainEntrypoint", "serviceAccountName", "uid", "status")
    known = {f"workflow.{field}" for field in fields}
    for kind in ("annotations", "labels"):
        added = spec.get("workflowMetadata") or {}
        known.update((f"workflow.{kind}", f"workflow.{kind}.json"))
        for source in (metadata.get(kind), added.get(kind), added.get("labelsFrom") if kind == "labels" else None):
            known.update(f"workflow.{kind}.{name}" for name in source or ())
    parameters = (spec.get("arguments") or {}).get("parameters") or ()
    if parameters:
        known.update(("workflow.parameters", "workflow.parameters.json"))
    known.update(f"workflow.parameters.{parameter['name']}" for parameter in parameters)
    if spec.get("priority") is not None:
        known.add("workflow.priority")
    return known
