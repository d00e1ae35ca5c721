"""Manifests: files in, Workflows, templates and ConfigMaps out."""

from engine.manifests.loading import (
    Document,
    Manifest,
    ManifestError,
    Manifests,
    UnknownFields,
    load,
    load_mapping,
    parse,
)
from engine.manifests.sources import sources, workflow_from

__all__ = [
    "Document",
    "Manifest",
    "ManifestError",
    "Manifests",
    "UnknownFields",
    "load",
    "load_mapping",
    "parse",
    "sources",
    "workflow_from",
]
