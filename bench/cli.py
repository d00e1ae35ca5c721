"""The command line of the bench."""

from __future__ import annotations

import math
import os
import shutil
import sys
from pathlib import Path

import click
from rich.console import Console

from bench import compare as comparison
from bench import page, processes, record, sheet, tables
from bench.display import Display
from bench.engine_process import EngineFailed
from bench.failures.cli import failures
from bench.fleet.cli import fleet
from bench.fleet.simulation import fleet_scale
from bench.limits.cli import limits
from bench.measuring import Plan, ServerName
from bench.nodes.cli import nodes as nodes_command
from bench.record import Record
from bench.running import PARTS, Run, Wish
from bench.scenarios import DEFAULT, FIRST, SCENARIOS
from bench.servers import Missing
from engine import ManifestError
from registry import ConfigError, load_config
from registry.cli import BadInput
from rpc.client import LaneName

_FILE = click.Path(path_type=Path, dir_okay=False)
_POSITIVE = click.IntRange(min=1)
_CONNECTIONS = 64
"""Where wrk is at its fastest against one nginx worker."""


class _Share(click.ParamType[float]):
    """A share, written as a percentage; the sign may be left out."""

    name = "percentage"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            share = float(value.removesuffix("%")) / 100
        except ValueError:
            share = -1.0
        if not 0 <= share < math.inf:
            self.fail(f"expected a percentage such as 5%, got {value!r}", param, ctx)
        return share


@click.group(invoke_without_command=True)
@click.option("--nodes", type=_POSITIVE, help="Nodes of the workflow; without it each scenario has its own number.")
@click.option("--plugins", type=_POSITIVE, default=5, show_default=True, help="Plugins that each node is sent through.")
@click.option("--loops", type=_POSITIVE, default=1, show_default=True, help="Loops; the last is timed call by call.")
@click.option("--lane", type=click.Choice(["auto", "aiohttp", "wire"]), default="auto", show_default=True)
@click.option("--tls", is_flag=True, help="Call our plugins by https: an nginx with TLS stands before them.")
@click.option("--config", type=_FILE, help="Call the plugins of this plugins.toml in place of our own.")
@click.option("--server", type=click.Choice(["nginx", "plugins"]), help="Who answers, where it can.")
@click.option("--peers", is_flag=True, help="Compare with other clients on nginx, and with the bars.")
@click.option("--batches", is_flag=True, help="Compare single calls with what spares them, and with the bars.")
@click.option("--rounds", type=_POSITIVE, default=5, show_default=True, help="Rounds of what is compared in turns.")
@click.option("--connections", type=_POSITIVE, help="Calls under way at a time; with --peers 64, for them as well.")
@click.option(
    "--scenario",
    "scenarios",
    type=click.Choice([*SCENARIOS, *PARTS, "all"]),
    multiple=True,
    help=f"A load to measure; may be given several times. Without it {', '.join(FIRST)}, or what is compared.",
)
@click.option("--profile", type=_FILE, help="Write a flame graph of the engine's process (SVG).")
@click.option(
    "--metrics", is_flag=True, help="Have the engine's metrics read every 5 s, which Prometheus does every 15 or so."
)
@click.option("--json", "json_file", type=_FILE, help="Write all figures.")
@click.option("--csv", "csv_file", type=_FILE, help="Write the figures as a table (CSV).")
@click.option("--html", "html_file", type=_FILE, help="Write a page with pictures.")
@click.pass_context
def main(
    context: click.Context,
    nodes: int | None,
    plugins: int,
    loops: int,
    lane: LaneName,
    tls: bool,
    config: Path | None,
    server: ServerName | None,
    peers: bool,
    batches: bool,
    rounds: int,
    connections: int | None,
    scenarios: tuple[str, ...],
    profile: Path | None,
    metrics: bool,
    json_file: Path | None,
    csv_file: Path | None,
    html_file: Path | None,
) -> None:
    """Measure what the fan-out costs: a workflow of 100,000 nodes through 5 plugin processes, which is 500,000 calls.

    They travel one by one, then in batches, then again in batches when 1 % of the nodes has changed.

    Exit code 0: measured. 1: something gave up on the way, or no call was made. 2: what was asked for makes no sense.
    """
    if context.invoked_subcommand is not None:
        return
    if config is not None:
        _check_config(config, others=peers or batches or tls or server is not None)
    if peers and tls:
        raise click.UsageError("--peers are compared without TLS: leave out --tls")
    if profile is not None:
        _check_profile(others=peers or batches)
    if peers and batches:
        raise click.UsageError("--peers is on nginx and --batches on the SDK's plugins: one after the other, please")
    for file in (profile, json_file, csv_file, html_file):
        _check_writable(file)
    processes.raise_on_sigterm()
    if not scenarios:
        alone = peers or batches or config is not None or profile is not None
        scenarios = (DEFAULT,) if alone else FIRST
        server = server or (None if alone else "plugins")  # batches are not for every server, and one is to serve all
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
        plan = Plan(plugins, lane, workers, config, profile, metrics, tls, display.watch)
        try:
            done = Run(wish, plan).record()
        except (EngineFailed, Missing, ManifestError) as error:
            raise click.ClickException(str(error)) from None
    _check_called(done)
    tables.show(done, Console())
    if json_file is not None:
        record.write(done, json_file)
    if csv_file is not None:
        sheet.write(done, csv_file)
    if html_file is not None:
        page.write(done, html_file)
    if any(loop.aborted for loop in done.loops):
        sys.exit(1)


main.add_command(limits)
main.add_command(failures)
main.add_command(fleet)
main.add_command(fleet_scale)
main.add_command(nodes_command)


@main.command()
@click.argument("before", metavar="A.json", type=_FILE)
@click.argument("after", metavar="B.json", type=_FILE)
@click.option("--fail-over", "limit", type=_Share(), metavar="5%", help="Fail if a figure got worse by more.")
def compare(before: Path, after: Path, limit: float | None) -> None:
    """Compare two runs, the figures of each that the other has too.

    Exit code 0: compared. 1: with --fail-over, something got worse by more. 2: a file is no run, or they have nothing
    in common.
    """
    try:
        one, other = record.read(before), record.read(after)
    except record.Unreadable as error:
        raise BadInput(str(error)) from None
    if not comparison.figures(one).keys() & comparison.figures(other).keys():
        raise BadInput(f"{before} and {after} have no figure in common")
    comparison.show(one, other, Console())
    if limit is not None and (worse := comparison.worse(one, other, limit)):
        told = ", ".join(f"{name} ({share:+.1%})" for name, share in worse.items())
        raise click.ClickException(f"worse by more than {limit * 100:g}%: {told}".replace("+inf%", "from zero"))


def _check_called(done: Record) -> None:
    """A run without a call has measured nothing, whatever its figures."""
    loops = {row.name: row.loop for row in done.scenarios}
    if done.loops and not loops:
        loops = {done.scenario: max(done.loops, key=lambda loop: loop.calls)}
    for name, loop in loops.items():
        if not loop.calls and not loop.aborted:
            raise click.ClickException(f"{name}: no call was made: no plugin has a method or a `match` for its nodes")


def _check_config(config: Path, *, others: bool) -> None:
    if others:
        options = "--peers, --batches, --tls and --server"
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
