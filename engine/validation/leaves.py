"""Templates that run something."""

from __future__ import annotations

import re
from typing import Final

from engine.shape import Document
from engine.substitution.text import find_tags
from engine.templates.kinds import Kind
from engine.templates.library import Context
from engine.templates.specification import InvalidSpec
from engine.validation.cycles import find_cycle
from engine.validation.filling import is_open
from engine.validation.names import check_names
from registry.documents import BadDocument, check_yaml

_ACTIONS: Final = ("get", "create", "apply", "delete", "replace", "patch")
_INTEGER: Final = re.compile(r"[+-]?\d+")


def check_leaf(name: str, kind: Kind, template: Document, context: Context) -> None:
    """A template that is neither steps nor a DAG, filled in, apart from its tags. Raises `InvalidSpec`."""
    check = CHECKS.get(kind.name)
    if check is not None:
        check(name, template, context)
    deadline = template.get("activeDeadlineSeconds")
    if deadline is not None:
        text = str(deadline)
        number = int(text) if _INTEGER.fullmatch(text) and len(text) < 20 else None
        is_tag = text.startswith("{{") and text.endswith("}}")
        if (number is None and not is_tag and not is_open(text)) or (number is not None and number < 0):
            raise InvalidSpec(
                f"templates.{name}.activeDeadlineSeconds must be a positive integer > 0 or an argo variable"
            )
    if template.get("parallelism") is not None:
        raise InvalidSpec(f"templates.{name}.parallelism is only valid for steps and dag templates")


def _check_container(name: str, template: Document, context: Context) -> None:
    mounted = _check_mounts(f"templates.{name}.container.", "container.volumeMounts", template["container"])
    for index, artifact in enumerate((template.get("inputs") or {}).get("artifacts") or ()):
        path = artifact.get("path") or ""
        if path in mounted:
            raise InvalidSpec(
                f"templates.{name}.inputs.artifacts[{index}].path '{path}' already mounted in {mounted[path]}"
            )
        mounted[path] = f"inputs.artifacts.{artifact['name']}"
    _check_image("container", name, template, context)


def _check_script(name: str, template: Document, context: Context) -> None:
    _check_image("script", name, template, context)


def _check_image(field: str, name: str, template: Document, context: Context) -> None:
    # Argo has forgotten the templateDefaults of a ClusterWorkflowTemplate here.
    defaults = {} if context.cluster else context.own_defaults
    if not template[field].get("image") and not (defaults.get(field) or {}).get("image"):
        raise InvalidSpec(f"templates.{name}.{field}.image may not be empty")


def _check_mounts(prefix: str, source: str, document: Document) -> dict[str, str]:
    mounted: dict[str, str] = {}
    for index, mount in enumerate(document.get("volumeMounts") or ()):
        path = mount.get("mountPath") or ""
        if path in mounted:
            raise InvalidSpec(f"{prefix}volumeMounts[{index}].mountPath '{path}' already mounted in {mounted[path]}")
        mounted[path] = f"{source}.{mount.get('name')}"
    return mounted


def _check_containers(name: str, template: Document, context: Context) -> None:
    prefix = f"templates.{name}.containerSet."
    containers = template["containerSet"].get("containers") or ()
    if not containers:
        raise InvalidSpec(f"{prefix}containers must have at least one container")
    check_names(f"{prefix}containers", containers)
    _check_mounts(prefix, "volumeMounts", template["containerSet"])
    parents = {each["name"]: each.get("dependencies") or () for each in containers}
    for container, dependencies in parents.items():
        for dependency in dependencies:
            if dependency not in parents:
                raise InvalidSpec(f"{prefix}containers.{container} dependency '{dependency}' not defined")
    cycle = find_cycle(parents)
    if cycle:
        raise InvalidSpec(f"{prefix}containers dependency cycle detected: {'->'.join(cycle)}")
    outputs = template.get("outputs") or {}
    needed = (template.get("inputs") or {}).get("artifacts") or outputs.get("parameters") or outputs.get("artifacts")
    if needed and "main" not in parents:
        raise InvalidSpec(f'{prefix}containers must have a container named "main" for input or output')


def _check_resource(name: str, template: Document, context: Context) -> None:
    resource = template["resource"]
    action, manifest = resource.get("action") or "", resource.get("manifest") or ""
    source = resource.get("manifestFrom")
    place = f"templates.{name}.resource"
    if action not in _ACTIONS and not is_open(action):
        raise InvalidSpec(f"{place}.action must be one of: {', '.join(_ACTIONS)}")
    if action in ("get", "delete"):
        return
    if not manifest and source is None:
        raise InvalidSpec(f"either {place}.manifest or {place}.manifestFrom must be specified")
    if manifest and source is not None:
        problem = "shouldn't have both `manifest` and `manifestFrom` specified in `Manifest` for resource template"
        raise InvalidSpec(problem)
    wanted = ((source or {}).get("artifact") or {}).get("name")
    if wanted is not None:
        artifacts = (template.get("inputs") or {}).get("artifacts") or ()
        if wanted not in [artifact["name"] for artifact in artifacts]:
            raise InvalidSpec(f"artifact {wanted} in `manifestFrom` refer to a non-exist artifact")
    try:
        check_yaml(_without_tags(manifest))
    except BadDocument as error:
        raise InvalidSpec(f"{place}.manifest must be a valid yaml: {error}") from error


def _without_tags(text: str) -> str:
    """The text with words for its tags: what they become may be anything, and is seen when it is there."""
    parts: list[str] = []
    position = 0
    for start, end in find_tags(text):
        parts += (text[position:start], "placeholder")
        position = end
    return "".join((*parts, text[position:]))


CHECKS: Final = {
    "container": _check_container,
    "script": _check_script,
    "containerSet": _check_containers,
    "resource": _check_resource,
}
