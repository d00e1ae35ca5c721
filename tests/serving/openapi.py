"""What we serve as an OpenAPI document, made of the table of routes."""

from __future__ import annotations

import re
from typing import Any, Final

from engine.serving.routes import OPERATIONS

Document = dict[str, Any]

THERE: Final = "there"
"""The name of what is made before: a workflow, a template, a CronWorkflow."""


def text(*usual: str) -> Document:
    """Any text, among which these."""
    return {"anyOf": [{"enum": list(usual)}, {"type": "string", "maxLength": 40}]}


_PATHS: Final = {
    "namespace": text("default", "other"),
    "name": text(THERE),
    "podName": text(THERE),
    "nodeId": text(THERE),
    "idDiscriminator": text("workflows", "archived-workflows"),
    "artifactDiscriminator": text("outputs"),
    "path": text("..", "a/../..", "index.html"),
}
_QUERY: Final = {
    "listOptions.labelSelector": text("a=b", "a in (b,c)", "!a"),
    "listOptions.fieldSelector": text("metadata.name=there", "metadata.namespace!=default"),
    "listOptions.resourceVersion": text("0", "1"),
    "listOptions.limit": text("1", "100"),
    "listOptions.continue": text("1"),
    "listOptions.timeoutSeconds": text("1"),
    "deleteOptions.preconditions.uid": text(),
    "fields": text("items.metadata.name", "-status.nodes", "metadata"),
    "nameFilter": text("Contains", "Prefix"),
    "createdAfter": text("2024-05-01T12:00:00Z"),
    "uid": text(),
    "podName": text(THERE),
    "logOptions.container": text("main"),
    "logOptions.follow": text("true", "false"),
    "logOptions.timestamps": text("true"),
    "logOptions.tailLines": text("1"),
    "logOptions.sinceSeconds": text("1"),
    "logOptions.limitBytes": text("1"),
    "grep": text("a.*", "("),
    "selector": text("a=b"),
    "name": text(THERE),
    "namespace": text("default"),
    "namePrefix": text("t"),
    "force": text("true"),
}


def _metadata() -> Document:
    words = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 40}}
    fields = {"name": text(THERE), "generateName": text("a-"), "namespace": text("default"), "uid": text("a")}
    fields |= {"labels": words, "annotations": words, "resourceVersion": text("1")}
    return {"type": "object", "properties": fields}


def _spec() -> Document:
    """As much of a spec as is needed to come through to what reads it; `tests/fuzz` makes up whole ones."""
    container = {"type": "object", "properties": {"image": text("a"), "command": {"type": "array", "items": text("a")}}}
    call = {"type": "object", "properties": {"name": text("a"), "template": text("main"), "when": text("1 == 1")}}
    steps = {"type": "array", "items": {"type": "array", "items": call}, "maxItems": 2}
    template = {"type": "object", "properties": {"name": text("main"), "container": container, "steps": steps}}
    fields = {"entrypoint": text("main"), "templates": {"type": "array", "items": template, "maxItems": 2}}
    reference = {"type": "object", "properties": {"name": text(THERE), "clusterScope": {"type": "boolean"}}}
    fields |= {"workflowTemplateRef": reference, "parallelism": {"type": "integer"}, "suspend": {"type": "boolean"}}
    return {"type": "object", "properties": fields}


def _manifest(*, cron: bool = False) -> Document:
    spec = _spec()
    if cron:
        fields = {"schedules": {"type": "array", "items": text("* * * * *")}, "schedule": text("0 0 * * *")}
        fields |= {"timezone": text("Europe/Berlin"), "suspend": {"type": "boolean"}, "workflowSpec": spec}
        fields |= {"concurrencyPolicy": text("Forbid"), "startingDeadlineSeconds": {"type": "integer"}}
        spec = {"type": "object", "properties": fields}
    return {"type": "object", "properties": {"metadata": _metadata(), "spec": spec, "status": {"type": "object"}}}


def _body() -> Document:
    texts = {"type": "array", "items": text("a=b")}
    options = {"name": text("a"), "generateName": text("a-"), "entryPoint": text("main"), "parameters": texts}
    options |= {"labels": text("a=b"), "dryRun": {"type": "boolean"}, "serverDryRun": {"type": "boolean"}}
    fields = {
        "workflow": _manifest(),
        "template": _manifest(),
        "cronWorkflow": _manifest(cron=True),
        "name": text(THERE),
        "namespace": text("default"),
        "serverDryRun": {"type": "boolean"},
        "createOptions": {"type": "object", "properties": {"dryRun": {"type": "array", "items": text("All")}}},
        "resourceKind": text("WorkflowTemplate", "CronWorkflow", "ClusterWorkflowTemplate"),
        "resourceName": text(THERE),
        "submitOptions": {"type": "object", "properties": options},
        "nodeFieldSelector": text("displayName=there"),
        "outputParameters": text("{}", '{"a": "b"}'),
        "parameters": texts,
        "message": text(),
        "phase": text("Succeeded"),
        "restartSuccessful": {"type": "boolean"},
        "memoized": {"type": "boolean"},
    }
    return {"type": "object", "properties": fields}


def document() -> Document:
    """The document, in which every operation is that a body or a query of its service may be sent to."""
    paths: Document = {}
    for method, path, name in OPERATIONS:
        given = [
            {"in": "path", "name": each, "required": True, "schema": _PATHS.get(each, text(THERE))}
            for each in re.findall(r"{(\w+)}", path)
        ]
        operation: Document = {"operationId": name, "parameters": given, "responses": {"default": {"description": ""}}}
        if method in ("POST", "PUT"):
            operation["requestBody"] = {"content": {"application/json": {"schema": _body()}}}
        else:
            given += [{"in": "query", "name": each, "schema": schema} for each, schema in _QUERY.items()]
        paths.setdefault(path, {})[method.lower()] = operation
    return {"openapi": "3.1.0", "info": {"title": "Oarlock", "version": "1"}, "paths": paths}
