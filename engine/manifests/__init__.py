"""Manifests: files in, Workflows, templates and ConfigMaps out."""

from engine.manifests.loading import Document, Manifest, ManifestError, Manifests, UnknownFields, load, load_mapping

__all__ = ["Document", "Manifest", "ManifestError", "Manifests", "UnknownFields", "load", "load_mapping"]
