"""What the terminal shows of a record."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.record import Bar, Loop, Micro, Moment, PeerRow, PluginRow, Record, ScenarioRow, typical

_MIB = 1 << 20
_SHOWN = 6
"""Moments of a loop at which a plugin's limit is told."""


def show(record: Record, console: Console) -> None:
    """Print the tables for which there are figures."""
    parts: list[RenderableType] = []
    if record.scenarios:
        parts += [_scenarios(record.scenarios), _meanings(record.scenarios)]
    if record.loops:
        parts += [_headline(record), _loops(record), _remarks(record)]
    if record.per_plugin:
        parts += [_plugins(record.per_plugin, record.timeline), *_failures(record.per_plugin)]
    if record.peers:
        parts.append(_peers(record.peers, record.connections))
    if record.micro:
        parts.append(_micro(record.micro))
    if record.bars:
        parts.append(bars_table(record.bars))
    parts += [Text(f"missing: {name}: {reason}", style="yellow") for name, reason in record.missing.items()]
    console.print(Group(*(Padding(part, (1, 0, 0, 0)) for part in parts)))


def _headline(record: Record) -> Text:
    loop = typical(record.loops)
    line = Text.assemble(
        (f"{loop.calls:,} calls in {loop.seconds:.2f} s", "bold"),
        f"  ({record.nodes:,} nodes x {record.plugins} plugins, {record.server}, {record.lane} lane)",
    )
    if loop.errors:
        line.append(f"  {loop.errors:,} errors", "bold red")
    for each in record.loops:
        if each.aborted:
            line.append(f"\na pass was aborted: {each.aborted}", "red")
    return line


def _loops(record: Record) -> Table:
    table = new_table("loop", "time, s", "calls", "calls/s", "CPU/call, µs", "kernel", "added MiB", "errors")
    for number, loop in enumerate(record.loops, start=1):
        time, calls, speed, cpu, memory = _costs(loop)
        kernel = f"{loop.system_us_per_call:.1f}"
        name = str(number) if loop.outside_calling is None else f"{number}, observed"
        table.add_row(name, time, calls, speed, cpu, kernel, memory, _errors(loop.errors))
    return table


def _remarks(record: Record) -> Text:
    latency = record.latency_ms
    return Text(
        f"p50 {latency.p50:.2f} ms, p90 {latency.p90:.2f} ms, p95 {latency.p95:.2f} ms, p99 {latency.p99:.2f} ms, "
        f"max {latency.max:.1f} ms a call. "
        f"Graph: loaded in {record.load_seconds:.1f} s, {record.graph_bytes_per_node:,.0f} bytes a node. "
        f"Requests: {record.request_bytes:,} bytes and their heads.",
        style="dim",
    )


def _costs(loop: Loop) -> tuple[str, ...]:
    return (
        f"{loop.seconds:.2f}",
        f"{loop.calls:,}",
        f"{loop.calls_per_second:,.0f}",
        f"{loop.cpu_us_per_call:.1f}",
        f"{loop.added_rss_bytes / _MIB:.1f}",
    )


def _plugins(rows: Sequence[PluginRow], timeline: Sequence[Moment]) -> Table:
    table = new_table("plugin", "calls", "p50, ms", "p90", "p95", "p99", "max", "errors", "limit over time")
    for number, row in enumerate(rows):
        seen = row.latency_ms
        times = (f"{time:.2f}" for time in (seen.p50, seen.p90, seen.p95, seen.p99, seen.max))
        limits = [moment.limits[number] for moment in timeline if moment.limits]
        table.add_row(Text(row.name), f"{row.calls:,}", *times, _errors(row.errors), over_time(limits))
    return table


def over_time(values: Sequence[int]) -> str:
    """A few of `values`, evenly spaced, the first and the last among them."""
    steps = min(_SHOWN, len(values)) - 1
    return " ".join(str(values[round(at * (len(values) - 1) / max(steps, 1))]) for at in range(steps + 1))


def _failures(rows: Sequence[PluginRow]) -> list[Text]:
    return [
        Text(f"{row.name}: " + ", ".join(f"{count:,} {outcome}" for outcome, count in row.failures.items()), "red")
        for row in rows
        if row.failures
    ]


def _peers(rows: Sequence[PeerRow], connections: int) -> Table:
    table = new_table(
        f"peer, {connections} connections", "time, s", "calls", "calls/s", "CPU/call, µs", "kernel", "errors"
    )
    for row in sorted(rows, key=lambda row: -row.calls_per_second):
        table.add_row(
            row.name,
            f"{row.seconds:.2f}",
            f"{row.calls:,}",
            f"{row.calls_per_second:,.0f}",
            f"{row.cpu_us_per_call:.1f}",
            f"{row.system_us_per_call:.1f}",
            _errors(row.errors),
            style="bold" if row.name == "oarlock" else "",
        )
    return table


def _scenarios(rows: Sequence[ScenarioRow]) -> Table:
    table = new_table("scenario", "nodes", "time, s", "calls", "calls/s", "µs", "MiB", "p99, ms", "errors")
    for row in rows:
        p99 = f"{row.latency_ms.p99:.1f}" if row.latency_ms else ""
        table.add_row(row.name, f"{row.nodes:,}", *_costs(row.loop), p99, _errors(row.loop.errors))
    return table


def _meanings(rows: Sequence[ScenarioRow]) -> Text:
    lines = [f"{row.name}: {row.about}" for row in rows]
    return Text("\n".join([*lines, f"The rest is about {rows[0].name}."]), style="dim")


def _micro(rows: Sequence[Micro]) -> Table:
    table = new_table("part of a call", "µs", "")
    table.columns[2].justify, table.columns[2].no_wrap = "left", False
    for row in rows:
        table.add_row(row.name, f"{row.us:.3g}", Text(row.about, style="dim"))
    return table


def bars_table(rows: Sequence[Bar]) -> Table:
    """Each ratio beside its limit."""
    table = new_table("bar", "limit", "measured", "")
    table.columns[0].no_wrap = False
    for row in rows:
        table.add_row(
            row.name,
            f"{'≥' if row.at_least else '≤'} {row.limit:g}{row.unit}",
            f"{row.measured:.3g}{row.unit}" if row.measured < 1000 else f"{row.measured:,.0f}{row.unit}",
            Text("pass", style="green") if row.passed else Text("miss", style="red"),
        )
    return table


def new_table(first: str, *headings: str) -> Table:
    """One without rows; all columns but the first are for figures."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _errors(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "")
