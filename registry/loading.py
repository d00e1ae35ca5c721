"""Reading ``plugins.toml`` and what it refers to; everything is checked before anything is used."""

from __future__ import annotations

import re
import tomllib
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from registry.config import Config, EngineSettings, KubernetesSettings, PluginConfig, Settings, show
from registry.configmaps import Found, manifest_files, plugins_in
from registry.decoding import decode, renamed
from registry.errors import ConfigError
from registry.text import read_text
from rpc.address import parse_address
from rpc.destinations import Destinations

_POSITION: Final = re.compile(r"(?P<reason>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")


class _Document(Settings, frozen=True):
    """The file's own tables; `Config` is what comes of them."""

    engine: Annotated[EngineSettings, Meta(description="a table, [engine]")] = EngineSettings()
    plugins: Annotated[tuple[PluginConfig, ...], Meta(description="tables, each under [[plugins]]")] = ()
    configmaps: Annotated[
        tuple[Annotated[str, Meta(min_length=1, description="the name of a file or folder")], ...],
        Meta(description="an array of names of files and folders"),
    ] = ()
    kubernetes: Annotated[KubernetesSettings | None, Meta(description="a table, [kubernetes]")] = None


def load_config(path: str | PathLike[str], known: Config | None = None) -> Config:
    """The configuration in the TOML file `path`, and in the manifests and other files that it names.

    Relative names in it start from its own folder. Reads files, opens no connection. Raises `ConfigError`, for the
    first fault found. A certificate of the configuration in force, if that is `known`, is no fault for having expired.
    """
    sources = [Path(path)]
    try:
        return _load(sources[0], known, sources)
    except ConfigError as error:
        error.sources = tuple(sources)
        raise


def _load(file: Path, known: Config | None, sources: list[Path]) -> Config:
    """The configuration in `file`; what it is read from besides is added to `sources`."""
    tables = _parse(file)
    if isinstance(plugins := tables.get("plugins"), list):
        tables["plugins"] = [
            renamed(table, file=file, at=f"plugins[{index}]") if isinstance(table, dict) else table
            for index, table in enumerate(plugins)
        ]
    in_force = [plugin.tls for plugin in known.plugins if plugin.tls is not None] if known is not None else ()
    document = decode(tables, _Document, file=file, known=in_force, looked_at=sources.append)
    kubernetes = document.kubernetes
    if kubernetes is not None and kubernetes.kubeconfig is not None:
        kubeconfig = str(file.parent / Path(kubernetes.kubeconfig).expanduser())
        kubernetes = msgspec.structs.replace(kubernetes, kubeconfig=kubeconfig)
    allowed = document.engine.allowed_addresses
    for index, plugin in enumerate(document.plugins):
        if refusal := Destinations(allowed).refusal_unseen(parse_address(plugin.address).host):
            raise ConfigError(file, f"plugins[{index}].address", refusal)
    found = [Found(file, f"plugins[{index}].name", plugin) for index, plugin in enumerate(document.plugins)]
    for index, name in enumerate(document.configmaps):
        sources.append(source := file.parent / name)
        try:
            manifests = manifest_files(source)
        except (OSError, ValueError) as error:  # ValueError: a name with a null character
            why = getattr(error, "strerror", None) or error
            shown = source if str(source).isprintable() else show(str(source))
            raise ConfigError(file, f"configmaps[{index}]", f"cannot read {shown}: {why}") from None
        sources += [manifest for manifest in manifests if manifest.is_symlink()]  # to a file that may change elsewhere
        for manifest in manifests:
            found += plugins_in(manifest, allowed)
    _refuse_duplicates(found)
    every = tuple(plugin for _, _, plugin in found)
    return Config(
        engine=document.engine,
        kubernetes=kubernetes,
        plugins=every,
        discovered=frozenset(plugin.name for plugin in every[len(document.plugins) :]),
        sources=tuple(sources),
    )


def _parse(file: Path) -> dict[str, Any]:
    text = read_text(file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _POSITION.fullmatch(str(error))
        reason, line, column = match.group("reason", "line", "column") if match else (str(error), None, None)
        if line is None:  # "at end of document"
            line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
        raise ConfigError(file, f"line {line}, column {column}", f"not TOML: {reason}") from None
    except RecursionError:
        raise ConfigError(file, "", "not TOML that can be read: nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(file, "", f"not TOML that can be read: {error}") from None
    if not document:
        raise ConfigError(file, "", "expected [engine], [[plugins]] or configmaps, got an empty file")
    return document


def _refuse_duplicates(found: list[Found]) -> None:
    first: dict[str, Found] = {}
    for one in found:
        other = first.setdefault(one.plugin.name, one)
        if other is not one:
            where = other.path if other.file == one.file else f"{other.file}: {other.path}"
            raise ConfigError(
                one.file, one.path, f"expected a name of its own, {show(one.plugin.name)} is that of {where}"
            )
