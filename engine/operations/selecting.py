"""Node field selectors: `displayName=approve,phase!=Failed` (Argo's SelectorMatchesNode, Kubernetes' `fields`)."""

from __future__ import annotations

import re
from typing import Final

import orjson

from engine.model.node import Node
from engine.operations.errors import OperationError
from engine.substitution.variables import text_of

FIELDS: Final = ("displayName", "name", "id", "phase", "templateName", "templateRef.name", "templateRef.template")
"""The fields that every node has; besides them there is `inputs.parameters.NAME.value`."""

_INPUT: Final = re.compile(r"inputs\.parameters\..+\.value")
_TERM: Final = re.compile(r"(?P<field>[^=!]*)(?P<operator>!=|==|=)(?P<value>.*)", re.DOTALL)
_BETWEEN_TERMS: Final = re.compile(r"(?:\\.|[^\\,])+", re.DOTALL)
_VALUE: Final = re.compile(r"(?:\\[\\,=]|[^\\,=])*", re.DOTALL)


class Selector:
    """Terms that a node has to meet, all of them. Raises `OperationError` where the text is no selector."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._terms = [_term(part, text) for part in _BETWEEN_TERMS.findall(text)]
        if not self._terms:
            raise OperationError(f"node field selector {text!r}: expected FIELD=VALUE")

    def matches(self, node: Node) -> bool:
        """Whether the node meets every term; a field that it does not have is empty."""
        fields = _fields(node)
        return all((fields.get(field, "") == value) is wanted for field, wanted, value in self._terms)


def _term(part: str, text: str) -> tuple[str, bool, str]:
    """A field, whether it is to have the value or not to have it, and the value."""
    found = _TERM.fullmatch(part)
    if found is None:
        raise OperationError(f"node field selector {text!r}: expected FIELD=VALUE or FIELD!=VALUE, got {part!r}")
    field, value = found["field"].strip(), found["value"]
    if field not in FIELDS and not _INPUT.fullmatch(field):
        known = ", ".join((*FIELDS, "inputs.parameters.NAME.value"))
        raise OperationError(f"node field selector {text!r}: there is no field {field!r}; expected one of {known}")
    if not _VALUE.fullmatch(value):
        raise OperationError(f"node field selector {text!r}: expected a backslash before each of , = \\ in {value!r}")
    return field, found["operator"] != "!=", re.sub(r"\\(.)", r"\1", value)


def _fields(node: Node) -> dict[str, str]:
    reference = node.template_ref or {}
    fields = {
        "displayName": node.display_name,
        "name": node.name,
        "id": node.id,
        "phase": node.phase,
        "templateName": reference.get("template") or node.template_name,
        "templateRef.name": reference.get("name") or "",
        "templateRef.template": reference.get("template") or "",
    }
    inputs = orjson.loads(bytes(node.inputs)) if node.inputs is not None else {}
    for parameter in inputs.get("parameters") or ():
        fields[f"inputs.parameters.{parameter['name']}.value"] = text_of(parameter.get("value", ""))
    return fields
