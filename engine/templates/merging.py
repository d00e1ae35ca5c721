"""`templateDefaults` and WorkflowTemplates under what refers to them: Kubernetes' strategic merge."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeGuard

from engine.shape import Document
from engine.templates.kinds import KINDS

_KEYS: Final = {
    **dict.fromkeys(("parameters", "artifacts", "volumes", "sidecars", "initContainers", "env"), "name"),
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "tolerations": "key",
    "hostAliases": "ip",
}
"""The lists that Kubernetes merges entry by entry, each by this field; all others replace one another."""


def merge_defaults(document: Document, defaults: Document) -> Document:
    """`templateDefaults` under a template: the template's own fields win, maps merge, lists and scalars replace.

    Defaults that would change what kind of template it is (a `container` for a `script`) do not apply, as in Argo,
    where merging them would make the template invalid.
    """
    if not defaults:
        return document
    own = [kind for kind in KINDS if document.get(kind) is not None]
    return merge({key: value for key, value in defaults.items() if key not in KINDS or key in own}, document)


def merge(base: Document, over: Document) -> dict[str, Any]:
    """`over` on top of `base` as a strategic merge patch; what is empty in `over` is, to Go, not there at all."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if below is not None and (value is None or value == "" or value == []):
            continue
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = merge(below, value)
        elif key in _KEYS and _are_entries(below) and _are_entries(value):
            result[key] = _merge_entries(below, value, _KEYS[key])
        else:
            result[key] = value
    return result


def _are_entries(value: object) -> TypeGuard[list[Document]]:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _merge_entries(base: list[Document], over: list[Document], field: str) -> list[Document]:
    """The entries of both in the order of `over`, and each that only `base` has before the first that came after it
    there (Kubernetes' mergeSortedSlice)."""
    places = {str(each.get(field)): place for place, each in enumerate(base)}
    own = {str(each.get(field)) for each in over}
    rest = deque(place for key, place in places.items() if key not in own)
    merged: list[Document] = []
    for each in over:
        place = places.get(str(each.get(field)), -1)
        while rest and rest[0] < place:
            merged.append(base[rest.popleft()])
        merged.append(merge(base[place], each) if place >= 0 else each)
    return [*merged, *(base[place] for place in rest)]
