"""Plugins found in Kubernetes manifests: ConfigMaps that carry Argo's label for controller plugins.

    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: hello-controller-plugin
      labels:
        workflows.argoproj.io/configmap-type: ControllerPlugin
    data:
      address: http://localhost:4355
      timeout: 500ms              # optional, as other plain keys of [[plugins]]; the values are strings

Other documents, and other ConfigMaps, are passed over; a List, as ``kubectl get configmap -o yaml`` prints it, is
looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from registry.config import FieldError, PluginConfig, show
from registry.decoding import decode, renamed, unknown_key
from registry.documents import BadDocument, read_json, read_yaml
from registry.errors import ConfigError
from registry.text import read_text
from registry.trust import FILE_KEYS, FILE_REFUSED, refuse_untrusted
from rpc.destinations import Destinations

LABEL: Final = "workflows.argoproj.io/configmap-type"
CONTROLLER_PLUGIN: Final = "ControllerPlugin"

_SUFFIXES: Final = (".yaml", ".yml", ".json")
# RFC 1123 subdomains: what Kubernetes takes for the name of a ConfigMap.
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# The keys whose values can be written as one string, and that name no file. The name is the ConfigMap's own.
_KEYS: Final = tuple(
    field.encode_name
    for field in msgspec.structs.fields(PluginConfig)
    if field.encode_name not in ("name", "match", "batch", "retry", "breaker", *FILE_KEYS)
)


class Found(NamedTuple):
    """A plugin, and where its name was read."""

    file: Path
    path: str
    plugin: PluginConfig


def manifest_files(source: Path) -> tuple[Path, ...]:
    """The manifests that `source` stands for: itself, or those directly in it, by name. Raises `OSError`.

    What starts with a dot is left out: in a mounted ConfigMap, the folders that hold each file again.
    """
    if not source.is_dir():
        source.stat()
        return (source,)
    return tuple(
        sorted(file for file in source.iterdir() if file.suffix in _SUFFIXES and not file.name.startswith("."))
    )


def plugins_in(file: Path, allowed: tuple[str, ...] | None) -> list[Found]:
    """The plugins in one manifest file, in its order, with addresses that are `allowed`. Raises `ConfigError`."""
    found = []
    for number, document in enumerate(_documents(file), 1):
        for path, manifest in _manifests(document, f"document {number}: ", file):
            if _is_plugin(manifest, path, file):
                found.append(Found(file, f"{path}metadata.name", plugin_of(manifest, file, path, allowed)))
    return found


def _documents(file: Path) -> list[Any]:
    read = read_json if file.suffix == ".json" else read_yaml
    try:
        documents = list(read(read_text(file).encode(), str(file)))
    except BadDocument as error:
        place = f"line {error.line}, column {error.column}" if error.line else ""
        raise ConfigError(file, place, f"not {'JSON' if read is read_json else 'YAML'}: {error}") from None
    if all(document is None for document in documents):
        raise ConfigError(file, "", "expected a Kubernetes manifest, got an empty file")
    return documents


def _manifests(document: Any, path: str, file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if document is None:  # what is between two ``---``
        return
    if not isinstance(document, dict):
        raise ConfigError(file, path.removesuffix(": "), f"expected a Kubernetes manifest, got {show(document)}")
    items = document.get("items")
    if document.get("kind") not in ("List", "ConfigMapList") or not isinstance(items, list):
        yield path, document
        return
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise ConfigError(file, f"{path}items[{index}]", f"expected a Kubernetes manifest, got {show(item)}")
        yield f"{path}items[{index}].", item


def is_labelled(manifest: dict[str, Any]) -> bool:
    """Whether it has the label of controller plugins."""
    metadata = manifest.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return isinstance(labels, dict) and labels.get(LABEL) == CONTROLLER_PLUGIN


def _is_plugin(manifest: dict[str, Any], path: str, file: Path) -> bool:
    if not is_labelled(manifest):
        return False
    if manifest.get("kind") != "ConfigMap":
        kind = show(manifest.get("kind"))
        raise ConfigError(
            file, f"{path}kind", f"expected ConfigMap, for it is labelled {CONTROLLER_PLUGIN}, got {kind}"
        )
    return True


def plugin_of(manifest: dict[str, Any], file: Path, path: str, allowed: tuple[str, ...] | None) -> PluginConfig:
    """The plugin that a ConfigMap with the label is, found at `path` in `file`. Raises `ConfigError`."""
    name = manifest["metadata"].get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        expected = "expected a lower case name as Kubernetes has them"
        raise ConfigError(file, f"{path}metadata.name", f"{expected}, got {show(name)}")
    data = manifest.get("data")
    if not isinstance(data, dict):
        raise ConfigError(file, f"{path}data", f"expected a table with an address, got {show(data)}")
    data = renamed(data, file=file, at=f"{path}data")
    for key, value in data.items():
        if key in FILE_KEYS:
            raise ConfigError(file, f"{path}data.{key}", FILE_REFUSED)
        if key not in _KEYS:
            raise ConfigError(file, f"{path}data.{key}", unknown_key(str(key), _KEYS))
        if not isinstance(value, str):
            raise ConfigError(file, f"{path}data.{key}", f"expected a string, in quotes, got {show(value)}")
    plugin = decode({"name": name, **data}, PluginConfig, file=file, at=f"{path}data", lax=True)
    try:
        refuse_untrusted(plugin, Destinations(allowed, discovered=True))
    except FieldError as error:
        raise ConfigError(file, f"{path}data.{error.field}", error.reason) from None
    return plugin
