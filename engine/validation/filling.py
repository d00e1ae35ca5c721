"""Templates as they are once called, which is what the rules look at (Argo's ProcessArgs, workflow/common/util.go).

Values that are known before anything runs stand where their tags stood; a placeholder stands for any other that will
be. What expressions come to is left for later: with placeholders about, Argo lets them be, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Final

import orjson

from engine.graph.arguments import is_located
from engine.shape import Document, WrongType, check_template
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, compile_json
from engine.substitution.variables import json_parameters, text_of
from engine.templates.specification import InvalidSpec

PLACEHOLDER: Final = "argo-placeholder-"
"""What placeholders begin with; they are valid as names of any kind."""


class Placeholders:
    """Makes texts that stand for values which are not known yet, each unlike any other one of this validation."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self) -> str:
        return f"{PLACEHOLDER}{next(self._numbers)}"


def is_open(text: str) -> bool:
    """Whether a text from a filled-in template is yet to become what it will be."""
    return text.startswith(PLACEHOLDER) or "{{=" in text


def fill_in(template: Document, arguments: Document | None, scope: Scope, placeholder: Placeholders) -> Document:
    """The template with its inputs bound and its tags filled in, from ``scope`` and then from the inputs.

    Without arguments every input counts as given. Raises `InvalidSpec` where one is not, or where a tag never ends.
    """
    inputs = template.get("inputs") or {}
    given = _named(arguments, "parameters")
    parameters = [_parameter(each, given, placeholder) for each in inputs.get("parameters") or ()]
    given = _named(arguments, "artifacts")
    artifacts = [_artifact(each, given) for each in inputs.get("artifacts") or ()]
    called: Document = {**template, "inputs": {**inputs, "parameters": parameters, "artifacts": artifacts}}
    if b"{{" not in orjson.dumps(called):
        return called
    try:
        called = _rendered(called, scope)
        return _rendered(called, Scope(scope, _variables(called)))
    except SubstitutionError as error:
        raise InvalidSpec(str(error)) from error


def _rendered(document: Document, scope: Scope) -> Document:
    text = compile_json(document)
    if not text.tags:
        return document
    rendered: Document = orjson.loads(text.render(scope, allow_unresolved=True, evaluate=False))
    try:
        check_template(rendered)  # tags may stand in keys, too
    except WrongType as error:
        raise InvalidSpec(str(error)) from error
    return rendered


def _named(arguments: Document | None, kind: str) -> dict[str, Document] | None:
    return None if arguments is None else {each["name"]: each for each in arguments.get(kind) or ()}


def _parameter(parameter: Document, given: Mapping[str, Document] | None, placeholder: Placeholders) -> Document:
    value, source = parameter.get("value"), parameter.get("valueFrom")
    value = parameter.get("default") if value is None else value
    if given is None:
        value, source = placeholder(), None
    elif parameter["name"] in given:
        argument = given[parameter["name"]]
        value = argument.get("value")
        source = None if value is not None else argument.get("valueFrom")
    if value is None and not (source or {}).get("configMapKeyRef"):
        raise InvalidSpec(f"inputs.parameters.{parameter['name']} was not supplied")
    return {**parameter, "value": None if value is None else text_of(value), "valueFrom": source}


def _artifact(artifact: Document, given: Mapping[str, Document] | None) -> Document:
    name = artifact["name"]
    argument = {"name": name} if given is None else given.get(name)
    if argument is None:
        if not artifact.get("optional") and not is_located(artifact):
            raise InvalidSpec(f"inputs.artifacts.{name} was not supplied")
        return artifact
    return {**argument, **{field: artifact[field] for field in ("path", "mode", "recurseMode") if field in artifact}}


def _variables(called: Document) -> dict[str, str]:
    inputs, outputs = called["inputs"], called.get("outputs") or {}
    found = {
        f"inputs.parameters.{each['name']}": each["value"] for each in inputs["parameters"] if each["value"] is not None
    }
    found["inputs.parameters"] = json_parameters(inputs["parameters"])
    for side, artifacts in (("inputs", inputs["artifacts"]), ("outputs", outputs.get("artifacts") or ())):
        found.update({f"{side}.artifacts.{each['name']}.path": each["path"] for each in artifacts if each.get("path")})
    for each in outputs.get("parameters") or ():
        path = (each.get("valueFrom") or {}).get("path")
        if path:
            found[f"outputs.parameters.{each['name']}.path"] = path
    return found
