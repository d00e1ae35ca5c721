"""``python -m registry``: is the configuration right, and are the plugins there?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.terminal import console, printable, tell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from registry.checking import Checkup
    from registry.config import Config


class BadInput(click.ClickException):
    """What was asked for makes no sense: one line on standard error, exit code 2."""

    exit_code = 2


@click.group()
def main() -> None:
    """The plugins that are configured."""


@main.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    default="plugins.toml",
    show_default=True,
    help="What to check.",
)
def check(file: Path) -> None:
    """Check the configuration, then call each plugin.

    Lists the methods each plugin has, the spelling it answers to, and how long a call takes. To find out, each method
    is called once per spelling with {} for arguments, and one of them a second time. That names no workflow, so a
    plugin has nothing to act on; one that acts whatever it is sent will act. Anything but 404 counts as having the
    method; what is in brackets is what the plugin made of the empty arguments.

    Exit code 0: all can be called. 1: one or more cannot (unreachable, overloaded, token refused, or not HTTP). 2: the
    configuration is wrong.
    """
    from registry.errors import ConfigError
    from registry.loading import load_config
    from registry.registry import enabled_by

    try:
        config = load_config(file)
    except ConfigError as error:
        raise BadInput(str(error)) from None
    if not config.plugins:
        click.echo(printable(f"{file}: no plugins"))
        return
    import asyncio

    checkups = asyncio.run(_check_all(config))
    console().print(_table(checkups))
    if not enabled_by(config):
        tell("Plugins are disabled: set enabled = true in [engine], or ARGO_PLUGINS=true.")
    if any(checkup.problem for checkup in checkups):
        sys.exit(1)


async def _check_all(config: Config) -> list[Checkup]:
    import asyncio

    from registry.checking import check_plugin

    return await asyncio.gather(*(check_plugin(plugin) for plugin in config.plugins))


def _table(checkups: list[Checkup]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    table.add_column("plugin", no_wrap=True)
    table.add_column("address", no_wrap=True)
    table.add_column("methods", overflow="fold")
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
    if not checkup.answered:
        return Text("none: 404 to everything", style="yellow")
    return Text("\n").join(
        Text(answered.method + (f" ({printable(answered.note)})" if answered.note else ""))
        for answered in checkup.answered
    )
