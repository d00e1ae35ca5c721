"""``plugins.toml`` and a mounted folder of ConfigMaps, rewritten in all the ways in which files change."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry import ConfigError, load_config

Options = dict[str, str | int | dict[str, str | float]]
"""The keys of a plugin, besides its name, address and timeout."""

_ENGINE: Final = '[engine]\nenabled = true\nloop_deadline = "5s"\n'


@dataclass
class Listed:
    """A plugin that the configuration may have.

    One that `stays` is never removed, one that is `mapped` is found in a ConfigMap. ``timeouts`` are those that it has
    by turns.
    """

    name: str
    address: str
    options: Options
    timeouts: tuple[str, str] = ("300ms", "400ms")
    stays: bool = False
    mapped: bool = False
    present: bool = True

    def toml(self) -> str:
        lines = (f"{key} = {_toml(value)}\n" for key, value in {"name": self.name, **self._values()}.items())
        return f"[[plugins]]\n{''.join(lines)}"

    def manifest(self) -> str:
        """As a ConfigMap, whose values are strings and whose keys are the simple ones."""
        return (
            f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {self.name}\n  labels:\n"
            "    workflows.argoproj.io/configmap-type: ControllerPlugin\ndata:\n"
            + "".join(f"  {key}: {json.dumps(str(value))}\n" for key, value in self._values().items())
        )

    def _values(self) -> Options:
        return {"address": self.address, "timeout": self.timeouts[0], **self.options}

    def change_timeout(self) -> None:
        self.timeouts = self.timeouts[1], self.timeouts[0]


class Configuration:
    """Writes what `plugins` say at the moment; knows how to say it wrongly, too."""

    def __init__(self, folder: Path, plugins: list[Listed], dice: random.Random, lanes: Sequence[str]) -> None:
        self.file = folder / "plugins.toml"
        self.plugins = plugins
        self._mount = folder / "mounted"
        self._dice = dice
        self._lanes = lanes
        self._numbers = itertools.count()
        self._mount.mkdir()

    @property
    def present(self) -> list[Listed]:
        """The plugins in calling order: those of the file, then those of the ConfigMaps by name."""
        listed = [each for each in self.plugins if each.present]
        mapped = sorted((plugin for plugin in listed if plugin.mapped), key=lambda plugin: plugin.name)
        return [plugin for plugin in listed if not plugin.mapped] + mapped

    def change(self) -> None:
        """Decide on something else: a plugin comes, goes, or is called in another way."""
        plugin = self._dice.choice(self.plugins)
        if not plugin.stays and self._dice.random() < 0.6:
            plugin.present = not plugin.present
        elif self._dice.random() < 0.7:
            plugin.change_timeout()
        else:
            plugin.options["lane"] = self._dice.choice(self._lanes)

    def text(self) -> str:
        tables = (plugin.toml() for plugin in self.present if not plugin.mapped)
        return f'configmaps = ["mounted"]\n{_ENGINE}{"".join(tables)}'

    async def write(self) -> None:
        """Put it on disk: at once or bit by bit, over the old file or in its place."""
        self._remount({f"{plugin.name}.yaml": plugin.manifest() for plugin in self.present if plugin.mapped})
        text = self.text()
        match self._dice.choice(("over", "replaced", "halved")):
            case "over":
                self.file.write_text(text)
            case "replaced":
                self._replace(text)
            case "halved":
                # Cut inside a string, lest the first half be a configuration in its own right.
                places = [at for at in range(len(text)) if text.startswith('"http', at)]
                self.file.write_text(text[: self._dice.choice(places) + 5])
                await asyncio.sleep(self._dice.uniform(0.0, 0.6))
                self.file.write_text(text)

    def write_bad(self) -> None:
        """Put something on disk that no plugin may be taken from; never the same thing twice."""
        number = next(self._numbers)
        text = self.text()
        match self._dice.choice(("key", "value", "syntax", "twice", "manifest")):
            case "key":
                self._replace(text + f"colour_{number} = 1\n")
            case "value":
                self._replace(text.replace("http://", f"gopher-{number}://"))
            case "syntax":
                self._replace(text + f"[[plugins{number}\n")
            case "twice":
                plugin = Listed(f"twice-{number}", "http://127.0.0.1:1", {})
                self._replace(text + plugin.toml() + plugin.toml())
            case "manifest":
                self._remount({"bad.yaml": f"kind: [{number}"})
        try:
            load_config(self.file)
        except ConfigError:
            return
        raise RuntimeError("the soak wrote a good configuration where it meant a bad one")

    def _replace(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.file)

    def _remount(self, files: dict[str, str]) -> None:
        """Swap the folder's contents as the kubelet does: a new folder, and one link renamed onto another."""
        data = self._mount / "..data"
        old = Path(os.readlink(data)) if data.is_symlink() else None
        new = self._mount / f"..{next(self._numbers)}"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
        (self._mount / "..data_tmp").symlink_to(new.name)
        os.replace(self._mount / "..data_tmp", data)
        for name in files:
            link = self._mount / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        for link in self._mount.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if old is not None:
            shutil.rmtree(self._mount / old)


def _toml(value: str | int | dict[str, str | float]) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {json.dumps(each)}' for key, each in value.items())} }}"
    return json.dumps(value)
