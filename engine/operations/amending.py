"""A workflow's document with other arguments, or other fields in its spec; nothing is changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]


def with_spec(document: Document, **fields: Any) -> Document:
    """The workflow with these fields in its spec; None takes a field away."""
    kept = {field: value for field, value in document["spec"].items() if field not in fields}
    return {**document, "spec": kept | {field: value for field, value in fields.items() if value is not None}}


def with_parameters(document: Document, parameters: Mapping[str, str]) -> Document:
    """The workflow with these values for its arguments, which come before the others (Argo's overrideParameters).

    One that its spec does not declare is added: the WorkflowTemplate that it refers to may.
    """
    if not parameters:
        return document
    arguments = document["spec"].get("arguments") or {}
    others = [each for each in arguments.get("parameters") or () if each["name"] not in parameters]
    given = [{"name": name, "value": value} for name, value in parameters.items()]
    return with_spec(document, arguments={**arguments, "parameters": [*given, *others]})
