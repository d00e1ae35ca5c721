"""The `workflow.*` variables (Argo's global parameters), computed once for a walk of the graph."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

from engine.expressions.gotext import html_safe
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, TooLarge, render_string
from rpc.durations import parse_nanoseconds

_DIRECTIVES: Final = "aAbBdHImMpSyYzZ"
"""Those for which Argo defines ``workflow.creationTimestamp.<char>`` (its util/strftime), but for its `L`,
milliseconds."""

CRON_WORKFLOW: Final = "workflows.argoproj.io/cron-workflow"
"""The label with the name of the CronWorkflow that made a workflow."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_SPACES: Final = re.compile(rb'("(?:[^"\\]|\\.)*")|\s+')
"""Spaces, or a string, in which they mean something."""

_PARAMETER_FIELDS: Final = ("name", "default", "value", "valueFrom", "globalName", "enum", "description")
"""The fields of a parameter in the order in which Go writes them."""


class MissingParameter(Exception):
    """A global parameter that cannot be set; the message is what status.message shows."""


def parse_time(text: str) -> datetime:
    """A Kubernetes timestamp (RFC 3339, UTC)."""
    return datetime.fromisoformat(text).astimezone(UTC)


def seconds(value: object) -> float:
    """A duration as manifests write it: a number of seconds, or Go's notation; it may be less than nothing (Argo's
    ParseStringToDuration). Raises `ValueError`."""
    text = str(value)
    found = float(text) if _WHOLE.fullmatch(text) else parse_nanoseconds(text) / 1e9
    if not math.isfinite(found):
        raise ValueError(f"expected a duration, got {value!r}")
    return found


def text_of(value: Any) -> str:
    """A parameter value as Argo's AnyString holds it (its anystring.go): strings as they are, numbers as floats with
    all their digits (`2.0` is `2`, `1e6` is `1000000`); lists, maps and nothing at all are the empty text."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{Decimal(repr(float(value))):f}".removesuffix(".0")
        case _:
            return ""


def compact_json(text: bytes) -> str:
    """A JSON text inside another one as Go's json.Marshal writes it: without spaces, numbers as they are."""
    return html_safe(_SPACES.sub(rb"\1", text).decode())


def json_map(values: Document) -> str:
    """A string map as Go marshals it: keys sorted."""
    return html_safe(orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode())


def json_parameters(parameters: Iterable[Document]) -> str:
    """A list of parameters as Go marshals it, values as text, and no parameters as `null`."""
    documents = []
    for parameter in parameters:
        document = {field: parameter[field] for field in _PARAMETER_FIELDS if parameter.get(field) is not None}
        document.update({field: text_of(document[field]) for field in ("default", "value") if field in document})
        if "enum" in document:
            document["enum"] = [text_of(each) for each in document["enum"]]
        documents.append(document)
    return html_safe(orjson.dumps(documents or None).decode())


def config_map_value(reference: Document, config_maps: Mapping[str, Document]) -> str | None:
    """What a `configMapKeyRef` points at, None where the map or its key is not among the given documents."""
    document = config_maps.get(reference.get("name") or "")
    data = (document or {}).get("data")
    value = data.get(reference.get("key")) if isinstance(data, dict) else None
    return None if value is None else text_of(value)


def absent_key(reference: Document, config_maps: Mapping[str, Document]) -> str:
    """Why `config_map_value` found nothing."""
    name = reference.get("name")
    if name not in config_maps:
        return f"ConfigMap '{name}' does not exist among the given documents"
    return f"ConfigMap '{name}' does not have the key '{reference.get('key')}'"


def argument_values(spec: Document, config_maps: Mapping[str, Document]) -> dict[str, str]:
    """The workflow's own arguments. Raises `MissingParameter` where one has no value and no source that knows it."""
    values: dict[str, str] = {}
    for parameter in (spec.get("arguments") or {}).get("parameters") or ():
        name = parameter["name"]
        source = parameter.get("valueFrom") or {}
        reference = source.get("configMapKeyRef")
        if parameter.get("value") is not None:
            values[name] = text_of(parameter["value"])
        elif reference:
            found = config_map_value(reference, config_maps)
            if found is None and source.get("default") is None:
                raise MissingParameter(
                    f"failed to set global parameter {name} from configmap with name {reference.get('name')}"
                    f" and key {reference.get('key')}: {absent_key(reference, config_maps)}"
                )
            values[name] = text_of(source["default"]) if found is None else found
        else:
            raise MissingParameter(
                f"either value or valueFrom must be specified in order to set global parameter {name}"
            )
    return values


def workflow_scope(document: Document, spec: Document, config_maps: Mapping[str, Document], now: float) -> Scope:
    """Argo's setGlobalParameters: everything under `workflow.` that does not change during a pass.

    `spec` is the spec in force, that of a referenced WorkflowTemplate merged in; `now` is the time that expressions
    read, in seconds since the epoch. Raises `MissingParameter`.
    """
    scope = Scope()
    scope.now = now
    add_metadata(scope, document["metadata"], spec)
    values = argument_values(spec, config_maps)
    declared = (spec.get("arguments") or {}).get("parameters") or ()
    scope["workflow.parameters"] = scope["workflow.parameters.json"] = json_parameters(declared)
    for name, value in values.items():
        scope[f"workflow.parameters.{name}"] = value
    for name, value in values.items():
        if "{{" in value:  # one argument may be made of others
            try:
                scope[f"workflow.parameters.{name}"] = filled_in(value, scope)
            except TooLarge as error:
                raise MissingParameter(f"parameter {name}: {error}") from error
    status: Document = document["status"]
    scope["workflow.status"] = status.get("phase") or "Running"
    scope["workflow.duration"] = "0.000000"
    outputs = status.get("outputs") or {}
    for parameter in outputs.get("parameters") or ():
        scope[f"workflow.outputs.parameters.{parameter['name']}"] = text_of(parameter.get("value"))
    for artifact in outputs.get("artifacts") or ():
        scope[f"workflow.outputs.artifacts.{artifact['name']}"] = artifact
    return scope


def add_metadata(scope: Scope, metadata: Document, spec: Document) -> None:
    """The variables that say who the workflow is; again where a plugin has changed its labels or annotations."""
    scope["workflow.name"] = metadata["name"]
    scope["workflow.namespace"] = metadata["namespace"]
    scope["workflow.uid"] = metadata["uid"]
    scope["workflow.mainEntrypoint"] = spec.get("entrypoint") or ""
    scope["workflow.serviceAccountName"] = spec.get("serviceAccountName") or ""
    if spec.get("priority") is not None:
        scope["workflow.priority"] = text_of(spec["priority"])
    if metadata.get("creationTimestamp"):
        scope.update(_creation(metadata["creationTimestamp"]))
    scheduled = (metadata.get("annotations") or {}).get("workflows.argoproj.io/scheduled-time")
    if not scheduled and CRON_WORKFLOW in (metadata.get("labels") or {}):  # its time is when it was made
        scheduled = scope.get("workflow.creationTimestamp")
    if scheduled:
        scope["workflow.scheduledTime"] = scheduled
    for kind in ("annotations", "labels"):
        values = metadata.get(kind) or {}
        scope[f"workflow.{kind}"] = scope[f"workflow.{kind}.json"] = json_map(values)
        for key, value in values.items():
            scope[f"workflow.{kind}.{key}"] = text_of(value)


@lru_cache(maxsize=64)  # thousands may be made in one second
def _creation(timestamp: str) -> Mapping[str, str]:
    created = parse_time(timestamp)
    text = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "workflow.creationTimestamp": text,
        "workflow.creationTimestamp.RFC3339": text,
        "workflow.creationTimestamp.s": str(int(created.timestamp())),
        "workflow.creationTimestamp.L": ".000",
        **{f"workflow.creationTimestamp.{char}": created.strftime(f"%{char}") for char in _DIRECTIVES},
    }


def filled_in(text: str, scope: Scope) -> str:
    """A text with those of its tags filled in that can be; the others, and what is wrong with them, are for later."""
    try:
        return render_string(text, scope)
    except TooLarge:
        raise
    except SubstitutionError:
        return text
