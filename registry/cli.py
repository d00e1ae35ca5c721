"""``python -m registry``: is the configuration right, and are the plugins there?"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.terminal import print_whole_words, printable, tell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from registry.checking import Checkup
    from registry.config import Config


class BadInput(click.ClickException):
    """What was asked for makes no sense: one line on standard error, exit code 2."""

    exit_code = 2


class FileName(click.Path):
    """The name of a file or a folder, as a `Path`. An empty one would be the folder that we are in."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises `click.BadParameter` where it is empty."""
        if not os.fspath(value):
            self.fail("expected the name of a file, got an empty one", param, ctx)
        return super().convert(value, param, ctx)


@click.group()
def main() -> None:
    """The plugins that are configured."""


@main.command()
@click.option(
    "--config",
    "file",
    type=FileName(),
    default="plugins.toml",
    show_default=True,
    help="What to check.",
)
@click.option("--json", "as_json", is_flag=True, help="Write what was found as JSON.")
def check(file: Path, as_json: bool) -> None:
    """Check the configuration, then call each plugin.

    Lists the methods each plugin has, the spelling it answers to, and how long a call takes. To find out, each method
    is called once per spelling with the arguments that docs/protocol.md shows, and one of them a second time. They are
    about a workflow "hello" that does not exist; a plugin that acts on whatever it is sent will act. Anything but 404
    counts as having the method; what is in brackets is what is wrong with the answer.

    Exit code 0: all answer at least one method. 1: one or more do not, or cannot be called (unreachable, overloaded,
    token refused, or not HTTP). 2: the configuration is wrong.
    """
    from registry.errors import ConfigError
    from registry.loading import load_config
    from registry.registry import enabled_by

    try:
        config = load_config(file)
    except ConfigError as error:
        raise BadInput(str(error)) from None
    import asyncio

    try:
        checkups = asyncio.run(_check_all(config))
    except ConfigError as error:
        raise BadInput(str(error)) from None
    if as_json:
        click.echo(_document(checkups))
    elif not checkups:
        click.echo(printable(f"{file}: no plugins"))
    else:
        print_whole_words(_table(checkups))
    if checkups and not enabled_by(config):
        tell("Plugins are disabled: set enabled = true in [engine], or ARGO_PLUGINS=true.")
    if any(checkup.problem for checkup in checkups):
        sys.exit(1)


async def _check_all(config: Config) -> list[Checkup]:
    import asyncio

    from registry.checking import check_plugin
    from registry.discovered import Discovered

    discovered = Discovered()
    await discovered.find(config)
    config = discovered.added_to(config)

    return await asyncio.gather(
        *(check_plugin(plugin, destinations=config.destinations(plugin)) for plugin in config.plugins)
    )


def _document(checkups: list[Checkup]) -> str:
    """A list with an object for each plugin; ``latency`` in seconds, null where there is none."""
    import json

    plugins = [
        {
            "name": checkup.plugin.name,
            "address": checkup.plugin.address,
            "problem": checkup.problem,
            "latency": checkup.latency,
            "methods": [
                {"method": each.method, "spelling": each.spelling, "problem": each.note} for each in checkup.answered
            ],
        }
        for checkup in checkups
    ]
    return json.dumps(plugins, indent=2)


def _table(checkups: list[Checkup]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("plugin", no_wrap=True)
    table.add_column("address", no_wrap=True)
    table.add_column("methods")
    table.add_column("spelling", no_wrap=True)
    table.add_column("latency", no_wrap=True, justify="right")
    for checkup in checkups:
        spellings = sorted({answered.spelling for answered in checkup.answered if answered.spelling})
        table.add_row(
            Text(printable(checkup.plugin.name)),
            Text(printable(checkup.plugin.address)),
            _methods(checkup),
            ", ".join(spellings),
            "" if checkup.latency is None else f"{checkup.latency * 1000:.1f} ms",
        )
    return table


def _methods(checkup: Checkup) -> Text:
    from rich.text import Text

    if checkup.problem:
        return Text(printable(checkup.problem), style="red")
    return Text("\n").join(
        Text(answered.method + (f" ({printable(answered.note)})" if answered.note else ""))
        for answered in checkup.answered
    )
