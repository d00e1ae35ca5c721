"""Arguments, inputs and outputs."""

from __future__ import annotations

import posixpath
from typing import Final

from engine.graph.arguments import is_located
from engine.shape import Document
from engine.substitution.variables import text_of
from engine.templates.kinds import Kind
from engine.templates.specification import InvalidSpec
from engine.validation.names import check_names, is_parameter, value_problem

_SOURCES: Final = ("path", "jqFilter", "jsonPath", "parameter", "expression")
_KERBEROS: Final = {
    "krbKeytabSecret": ("krbServicePrincipalName", "krbConfigConfigMap", "krbUsername", "krbRealm"),
    "krbCCacheSecret": ("krbServicePrincipalName", "krbConfigConfigMap"),
}


def check_arguments(prefix: str, arguments: Document | None, *, empty: bool = False) -> None:
    """The arguments of the workflow, a step or a task; those of a WorkflowTemplate may be ``empty``. Raises
    `InvalidSpec`."""
    arguments = arguments or {}
    for kind in ("parameters", "artifacts"):
        check_names(f"{prefix}{kind}", arguments.get(kind) or (), values=True)
    for parameter in arguments.get("parameters") or ():
        _check_argument(f"{prefix}{parameter['name']}", parameter, empty=empty)
    for artifact in arguments.get("artifacts") or ():
        if not artifact.get("from") and not is_located(artifact):
            raise InvalidSpec(f"{prefix}{artifact['name']}.from, artifact location, or key is required")
        if artifact.get("from") and artifact.get("fromExpression"):
            raise InvalidSpec(f"{prefix}{artifact['name']} shouldn't have both `from` and `fromExpression` in Artifact")


def _check_argument(place: str, parameter: Document, *, empty: bool) -> None:
    value, source = parameter.get("value"), parameter.get("valueFrom")
    if value is None and source is None and not empty:
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
    if value is None and empty:
        return
    if value is None:
        raise InvalidSpec(f"{place}.value is required")
    choices = [text_of(choice) for choice in parameter["enum"]]
    if text_of(value) not in choices:
        raise InvalidSpec(f"{place}.value should be present in {place}.enum list: {', '.join(choices)}")


def check_inputs(name: str, kind: Kind, inputs: Document | None) -> set[str]:
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
        if kind.files:
            variables.add(f"{reference}.path")
        if artifact.get("from"):
            raise InvalidSpec(f"{place}.from not valid in inputs")
        check_location(place, artifact)
    return variables


def check_location(place: str, location: Document) -> None:
    """Where an artifact lies, as far as Argo looks at it (its validateArtifactLocation). Raises `InvalidSpec`."""
    git, hdfs = location.get("git"), location.get("hdfs")
    if git is not None and not git.get("repo"):
        raise InvalidSpec(f"{place}.git.repo is required")
    if hdfs is None:
        return
    place = f"{place}.hdfs"
    for field in ("addresses", "path"):
        if not hdfs.get(field):
            raise InvalidSpec(f"{place}.{field} is required")
    if not hdfs["path"].startswith("/"):
        raise InvalidSpec(f"{place}.path must be a absolute file path")
    if not hdfs.get("hdfsUser") and hdfs.get("krbCCacheSecret") is None and hdfs.get("krbKeytabSecret") is None:
        raise InvalidSpec(f"either {place}.hdfsUser, {place}.krbCCacheSecret or {place}.krbKeytabSecret is required")
    for secret, needed in _KERBEROS.items():
        if hdfs.get(secret) is not None and not all(hdfs.get(field) for field in needed):
            fields = ", ".join(f"{place}.{field}" for field in needed)
            raise InvalidSpec(f"{fields} are required with {place}.{secret}")


def _check_path(place: str, kind: Kind, artifact: Document) -> None:
    path = artifact.get("path") or ""
    if not kind.files:
        if path:
            raise InvalidSpec(f"{place}.path only valid in container/script templates")
    elif not path:
        raise InvalidSpec(f"error in {place}: Artifact '{artifact['name']}' did not specify a path")
    elif _escapes(path):
        raise InvalidSpec(
            f"error in {place}: Artifact '{artifact['name']}' attempted to use a path containing '..'."
            " Directory traversal is not permitted"
        )


def _escapes(path: str) -> bool:
    """Whether a path leads out of what stands before its first `/../` (Argo's Artifact.CleanPath)."""
    if "/../" in path:
        safe = path[: path.index("/../")]
    elif path.endswith("/.."):
        safe = path[:-3]
    else:
        return False
    return bool(safe) and not posixpath.normpath(path).startswith(f"{safe}/")


def check_outputs(name: str, kind: Kind, outputs: Document | None) -> None:
    """What a template leaves behind. Raises `InvalidSpec`."""
    outputs = outputs or {}
    for side in ("parameters", "artifacts"):
        check_names(f"templates.{name}.outputs.{side} ", outputs.get(side) or (), values=True)
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


def _check_source(place: str, kind: Kind, parameter: Document) -> None:
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
    if kind.sources and not any(source.get(field) for field in kind.sources):
        place += " " * (kind.name == "resource")  # so it stands in Argo
        raise InvalidSpec(f"{place}.{' or '.join(kind.sources)} must be specified for {kind.called} templates")
