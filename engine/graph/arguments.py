"""Binding arguments to a template's inputs (Argo's ProcessArgs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from engine.expressions.budget import budgeted
from engine.shape import Document
from engine.substitution.scope import Scope
from engine.substitution.text import MAX_FILLED, SubstitutionError, Text, TooLarge, render_string
from engine.substitution.variables import absent_key, config_map_value, json_parameters, text_of
from engine.templates.template import Template

_encoder = msgspec.json.Encoder()


class BindingError(Exception):
    """Arguments that do not fit the template's inputs; the message is the node's."""


def bind(
    template: Template, arguments: Document, scope: Scope, config_maps: Mapping[str, Document]
) -> tuple[msgspec.Raw | None, dict[str, Any]]:
    """The node's `inputs` as JSON, and the variables ``inputs.*`` they define.

    An input takes what the argument of its name says, else its own value or default, or its ConfigMap key. An argument
    that is ``absent`` names an output of a node that never ran, and counts as not given. Raises `BindingError`.
    """
    variables: dict[str, Any] = {}
    if not template.parameters and template.text.tags:
        variables["inputs.parameters"] = json_parameters(())
    if not template.parameters and not template.artifacts:
        return None, variables
    inputs: dict[str, Any] = {}
    if template.parameters:
        given = {parameter["name"]: parameter for parameter in arguments.get("parameters") or ()}
        inputs["parameters"] = bound = []
        for parameter in _declared(template.parameters, template.inputs, scope):
            name = parameter["name"]
            value = _value(parameter, given.get(name), config_maps)
            if len(parameter) > 1:
                parameter = {key: field for key, field in parameter.items() if key != "valueFrom"}
            bound.append({**parameter, "value": value})
            variables[f"inputs.parameters.{name}"] = value
        left = [each for each in bound if each["name"] in template.derived and each["name"] not in given]
        if left:
            _complete(left, bound, scope)
            variables.update({f"inputs.parameters.{each['name']}": each["value"] for each in left})
        if template.reads_list:
            variables["inputs.parameters"] = json_parameters(bound)
    if template.artifacts:
        supplied = {artifact["name"]: artifact for artifact in arguments.get("artifacts") or ()}
        inputs["artifacts"] = []
        for artifact in _declared(template.artifacts, template.located, Scope(scope, variables)):
            bound_artifact = _artifact(artifact, supplied.get(artifact["name"]))
            inputs["artifacts"].append(bound_artifact)
            variables[f"inputs.artifacts.{artifact['name']}"] = bound_artifact
    # Not orjson: the bytes that it returns keep the kilobytes they were built in, and these live as long as the node.
    return msgspec.Raw(_encoder.encode(inputs)), variables


def _declared(documents: Sequence[Document], text: Text, scope: Scope) -> Sequence[Document]:
    """Inputs as a template declares them, filled in; ``text`` is theirs."""
    if not text.tags:
        return documents
    try:
        declared: list[Document] = orjson.loads(text.render(scope, allow_unresolved=True))
    except SubstitutionError as error:
        raise BindingError(str(error)) from error
    return declared


def _complete(left: list[dict[str, Any]], bound: list[dict[str, Any]], scope: Scope) -> None:
    """Fill in what inputs name of one another, now that each has a value: Argo does that with the inputs that the node
    shows, and again with what is made from these. Tags that cannot be filled in stay."""
    with budgeted():  # they are parts of one text
        for _ in range(2):
            known = Scope(scope, {f"inputs.parameters.{each['name']}": each["value"] for each in bound})
            size = 0
            for each in left:
                each["value"] = render_string(each["value"], known)
                size += len(each["value"])
                if size > MAX_FILLED:
                    raise TooLarge("what the inputs stand for is too large")


def attempted(template: Template, inputs: msgspec.Raw | None, scope: Scope) -> msgspec.Raw | None:
    """The inputs of one attempt, from those that all have: ``scope`` says which one it is."""
    document = {} if inputs is None else orjson.loads(bytes(inputs))
    bound = document.get("parameters") or []
    _complete([each for each in bound if each["name"] in template.derived], bound, scope)
    return msgspec.Raw(_encoder.encode(document))


def variables_of(inputs: msgspec.Raw | None) -> dict[str, Any]:
    """The variables ``inputs.*`` of a node that was bound earlier."""
    document = {} if inputs is None else orjson.loads(bytes(inputs))
    variables: dict[str, Any] = {}
    parameters = document.get("parameters") or ()
    for parameter in parameters:
        variables[f"inputs.parameters.{parameter['name']}"] = text_of(parameter.get("value"))
    for artifact in document.get("artifacts") or ():
        variables[f"inputs.artifacts.{artifact['name']}"] = artifact
    variables["inputs.parameters"] = json_parameters(parameters)
    return variables


def _value(parameter: Document, argument: Document | None, config_maps: Mapping[str, Document]) -> str:
    name = parameter["name"]
    value = parameter["value"] if parameter.get("value") is not None else parameter.get("default")
    source = parameter.get("valueFrom")
    if argument is not None and argument.get("absent"):
        if value is None and not source:
            raise BindingError(
                f"inputs.parameters.{name}: argument references an absent optional"
                " (skipped/omitted node output with no default)"
            )
    elif argument is not None:
        value, source = argument.get("value"), argument.get("valueFrom")
        if value is not None:
            return text_of(value)
    reference = (source or {}).get("configMapKeyRef")
    if reference:
        found = config_map_value(reference, config_maps)
        if found is not None:
            return found
        if (source or {}).get("default") is None:
            raise BindingError(
                f"unable to retrieve inputs.parameters.{name} from ConfigMap: {absent_key(reference, config_maps)}"
            )
        value = (source or {})["default"]
    if value is None:
        raise BindingError(f"inputs.parameters.{name} was not supplied")
    return text_of(value)


_LOCATIONS: Final[dict[str, tuple[str, ...]]] = {
    "s3": ("key",),
    "gcs": ("key",),
    "oss": ("key",),
    "azure": ("blob",),
    "hdfs": ("path", "addresses"),
    "git": ("repo",),
    "http": ("url",),
    "artifactory": ("url",),
    "plugin": ("key",),
}


def is_located(artifact: Document) -> bool:
    """Whether an artifact says where it lies (Argo's HasLocationOrKey, but for one that lies nowhere: ``url: ""``)."""
    return artifact.get("raw") is not None or any(
        isinstance(artifact.get(store), Mapping) and any(artifact[store].get(field) is not None for field in fields)
        for store, fields in _LOCATIONS.items()
    )


def keyed(artifact: Document, key: str) -> Document:
    """The artifact at another key, of where it lies or of the artifact repository (Argo's SetKey).

    Raises `BindingError` for one that lies at none.
    """
    if artifact.get("raw") is not None or artifact.get("git") is not None:
        raise BindingError(f"artifact {artifact['name']!r} lies at no key")
    store = next((each for each in _LOCATIONS if isinstance(artifact.get(each), Mapping)), "s3")
    return {**artifact, store: {**(artifact.get(store) or {}), _LOCATIONS[store][0]: key}}


def _artifact(artifact: Document, argument: Document | None) -> Document:
    name = artifact["name"]
    if not artifact.get("optional") and not is_located(artifact):
        if argument is None:
            raise BindingError(f"inputs.artifacts.{name} was not supplied")
        if not is_located(argument):
            raise BindingError(f"inputs.artifacts.{name} missing location information")
    if argument is None:
        return artifact
    own = {key: artifact[key] for key in ("path", "mode", "recurseMode", "optional") if key in artifact}
    return {**{key: value for key, value in argument.items() if key not in ("from", "fromExpression")}, **own}
