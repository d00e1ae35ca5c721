"""The `workflow.*` variables (Argo's global parameters), computed once for a walk of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from engine.scope import Scope

Document = Mapping[str, Any]

STRFTIME_CHARS: Final = "aAbBcCdDeFHIjkMmnpPQrRStTuvVWxXyYZ%"
"""The directives for which Argo defines ``workflow.creationTimestamp.<char>`` (its strftime table)."""


class MissingParameter(Exception):
    """An argument that the workflow neither has nor can look up; the message is what status.message shows."""


def parse_time(text: str) -> datetime:
    """A Kubernetes timestamp (RFC 3339, UTC)."""
    return datetime.fromisoformat(text).astimezone(UTC)


def text_of(value: Any) -> str:
    """A parameter value as Argo's AnyString holds it: strings as they are, numbers and booleans as JSON writes them."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def json_map(values: Document) -> str:
    """A string map as Go marshals it: keys sorted."""
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


def config_map_value(reference: Document, config_maps: Mapping[str, Document]) -> str | None:
    """What a `configMapKeyRef` points at, None where the map or its key is not among the given documents."""
    document = config_maps.get(reference.get("name") or "")
    value = ((document or {}).get("data") or {}).get(reference.get("key"))
    return None if value is None else text_of(value)


def argument_values(spec: Document, config_maps: Mapping[str, Document]) -> dict[str, str]:
    """The workflow's own arguments. Raises `MissingParameter` where one has no value, no default and no source."""
    values: dict[str, str] = {}
    for parameter in (spec.get("arguments") or {}).get("parameters") or ():
        name = parameter["name"]
        source = parameter.get("valueFrom") or {}
        if parameter.get("value") is not None:
            values[name] = text_of(parameter["value"])
            continue
        found = None
        if source.get("configMapKeyRef"):
            found = config_map_value(source["configMapKeyRef"], config_maps)
        if found is None and source.get("default") is not None:
            found = text_of(source["default"])
        if found is None and parameter.get("default") is not None:
            found = text_of(parameter["default"])
        if found is None and source.get("configMapKeyRef"):
            key = source["configMapKeyRef"]
            raise MissingParameter(f"ConfigMap '{key.get('name')}' does not have the key '{key.get('key')}'")
        if found is None and source.get("supplied") is None:
            raise MissingParameter(f"spec.arguments.{name}.value or spec.arguments.{name}.valueFrom is required")
        if found is not None:
            values[name] = found
    return values


def workflow_scope(document: Document, spec: Document, config_maps: Mapping[str, Document]) -> Scope:
    """Argo's setGlobalParameters: everything under `workflow.` that does not change during a pass.

    `spec` is the spec in force, that of a referenced WorkflowTemplate merged in. Raises `MissingParameter`.
    """
    metadata: Document = document["metadata"]
    scope = Scope()
    scope["workflow.name"] = metadata["name"]
    scope["workflow.namespace"] = metadata["namespace"]
    scope["workflow.uid"] = metadata["uid"]
    scope["workflow.mainEntrypoint"] = spec.get("entrypoint") or ""
    scope["workflow.serviceAccountName"] = spec.get("serviceAccountName") or ""
    if spec.get("priority") is not None:
        scope["workflow.priority"] = text_of(spec["priority"])
    if metadata.get("creationTimestamp"):
        created = parse_time(metadata["creationTimestamp"])
        scope["workflow.creationTimestamp"] = created.strftime("%Y-%m-%dT%H:%M:%SZ")
        scope["workflow.creationTimestamp.RFC3339"] = scope["workflow.creationTimestamp"]
        scope["workflow.creationTimestamp.s"] = str(int(created.timestamp()))
        for char in STRFTIME_CHARS:
            scope[f"workflow.creationTimestamp.{char}"] = created.strftime(f"%{char}")
    scheduled = (metadata.get("annotations") or {}).get("workflows.argoproj.io/scheduled-time")
    if scheduled:
        scope["workflow.scheduledTime"] = scheduled
    for kind in ("annotations", "labels"):
        values = metadata.get(kind) or {}
        scope[f"workflow.{kind}"] = scope[f"workflow.{kind}.json"] = json_map(values)
        for key, value in values.items():
            scope[f"workflow.{kind}.{key}"] = text_of(value)
    values = argument_values(spec, config_maps)
    declared = [{"name": name, "value": value} for name, value in values.items()]
    scope["workflow.parameters"] = scope["workflow.parameters.json"] = orjson.dumps(declared).decode()
    for name, value in values.items():
        scope[f"workflow.parameters.{name}"] = value
    status: Document = document["status"]
    scope["workflow.status"] = status.get("phase") or "Running"
    outputs = status.get("outputs") or {}
    for parameter in outputs.get("parameters") or ():
        scope[f"workflow.outputs.parameters.{parameter['name']}"] = text_of(parameter.get("value"))
    for artifact in outputs.get("artifacts") or ():
        scope[f"workflow.outputs.artifacts.{artifact['name']}"] = artifact
    return scope
