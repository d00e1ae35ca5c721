"""The command line of the bench."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click
from rich.console import Console

from bench import compare as comparison
from bench import page, processes, record, tables
from bench.display import Display
from bench.engine_process import EngineFailed
from bench.failures.cli import failures
from bench.limits.cli import limits
from bench.measuring import Plan, ServerName
from bench.running import PARTS, Run, Wish
from bench.scenarios import DEFAULT, SCENARIOS
from bench.servers import Missing
from engine import ManifestError
from registry import ConfigError, load_config
from registry.cli import BadInput
from rpc.client import LaneName

_FILE = click.Path(path_type=Path, dir_okay=False)
_POSITIVE = click.IntRange(min=1)
_CONNECTIONS = 64
"""Where wrk is at its fastest against one nginx worker."""


@click.group(invoke_without_command=True)
@click.option("--nodes", type=_POSITIVE, help="Nodes of the workflow; without it each scenario has its own number.")
@click.option("--plugins", type=_POSITIVE, default=5, show_default=True, help="Plugins that each node is sent through.")
@click.option("--loops", type=_POSITIVE, default=1, show_default=True, help="Loops; the last is timed call by call.")
@click.option("--lane", type=click.Choice(["auto", "aiohttp", "wire"]), default="auto", show_default=True)
@click.option("--config", type=_FILE, help="Call the plugins of this plugins.toml in place of our own.")
@click.option("--server", type=click.Choice(["nginx", "plugins"]), help="Who answers, where it can.")
@click.option("--peers", is_flag=True, help="Compare with other clients on nginx, and with the bars.")
@click.option("--batches", is_flag=True, help="Compare single calls with what spares them, and with the bars.")
@click.option("--rounds", type=_POSITIVE, default=5, show_default=True, help="Rounds of peers or batches, in turns.")
@click.option("--connections", type=_POSITIVE, help="Calls under way at a time; with --peers 64, for them as well.")
@click.option(
    "--scenario",
    "scenarios",
    type=click.Choice([*SCENARIOS, *PARTS, "all"]),
    multiple=True,
    default=[DEFAULT],
    show_default=True,
    help="A load to measure; may be given several times.",
)
@click.option("--profile", type=_FILE, help="Write a flame graph of the engine's process (SVG).")
@click.option("--json", "json_file", type=_FILE, help="Write all figures.")
@click.option("--html", "html_file", type=_FILE, help="Write a page with pictures.")
@click.pass_context
def main(
    context: click.Context,
    nodes: int | None,
    plugins: int,
    loops: int,
    lane: LaneName,
    config: Path | None,
    server: ServerName | None,
    peers: bool,
    batches: bool,
    rounds: int,
    connections: int | None,
    scenarios: tuple[str, ...],
    profile: Path | None,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Measure what the fan-out costs: one loop of a workflow of 100,000 nodes through 5 plugin processes.

    Exit code 0: measured. 1: something gave up on the way. 2: what was asked for makes no sense.
    """
    if context.invoked_subcommand is not None:
        return
    if config is not None:
        _check_config(config, others=peers or batches or server is not None)
    if profile is not None:
        _check_profile(others=peers or batches)
    if peers and batches:
        raise click.UsageError("--peers is on nginx and --batches on the SDK's plugins: one after the other, please")
    for file in (profile, json_file, html_file):
        _check_writable(file)
    processes.raise_on_sigterm()
    wish = Wish(
        scenarios=[*SCENARIOS, *PARTS] if "all" in scenarios else scenarios,
        nodes=nodes,
        loops=loops,
        server=server,
        peers=peers,
        batches=batches,
        rounds=rounds,
        connections=connections or _CONNECTIONS,
    )
    with Display(Console(stderr=True)) as display:
        workers = connections or (_CONNECTIONS if peers else None)
        plan = Plan(plugins, lane, workers, config, profile, display.watch)
        try:
            done = Run(wish, plan).record()
        except (EngineFailed, Missing, ManifestError) as error:
            raise click.ClickException(str(error)) from None
    tables.show(done, Console())
    if json_file is not None:
        record.write(done, json_file)
    if html_file is not None:
        page.write(done, html_file)
    if any(loop.aborted for loop in done.loops):
        sys.exit(1)


main.add_command(limits)
main.add_command(failures)


@main.command()
@click.argument("before", metavar="A.json", type=_FILE)
@click.argument("after", metavar="B.json", type=_FILE)
def compare(before: Path, after: Path) -> None:
    """Compare two runs, the figures of each that the other has too."""
    try:
        comparison.show(record.read(before), record.read(after), Console())
    except record.Unreadable as error:
        raise BadInput(str(error)) from None


def _check_config(config: Path, *, others: bool) -> None:
    if others:
        options = "--peers, --batches and --server"
        raise click.UsageError(f"--config names the plugins to call: leave out {options}, which bring others")
    try:
        if not load_config(config).plugins:
            raise BadInput(f"{config}: no plugins")
    except ConfigError as error:
        raise BadInput(str(error)) from None


def _check_profile(*, others: bool) -> None:
    if others:
        raise click.UsageError("--profile slows the engine down: leave out --peers and --batches, which compare it")
    if shutil.which("py-spy", path=Path(sys.executable).parent) is None:
        raise BadInput("py-spy is not installed: pip install 'oarlock[bench]'")


def _check_writable(file: Path | None) -> None:
    """Before the minutes that a run takes, not after them."""
    if file is not None and not os.access(file.parent, os.W_OK):
        raise BadInput(f"{file}: cannot write there")
