"""``python -m tests.soak``: run it, say how it goes, and end with 1 where a promise was broken."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import monotonic

import click
import uvloop
from rich.console import Console

from tests.soak.report import Settings
from tests.soak.soak import soak
from tests.soak.tables import show

SAY_EVERY = 30.0
"""Seconds between two lines on how it goes, where there is no terminal to keep one up to date."""


@click.command()
@click.option("--minutes", type=click.FloatRange(0.05), default=10.0, show_default=True, help="Length of the storms.")
@click.option("--seed", default=0, show_default=True, help="What the dice are seeded with.")
@click.option("--faults", type=click.FloatRange(0.0, min_open=True), default=1.0, show_default=True, help="How many.")
@click.option("--rate", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Small workflows per second.")
@click.option("--leaves", type=click.IntRange(2), default=100, show_default=True, help="Leaves of a large workflow.")
@click.option("--every", type=click.FloatRange(0.5), default=30.0, show_default=True, help="Seconds between large.")
@click.option("--visits-only", is_flag=True, help="Plugins know workflow hooks and node.preExecute only.")
def main(minutes: float, seed: int, faults: float, rate: float, leaves: int, every: float, visits_only: bool) -> None:
    """Reconcile a stream of workflows while their plugins fail and the configuration changes.

    Ends with 1 where a promise was broken.
    """
    console = Console()
    settings = Settings(minutes * 60, seed, faults, rate, leaves, every, visits_only)
    with tempfile.TemporaryDirectory(prefix="oarlock-soak-") as folder, console.status("starting") as status:
        said = monotonic()

        def say(text: str) -> None:
            nonlocal said
            if console.is_terminal:
                status.update(text)
            elif monotonic() >= said + SAY_EVERY:
                said = monotonic()
                console.print(text, soft_wrap=True, highlight=False)

        report = uvloop.run(soak(settings, Path(folder), say))
    show(report, console)
    sys.exit(0 if report.kept else 1)


if __name__ == "__main__":
    main()
