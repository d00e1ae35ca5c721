"""``python -m bench limits``: the sweep's command line, table and JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec
import uvloop
from rich.console import Console

from bench import processes
from bench.limits.sweeping import SERVERS, Adaptive, Sweep, sweep
from bench.machine import Machine, machine
from bench.record import write
from bench.servers import Missing
from bench.tables import new_table, over_time

BAR: Final = 0.9
"""Of the best fixed limit's calls/s."""


class Sweeps(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes."""

    machine: Machine
    started: str
    turns: int
    sweeps: list[Sweep]
    missing: dict[str, str]


@click.command()
@click.option("--server", "names", type=click.Choice(list(SERVERS)), multiple=True, help="A kind of plugin; all.")
@click.option("--turns", type=click.IntRange(min=1), default=12, show_default=True, help="Of each, side by side.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures.")
def limits(names: tuple[str, ...], turns: int, json_file: Path | None) -> None:
    """Compare the adaptive limit with fixed ones, for plugins of several kinds.

    Exit code 0: it came to 90 % of the best fixed one everywhere, also where it had to learn. 1: it did not.
    """
    processes.raise_on_sigterm()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    console, progress = Console(), Console(stderr=True)
    sweeps: list[Sweep] = []
    missing: dict[str, str] = {}
    with progress.status("") as status:
        for name in names or SERVERS:
            try:
                sweeps.append(uvloop.run(sweep(name, turns, status.update)))
            except Missing as reason:
                missing[name] = str(reason)
            else:
                show(sweeps[-1], console)
    for name, why in missing.items():
        console.print(f"missing: {name}: {why}", style="yellow")
    if json_file is not None:
        record = Sweeps(machine=machine(), started=started, turns=turns, sweeps=sweeps, missing=missing)
        write(record, json_file)
    sys.exit(0 if _reached(sweeps) else 1)


def _reached(sweeps: Sequence[Sweep]) -> bool:
    return all(adaptive.share >= BAR for each in sweeps for adaptive in (each.settled, each.learning))


def show(sweep: Sweep, console: Console) -> None:
    """Print one kind of server's table."""
    table = new_table(sweep.about, "calls/s", "of the best", "turns from, to")
    table.add_column("limit over time")
    for each in sweep.fixed:
        style = "bold" if each is sweep.best else ""
        table.add_row(f"{each.limit} calls at a time", f"{each.calls_per_second:,.0f}", style=style)
    for adaptive in (sweep.settled, sweep.learning):
        table.add_row(*_row(adaptive), style="" if adaptive.share >= BAR else "red")
    console.print("", table, sep="\n")
    if sweep.failures:
        console.print(f"{sweep.failures:,} calls failed", style="red")


def _row(adaptive: Adaptive) -> tuple[str, ...]:
    return (
        adaptive.name,
        f"{adaptive.calls_per_second:,.0f}",
        f"{adaptive.share:.0%}",
        f"{min(adaptive.shares):.0%}, {max(adaptive.shares):.0%}",
        over_time([sample.limit for sample in adaptive.limits]),
    )
