"""Plugins found in Kubernetes manifests: ConfigMaps that carry Argo's label for controller plugins.

    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: hello-controller-plugin
      labels:
        workflows.argoproj.io/configmap-type: ControllerPlugin
    data:
      address: http://localhost:4355
      timeout: 500ms              # optional, as any other plain key of [[plugins]]; the values are strings

Other documents, and other ConfigMaps, are passed over; a List, as ``kubectl get configmap -o yaml`` prints it, is
looked into.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from registry.config import PluginConfig, show
from registry.decoding import decode, unknown_key
from registry.errors import ConfigError
from registry.text import read_text

LABEL: Final = "workflows.argoproj.io/configmap-type"
CONTROLLER_PLUGIN: Final = "ControllerPlugin"

_SUFFIXES: Final = (".yaml", ".yml", ".json")
# RFC 1123 subdomains: what Kubernetes takes for the name of a ConfigMap.
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# The keys whose values can be written as one string. The name is the ConfigMap's own.
_KEYS: Final = tuple(
    field.encode_name
    for field in msgspec.structs.fields(PluginConfig)
    if field.name not in ("name", "match", "batch", "retry", "breaker")
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


def plugins_in(file: Path) -> list[Found]:
    """The plugins in one manifest file, in its order. Raises `ConfigError`."""
    found = []
    for number, document in enumerate(_documents(file), 1):
        for path, manifest in _manifests(document, f"document {number}: ", file):
            if _is_plugin(manifest, path, file):
                found.append(Found(file, f"{path}metadata.name", _plugin(manifest, path, file)))
    return found


def _documents(file: Path) -> list[Any]:
    text = read_text(file)
    try:
        documents = [json.loads(text)] if file.suffix == ".json" else list(yaml.safe_load_all(text))
    except json.JSONDecodeError as error:
        raise ConfigError(file, f"line {error.lineno}, column {error.colno}", f"not JSON: {error.msg}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(file, place, f"not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(file, f"line {line}", f"not YAML: {error.reason}") from None
    except ValueError as error:  # a date such as 2020-99-99
        raise ConfigError(file, "", f"not YAML: {error}") from None
    except RecursionError:
        raise ConfigError(file, "", "nested too deeply") from None
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


def _is_plugin(manifest: dict[str, Any], path: str, file: Path) -> bool:
    metadata = manifest.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    if not isinstance(labels, dict) or labels.get(LABEL) != CONTROLLER_PLUGIN:
        return False
    if manifest.get("kind") != "ConfigMap":
        kind = show(manifest.get("kind"))
        raise ConfigError(
            file, f"{path}kind", f"expected ConfigMap, for it is labelled {CONTROLLER_PLUGIN}, got {kind}"
        )
    return True


def _plugin(manifest: dict[str, Any], path: str, file: Path) -> PluginConfig:
    name = manifest["metadata"].get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        expected = "expected a lower case name as Kubernetes has them"
        raise ConfigError(file, f"{path}metadata.name", f"{expected}, got {show(name)}")
    data = manifest.get("data")
    if not isinstance(data, dict):
        raise ConfigError(file, f"{path}data", f"expected a table with an address, got {show(data)}")
    for key, value in data.items():
        if key not in _KEYS:
            raise ConfigError(file, f"{path}data.{key}", unknown_key(str(key), _KEYS))
        if not isinstance(value, str):
            raise ConfigError(file, f"{path}data.{key}", f"expected a string, in quotes, got {show(value)}")
    return decode({"name": name, **data}, PluginConfig, file=file, at=f"{path}data", lax=True)
