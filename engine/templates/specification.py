"""The spec in force for a workflow: its own over that of the WorkflowTemplate it refers to, its variables filled in."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from engine.expressions import ExpressionError, evaluate
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, compile_json, environment
from engine.substitution.variables import text_of
from engine.templates.library import Library
from engine.templates.merging import merge
from engine.templates.template import InvalidTemplate

LABEL: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
"""What Kubernetes allows as the value of a label."""
_FILLED_IN: Final = (
    "arguments",
    "retryStrategy",
    "synchronization",
    "volumeClaimTemplates",
    "volumes",
    "workflowMetadata",
)
"""The fields of a spec whose tags are filled in once. Those of hooks are when they fire, those of templates later."""


class InvalidSpec(Exception):
    """A spec that Argo would refuse; the message is what follows ``invalid spec:`` in status.message."""


class UnknownTemplate(Exception):
    """A WorkflowTemplate that a workflow refers to is not there; the message is that of the workflow's Error."""


class InvalidMetadata(Exception):
    """A label that the workflow is to give itself and may not have; the message is that of the workflow's Error."""


def spec_in_force(document: Document, library: Library) -> Document:
    """A workflow's spec, over that of the WorkflowTemplate it refers to (Argo's JoinWorkflowSpec).

    Raises `UnknownTemplate` where the reference leads nowhere, and `InvalidSpec` beside templates of its own.
    """
    spec: Document = document["spec"]
    reference = spec.get("workflowTemplateRef")
    if not reference:
        return spec
    try:
        below = library.spec(reference.get("name") or "", cluster=bool(reference.get("clusterScope")))
    except InvalidTemplate as error:
        raise UnknownTemplate(str(error)) from error
    if spec.get("templates"):
        raise InvalidSpec("Templates is invalid field in spec if workflow referred WorkflowTemplate reference")
    merged = merge({key: value for key, value in below.items() if key != "suspend"}, spec)
    merged["arguments"] = _joined(below.get("arguments") or {}, spec.get("arguments") or {})
    hooks = {**(below.get("hooks") or {}), **(spec.get("hooks") or {})}  # one by one, and each as a whole
    if hooks:
        merged["hooks"] = hooks
    del merged["workflowTemplateRef"]
    return merged


def _joined(below: Document, own: Document) -> Document:
    """A workflow's arguments over those of its WorkflowTemplate, in their order there; a parameter that says what
    its value is counts as a whole, and leaves nothing of the other one, such as a `valueFrom` (JoinWorkflowSpec)."""
    merged = merge(below, own)
    if merged.get("parameters"):
        sources = ("value", "default", "valueFrom")
        whole = {
            each["name"]: each
            for each in own.get("parameters") or ()
            if any(each.get(source) is not None for source in sources)
        }
        merged["parameters"] = [whole.get(each["name"], each) for each in merged["parameters"]]
    return merged


def merged_arguments(spec: Document, below: Document) -> Document:
    """The arguments of a workflow, and those that only the WorkflowTemplate has; of two of one name its own counts."""
    if below is spec:
        return spec.get("arguments") or {}
    both = [each.get("arguments") or {} for each in (spec, below)]
    merged: dict[str, list[Document]] = {}
    for kind in ("parameters", "artifacts"):
        named: dict[str, Document] = {}
        for arguments in both:
            for argument in arguments.get(kind) or ():
                named.setdefault(argument["name"], argument)
        if named:
            merged[kind] = list(named.values())
    return merged


def filled_in(spec: Document, scope: Scope) -> Document:
    """The spec with the workflow's variables in what the engine reads of it (Argo's substituteGlobalVariables).

    Raises `InvalidSpec` where an expression fails.
    """
    text = compile_json({field: spec[field] for field in _FILLED_IN if spec.get(field)})
    if not text.tags:
        return spec
    try:
        return {**spec, **orjson.loads(text.render(scope, allow_unresolved=True))}
    except SubstitutionError as error:
        raise InvalidSpec(str(error)) from error


def with_metadata(document: dict[str, Any], spec: Document, scope: Scope) -> dict[str, Any]:
    """The workflow with the labels and annotations that its spec gives it (Argo's updateWorkflowMetadata).

    They are variables from then on: `scope` is added to. Raises `InvalidMetadata`.
    """
    wanted = spec.get("workflowMetadata")
    if not wanted:
        return document
    metadata = dict(document["metadata"])
    added: dict[str, dict[str, str]] = {
        kind: {name: text_of(value) for name, value in (wanted.get(kind) or {}).items()}
        for kind in ("labels", "annotations")
    }
    for kind, values in added.items():
        scope.update({f"workflow.{kind}.{name}": value for name, value in values.items()})
    for name, source in (wanted.get("labelsFrom") or {}).items():
        added["labels"][name] = value = _label_from(name, source.get("expression") or "", scope)
        scope[f"workflow.labels.{name}"] = value
    for name, value in added["labels"].items():
        if not LABEL.fullmatch(value):
            raise InvalidMetadata(f"invalid label value {value!r} for label {name!r}")
    for kind, values in added.items():
        if values:
            metadata[kind] = {**(metadata.get(kind) or {}), **values}
    return {**document, "metadata": metadata}


def _label_from(name: str, expression: str, scope: Scope) -> str:
    try:
        value = evaluate(expression, environment(scope), clock=scope.clock)
    except ExpressionError as error:
        raise InvalidMetadata(f"failed to evaluate label {name!r} expression {expression!r}: {error}") from error
    if not isinstance(value, str):
        raise InvalidMetadata(f"label {name!r}: expression {expression!r} must give a string, it gives {value!r}")
    return value
