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
from rich.table import Table

from bench import processes
from bench.limits.sweeping import SERVERS, Entrant, Sweep, sweep
from bench.machine import Machine, machine
from bench.servers import Missing
from bench.tables import over_time

BAR: Final = 0.9
"""Of the best fixed limit's calls/s."""


class Sweeps(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes."""

    machine: Machine
    started: str
    rounds: int
    seconds: float
    sweeps: list[Sweep]
    missing: dict[str, str]


@click.command()
@click.option("--server", "names", type=click.Choice(list(SERVERS)), multiple=True, help="A kind of plugin; all.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds, in turns.")
@click.option("--seconds", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Of each client's turn.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures.")
def limits(names: tuple[str, ...], rounds: int, seconds: float, json_file: Path | None) -> None:
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
                sweeps.append(uvloop.run(sweep(name, rounds, seconds, status.update)))
            except Missing as reason:
                missing[name] = str(reason)
            else:
                show(sweeps[-1], console)
    for name, why in missing.items():
        console.print(f"missing: {name}: {why}", style="yellow")
    if json_file is not None:
        record = Sweeps(
            machine=machine(), started=started, rounds=rounds, seconds=seconds, sweeps=sweeps, missing=missing
        )
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    sys.exit(0 if _reached(sweeps) else 1)


def _reached(sweeps: Sequence[Sweep]) -> bool:
    return all(each.share(adaptive) >= BAR for each in sweeps for adaptive in (each.learning, each.settled))


def show(sweep: Sweep, console: Console) -> None:
    """Print one kind of server's table."""
    table = Table(box=None, header_style="dim", pad_edge=False, title=sweep.about, title_justify="left")
    table.add_column("calls at a time", no_wrap=True)
    for heading in ("calls/s", "of the best", "failures"):
        table.add_column(heading, justify="right")
    table.add_column("limit over time")
    for entrant in (*sweep.fixed.values(), sweep.settled, sweep.learning):
        table.add_row(*_row(entrant, sweep), style="bold" if entrant is sweep.fixed[sweep.best] else "")
    console.print("", table, sep="\n")


def _row(entrant: Entrant, sweep: Sweep) -> tuple[str, ...]:
    return (
        entrant.name,
        f"{entrant.calls_per_second:,.0f}",
        f"{sweep.share(entrant):.0%}",
        f"{entrant.failures:,}",
        over_time([sample.limit for sample in entrant.limits]),
    )
