"""Semaphores in a simulation: what a cluster's ConfigMap would say, where nobody has given it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.manifests import Manifests

Document = Mapping[str, Any]


def absent_sizes(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """ConfigMaps in place of those that semaphores name and the files do not have: each semaphore is 1 there.

    Argo fails such a workflow, and so does the engine; but to simulate one, a cluster's limits need not be known.
    """
    found: dict[str, dict[str, Any]] = {}
    for manifest in (
        *manifests.workflows,
        *manifests.workflow_templates.values(),
        *manifests.cluster_workflow_templates.values(),
    ):
        for reference in _references(manifest.document.get("spec")):
            name, key = reference.get("name"), reference.get("key")
            plain = isinstance(name, str) and isinstance(key, str) and "{{" not in name + key
            if plain and name not in manifests.config_maps:
                stand_in = found.setdefault(str(name), {"metadata": {"name": name}, "data": {}})
                stand_in["data"][key] = "1"
    return found


def _references(value: object) -> Iterator[Document]:
    """Where the sizes of semaphores are to be found, by anything in a spec."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            left += each.values()
            several = each.get("semaphores")
            for lock in (each.get("semaphore"), *(several if isinstance(several, list) else ())):
                if isinstance(lock, dict) and isinstance(lock.get("configMapKeyRef"), dict):
                    yield lock["configMapKeyRef"]
