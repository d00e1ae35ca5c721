"""Semaphores in a simulation: what a cluster's ConfigMap would say, where nobody has given it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.manifests import Manifests
from engine.model.naming import told
from engine.shape import Document


def absent_sizes(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """ConfigMaps in place of those that semaphores name and the files do not have: each semaphore is 1 there.

    Argo fails such a workflow, and so does the engine; but to simulate one, a cluster's limits need not be known.
    """
    found: dict[str, dict[str, Any]] = {}
    namespaces = dict.fromkeys(each.namespace for each in manifests.workflows)
    """Those in which a ClusterWorkflowTemplate may be used."""
    for manifest in (*manifests.workflows, *manifests.templates):
        for lock in _semaphores(manifest.document.get("spec")):
            reference = lock["configMapKeyRef"]
            name, key = reference.get("name"), reference.get("key")
            if not isinstance(name, str) or not isinstance(key, str) or "{{" in name + key:
                continue
            own = str(lock.get("namespace") or manifest.namespace)
            for namespace in (own,) if own else namespaces:
                place = told(namespace, name)
                if place not in manifests.config_maps:
                    metadata = {"name": name, "namespace": namespace}
                    found.setdefault(place, {"metadata": metadata, "data": {}})["data"][key] = "1"
    return found


def _semaphores(value: object) -> Iterator[Document]:
    """The semaphores whose sizes are in ConfigMaps, in anything in a spec."""
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
                    yield lock
