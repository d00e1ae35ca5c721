"""`plugins.toml` and the ConfigMaps that it names: whatever is in them, they are refused in one line, or taken."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from registry import ConfigError, Registry, load_config
from tests.fuzz.values import damaged, damaged_text, encoded, encoded_as_yaml
from tests.fuzz.verdicts import Wrong, told_in_a_line

_CONFIG: Final[dict[str, Any]] = {
    "configmaps": ["maps"],
    "engine": {"enabled": True, "loop_deadline": "30s"},
    "plugins": [
        {
            "name": "one",
            "address": "http://[::1]:80/prefix",
            "protocol": "go",
            "lane": "wire",
            "balance": "all",
            "timeout": "1.5s",
            "concurrency": 4,
            "max_body": 4096,
            "token_file": "token",
            "failure_policy": "ignore",
            "mode": "observe",
            "payload": "full",
            "resend": "changed",
            "resend_after": "10m",
            "match": {
                "methods": ["node.*"],
                "templates": ["build-*"],
                "types": ["Pod"],
                "phases": ["Running"],
                "labels": {"team": "p*"},
            },
            "batch": {"enabled": False, "max_calls": 10, "max_bytes": 1000},
            "retry": {"attempts": 2, "backoff": "1ms", "max_backoff": "1s"},
            "breaker": {"failure_ratio": 0.5, "min_calls": 2, "window": "1s", "open_for": "1s"},
        },
        {"name": "two", "address": "unix:///run/two.sock"},
        {"name": "three", "address": "https://example.org", "concurrency": "adaptive"},
    ],
}
_MAP: Final[dict[str, Any]] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "four", "labels": {"workflows.argoproj.io/configmap-type": "ControllerPlugin"}},
    "data": {
        "address": "http://localhost:1",
        "timeout": "500ms",
        "concurrency": "3",
        "mode": "apply",
        "max_body": "10",
    },
}
_LIST: Final[dict[str, Any]] = {"kind": "List", "items": [{**_MAP, "metadata": {**_MAP["metadata"], "name": "five"}}]}


_FILES: Final = ("plugins.toml", "maps/a.yaml", "maps/b.json", "token")


@dataclass(frozen=True)
class Case:
    """The files of a folder, by name."""

    files: dict[str, bytes]

    def __str__(self) -> str:
        return "\n".join(f"== {name}\n{text.decode(errors='backslashreplace')}" for name, text in self.files.items())


def generate(dice: Random) -> Case:
    """The next case of `dice`."""
    config = damaged(dice, _CONFIG) if dice.random() < 0.6 else _CONFIG
    maps = [damaged(dice, each) if dice.random() < 0.4 else each for each in (_MAP, _LIST)]
    try:
        toml = _toml(config)
    except RecursionError:  # too deep for the writer: as deep as that by other means
        toml = f"plugins = {'[' * 5000}{']' * 5000}\n"
    files = {
        "plugins.toml": toml.encode("utf-8", "surrogatepass"),
        "maps/a.yaml": encoded_as_yaml(maps),
        "token": dice.choice((b"secret", b"secret\n", b"", b"two words", b"\xff")),
    }
    if dice.random() < 0.3:
        files["maps/b.json"] = encoded(damaged(dice, _LIST))
    for name, text in files.items():
        if dice.random() < 0.15:
            files[name] = damaged_text(dice, text)
    return Case(files)


def _toml(document: Any) -> str:
    """The document as TOML, as well as that can say it."""
    if not isinstance(document, dict):
        return _inline(document)
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            for each in value:
                lines += [f"[[{_key(key)}]]", *(f"{_key(name)} = {_inline(inner)}" for name, inner in each.items())]
        elif isinstance(value, dict):
            lines += [f"[{_key(key)}]", *(f"{_key(name)} = {_inline(inner)}" for name, inner in value.items())]
        else:
            lines.insert(0, f"{_key(key)} = {_inline(value)}")
    return "\n".join([*lines, ""])


def _key(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else encoded(name).decode()


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return encoded(value).decode()


async def check(case: Case) -> str:
    """Read the configuration and make clients of it; whether it was taken. Raises `Wrong`."""
    folder = Path(_folder().name)
    for file in _FILES:
        (folder / file).unlink(missing_ok=True)
    for file, text in case.files.items():
        (folder / file).write_bytes(text)
    try:
        config = load_config(folder / "plugins.toml")
    except ConfigError as error:
        if folder not in error.file.parents:
            raise Wrong(f"it names another file: {error}", case) from error
        return told_in_a_line(error, case)
    names = [plugin.name for plugin in config.plugins]
    async with Registry(config, watch=False) as registry:
        made = [plugin.name for plugin in registry.snapshot()]
    if made not in ([], names):
        raise Wrong(f"plugins {names} are configured, and {made} made of it", case)
    return "taken"


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """One for all cases: to make one takes longer than to read a configuration."""
    folder = tempfile.TemporaryDirectory()
    Path(folder.name, "maps").mkdir()
    return folder
