"""What a person wants to see of a soak: the promises, and the figures behind them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.soak.ledger import Promise
from tests.soak.report import Report

_MIB = 2**20


def show(report: Report, console: Console) -> None:
    """Print the promises, the figures, and every broken case that was kept."""
    ledger, settings = report.ledger, report.settings
    table = Table(
        box=box.SIMPLE, title=f"{settings.seconds / 60:g} minutes, seed {settings.seed}", title_justify="left"
    )
    table.add_column("promise")
    table.add_column("tested", justify="right")
    table.add_column("broken", justify="right")
    for promise in Promise:
        broken = ledger.broken[promise]
        style = "red" if broken else "green" if ledger.tested[promise] else "dim"
        table.add_row(promise.value, f"{ledger.tested[promise]:,}", Text(f"{broken:,}", style))
    console.print(table)
    _figures(report, console)
    for promise, cases in ledger.cases.items():
        for case in cases:
            console.print(f"{promise.value}: {case}", style="red", markup=False, highlight=False)
    console.print("every promise was kept" if report.kept else "promises were broken", style="bold")


def _figures(report: Report, console: Console) -> None:
    done = Table(box=box.SIMPLE, show_header=False)
    for name, count in report.done.items():
        done.add_row(name, f"{count:,}")
    done.add_row("seconds, of them processor time", f"{report.seconds:.0f}, {report.cpu_seconds:.0f}")
    console.print(done)
    held = Table(box=box.SIMPLE)
    for heading in ("held by the process", "at rest before", "early", "late", "trend over the storm", "at rest after"):
        held.add_column(heading, justify="left" if heading.startswith("held") else "right")
    before, after = report.rests
    for name, title, unit in (
        ("rss", "memory, MiB", _MIB),
        ("descriptors", "file descriptors", 1),
        ("tasks", "tasks", 1),
    ):
        trend = report.trends[name]
        rests = (getattr(rest.sample, name) / unit for rest in (before, after))
        first, last = (f"{figure:,.1f}" if unit > 1 else f"{figure:,}" for figure in rests)
        growth = f"{trend.growth / unit:+,.1f}"
        held.add_row(title, first, f"{trend.first / unit:,.1f}", f"{trend.last / unit:,.1f}", growth, last)
    at_rest = [
        (f"{rest.held.rss / _MIB:,.1f}", f"{rest.held.blocks:,}", f"{rest.held.objects.total():,}")
        for rest in (before, after)
    ]
    for title, first, last in zip(("memory in use, MiB", "blocks of memory", "objects of ours"), *at_rest, strict=True):
        held.add_row(title, first, "", "", "", last)
    console.print(held)
