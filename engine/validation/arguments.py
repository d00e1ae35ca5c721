"""Arguments, inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from engine.graph.arguments import is_located
from engine.specification import InvalidSpec
from engine.validation.names import check_names, is_parameter, value_problem
from engine.variables import text_of

Document = Mapping[str, Any]

LEAVES: Final = ("container", "containerSet", "script", "resource", "data", "http", "plugin")
"""The kinds of templates that take and leave artifacts as files."""

_SOURCES: Final = ("path", "jqFilter", "jsonPath", "parameter", "expression")
_UPWARDS: Final = re.compile(r"/\.\.(/|$)")


def check_arguments(prefix: str, arguments: Document | None) -> None:
    """The arguments of the workflow, a step or a task. Raises `InvalidSpec`."""
    arguments = arguments or {}
    for kind in ("parameters", "artifacts"):
        check_names(f"{prefix}{kind}", arguments.get(kind) or (), values=True)
    for parameter in arguments.get("parameters") or ():
        _check_argument(f"{prefix}{parameter['name']}", parameter)
    for artifact in arguments.get("artifacts") or ():
        if not artifact.get("from") and not is_located(artifact):
            raise InvalidSpec(f"{prefix}{artifact['name']}.from, artifact location, or key is required")
        if artifact.get("from") and artifact.get("fromExpression"):
            raise InvalidSpec(f"{prefix}{artifact['name']} shouldn't have both `from` and `fromExpression` in Artifact")


def _check_argument(place: str, parameter: Document) -> None:
    value, source = parameter.get("value"), parameter.get("valueFrom")
    if value is None and source is None:
        raise InvalidSpec(f"{place}.value or {place}.valueFrom is required")
    if source is not None:
        sources = ("configMapKeyRef", "event", "supplied")
        others = ("path", "jsonPath", "parameter", "expression")
        found = any(source.get(field) is not None for field in sources)
        if not found or any(source.get(field) for field in others):
            raise InvalidSpec(f"{place}.valueFrom only allows: default, configMapKeyRef and supplied")
    if parameter.get("enum") is None:
        return
    if not parameter["enum"]:
        raise InvalidSpec(f"{place}.enum should contain at least one value")
    if value is None:
        raise InvalidSpec(f"{place}.value is required")
    if text_of(value) not in map(text_of, parameter["enum"]):
        raise InvalidSpec(f"{place}.value should be present in {place}.enum list")


def check_supplied(template: Document, arguments: Document | None) -> None:
    """Every input has an argument or a value of its own; an artifact may be optional. Raises `InvalidSpec`."""
    given = {kind: {each["name"] for each in (arguments or {}).get(kind) or ()} for kind in ("parameters", "artifacts")}
    inputs = template.get("inputs") or {}
    for parameter in inputs.get("parameters") or ():
        has_own = any(parameter.get(field) is not None for field in ("value", "default", "valueFrom"))
        if not has_own and parameter["name"] not in given["parameters"]:
            raise InvalidSpec(f"inputs.parameters.{parameter['name']} was not supplied")
    for artifact in inputs.get("artifacts") or ():
        has_own = artifact.get("optional") or is_located(artifact)
        if not has_own and artifact["name"] not in given["artifacts"]:
            raise InvalidSpec(f"inputs.artifacts.{artifact['name']} was not supplied")


def check_inputs(name: str, kind: str, inputs: Document | None) -> set[str]:
    """What a template takes; returns the variables that makes. Raises `InvalidSpec`."""
    inputs = inputs or {}
    for side in ("parameters", "artifacts"):
        check_names(f"templates.{name}.inputs.{side}", inputs.get(side) or (), values=True)
    parameters = inputs.get("parameters") or ()
    variables = {f"inputs.parameters.{parameter['name']}" for parameter in parameters}
    if parameters:
        variables.add("inputs.parameters")
    for artifact in inputs.get("artifacts") or ():
        reference = f"inputs.artifacts.{artifact['name']}"
        place = f"templates.{name}.{reference}"
        variables.add(reference)
        _check_path(place, kind, artifact)
        if kind in LEAVES:
            variables.add(f"{reference}.path")
        if artifact.get("from"):
            raise InvalidSpec(f"{place}.from not valid in inputs")
        if isinstance(artifact.get("git"), Mapping) and not artifact["git"].get("repo"):
            raise InvalidSpec(f"{place}.git.repo is required")
    return variables


def _check_path(place: str, kind: str, artifact: Document) -> None:
    path = artifact.get("path") or ""
    if kind not in LEAVES:
        if path:
            raise InvalidSpec(f"{place}.path only valid in container/script templates")
    elif not path:
        raise InvalidSpec(f"error in {place}: Artifact '{artifact['name']}' did not specify a path")
    elif _UPWARDS.search(path):
        raise InvalidSpec(
            f"error in {place}: Artifact '{artifact['name']}' attempted to use a path containing '..'."
            " Directory traversal is not permitted"
        )


def check_outputs(name: str, kind: str, outputs: Document | None) -> None:
    """What a template leaves behind. Raises `InvalidSpec`."""
    outputs = outputs or {}
    for side in ("parameters", "artifacts"):
        check_names(f"templates.{name}.outputs.{side} ", outputs.get(side) or (), values=True, tags=True)
    for artifact in outputs.get("artifacts") or ():
        place = f"templates.{name}.outputs.artifacts.{artifact['name']}"
        _check_path(place, kind, artifact)
        _check_global_name(place, artifact)
    for parameter in outputs.get("parameters") or ():
        place = f"templates.{name}.outputs.parameters.{parameter['name']}"
        _check_source(place, kind, parameter)
        _check_global_name(place, parameter)


def _check_global_name(place: str, document: Document) -> None:
    name = document.get("globalName") or ""
    problem = value_problem(name) if name and not is_parameter(name) else ""
    if problem:
        raise InvalidSpec(f"{place}.globalName: {problem}")


def _check_source(place: str, kind: str, parameter: Document) -> None:
    source = parameter.get("valueFrom")
    if source is None:
        if parameter.get("value") is None:
            raise InvalidSpec(f"{place} does not have valueFrom or value specified")
        return
    if parameter.get("value") is not None:
        raise InvalidSpec(f"{place} has both valueFrom and value specified. Choose one.")
    found = sum(bool(source.get(field)) for field in _SOURCES) + (source.get("supplied") is not None)
    choice = "choose one of: path, jqFilter, jsonPath, parameter, raw"
    if found == 0:
        raise InvalidSpec(f"valueFrom type unspecified. {choice}, expression")
    if found > 1:
        raise InvalidSpec(f"multiple valueFrom types specified. {choice}")
    if kind in ("container", "containerSet", "script") and not source.get("path"):
        raise InvalidSpec(f"{place}.path must be specified for {kind[0].upper()}{kind[1:]} templates")
    if kind == "resource" and not source.get("jqFilter") and not source.get("jsonPath"):
        raise InvalidSpec(f"{place} .jqFilter or jsonPath must be specified for Resource templates")
    if kind in ("steps", "dag") and not source.get("parameter") and not source.get("expression"):
        wanted = "DAG" if kind == "dag" else "Steps"
        raise InvalidSpec(f"{place}.parameter or expression must be specified for {wanted} templates")
