"""Binding arguments to a template's inputs (Argo's ProcessArgs)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from engine.scope import Scope
from engine.substitution import SubstitutionError
from engine.template import Template
from engine.variables import config_map_value, text_of

Document = Mapping[str, Any]


_encoder = msgspec.json.Encoder()


class BindingError(Exception):
    """Arguments that do not fit the template's inputs; the message is the node's."""


def bind(
    template: Template, arguments: Document, scope: Scope, config_maps: Mapping[str, Document]
) -> tuple[msgspec.Raw | None, dict[str, Any]]:
    """The node's `inputs` as JSON, and the variables ``inputs.*`` they define.

    An input takes the argument of its name, else its own value, its ConfigMap key, its default, in that order.
    Raises `BindingError` where one has none of them.
    """
    if not template.parameters and not template.artifacts:
        return None, {}
    declared: Document = {"parameters": template.parameters, "artifacts": template.artifacts}
    if template.inputs.tags:
        try:
            declared = orjson.loads(template.inputs.render(scope, allow_unresolved=True))
        except SubstitutionError as error:
            raise BindingError(str(error)) from error
    inputs: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    if template.parameters:
        given = {parameter["name"]: parameter for parameter in arguments.get("parameters") or ()}
        inputs["parameters"] = bound = []
        for parameter in declared["parameters"]:
            name = parameter["name"]
            value = _value(parameter, given.get(name), config_maps)
            if parameter.get("enum") is not None and value not in [text_of(choice) for choice in parameter["enum"]]:
                raise BindingError(f"inputs.parameters.{name}: value {value!r} is not one of its enum")
            kept = (
                {key: field for key, field in parameter.items() if key != "valueFrom"}
                if len(parameter) > 1
                else parameter
            )
            bound.append({**kept, "value": value})
            variables[f"inputs.parameters.{name}"] = value
        variables["inputs.parameters"] = (
            orjson.dumps(bound).decode() if "inputs.parameters" in template.text.tags else ""
        )
    if template.artifacts:
        supplied = {artifact["name"]: artifact for artifact in arguments.get("artifacts") or ()}
        inputs["artifacts"] = []
        for artifact in declared["artifacts"]:
            bound_artifact = _artifact(artifact, supplied.get(artifact["name"]))
            if bound_artifact is not None:
                inputs["artifacts"].append(bound_artifact)
                variables[f"inputs.artifacts.{artifact['name']}"] = bound_artifact
    # Not orjson: the bytes that it returns keep the kilobytes they were built in, and these live as long as the node.
    return msgspec.Raw(_encoder.encode(inputs)), variables


def variables_of(inputs: msgspec.Raw | None) -> dict[str, Any]:
    """The variables ``inputs.*`` of a node that was bound earlier."""
    if inputs is None:
        return {}
    document = orjson.loads(bytes(inputs))
    variables: dict[str, Any] = {}
    parameters = document.get("parameters") or ()
    for parameter in parameters:
        variables[f"inputs.parameters.{parameter['name']}"] = text_of(parameter.get("value"))
    for artifact in document.get("artifacts") or ():
        variables[f"inputs.artifacts.{artifact['name']}"] = artifact
    variables["inputs.parameters"] = orjson.dumps(parameters).decode()
    return variables


def _value(parameter: Document, argument: Document | None, config_maps: Mapping[str, Document]) -> str:
    if argument is not None and argument.get("value") is not None:
        return text_of(argument["value"])
    if parameter.get("value") is not None:
        return text_of(parameter["value"])
    for source in ((argument or {}).get("valueFrom") or {}, parameter.get("valueFrom") or {}):
        if source.get("configMapKeyRef"):
            value = config_map_value(source["configMapKeyRef"], config_maps)
            if value is None and source.get("default") is None and parameter.get("default") is None:
                key = source["configMapKeyRef"]
                raise BindingError(f"ConfigMap '{key.get('name')}' does not have the key '{key.get('key')}'")
            if value is not None:
                return value
        if source.get("default") is not None:
            return text_of(source["default"])
    if parameter.get("default") is not None:
        return text_of(parameter["default"])
    raise BindingError(f"inputs.parameters.{parameter['name']} was not supplied")


_OWN_FIELDS = frozenset(
    {"name", "path", "mode", "optional", "archive", "recurseMode", "from", "fromExpression", "subPath"}
)


def _artifact(artifact: Document, argument: Document | None) -> Document | None:
    if argument is not None:
        return {**artifact, **{key: value for key, value in argument.items() if key not in ("from", "fromExpression")}}
    if any(key not in _OWN_FIELDS for key in artifact):
        return artifact
    if artifact.get("optional"):
        return None
    raise BindingError(f"inputs.artifacts.{artifact['name']} was not supplied")
