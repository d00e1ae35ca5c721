"""``python -m bench failures``: what was promised for when plugins fail, beside what was measured."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
import uvloop
from rich.console import Console

from bench import processes
from bench.failures.trials import TRIALS
from bench.machine import Machine, machine
from bench.record import Bar, write
from bench.servers import Missing
from bench.tables import bars_table


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes."""

    machine: Machine
    started: str
    nodes: int
    bars: list[Bar]


@click.command()
@click.option("--trial", "names", type=click.Choice(list(TRIALS)), multiple=True, help="One of them; all.")
@click.option("--nodes", type=click.IntRange(min=1000), default=100_000, show_default=True, help="Of a large workflow.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures.")
def failures(names: tuple[str, ...], nodes: int, json_file: Path | None) -> None:
    """Measure what happens when plugins fail, against what is promised.

    Exit code 0: as promised. 1: not.
    """
    processes.raise_on_sigterm()
    logging.disable()  # what fails is meant to
    started = datetime.now(UTC).isoformat(timespec="seconds")
    console, progress = Console(), Console(stderr=True)
    bars: list[Bar] = []
    with progress.status("") as status:
        for name in names or TRIALS:
            status.update(name)
            try:
                bars += uvloop.run(TRIALS[name](nodes))
            except Missing as reason:
                raise click.ClickException(str(reason)) from None
    console.print(bars_table(bars))
    if json_file is not None:
        record = Trials(machine=machine(), started=started, nodes=nodes, bars=bars)
        write(record, json_file)
    sys.exit(0 if all(bar.passed for bar in bars) else 1)
