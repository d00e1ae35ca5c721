"""What the terminal shows of a record."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.record import Bar, Loop, Micro, PeerRow, PluginRow, Record, ScenarioRow, typical

_MIB = 1 << 20


def show(record: Record, console: Console) -> None:
    """Print the tables for which there are figures."""
    parts: list[RenderableType] = [_headline(record), _loops(record)]
    if record.per_plugin:
        parts.append(_plugins(record.per_plugin))
    if record.peers:
        parts.append(_peers(record.peers, record.connections))
    if record.scenarios:
        parts.append(_scenarios(record.scenarios))
    if record.micro:
        parts.append(_micro(record.micro))
    if record.bars:
        parts.append(_bars(record.bars))
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
    return line


def _loops(record: Record) -> Table:
    table = _table("loop", "time", "calls", "calls/s", "CPU/call", "added memory", "errors")
    for number, loop in enumerate(record.loops, start=1):
        table.add_row(str(number), f"{loop.seconds:.2f} s", f"{loop.calls:,}", *_costs(loop), _errors(loop.errors))
    latency = record.latency_ms
    table.caption = (
        f"p50 {latency.p50:.2f} ms, p99 {latency.p99:.2f} ms, max {latency.max:.1f} ms a call; "
        f"graph loaded in {record.load_seconds:.1f} s, {record.graph_bytes_per_node:,.0f} bytes a node; "
        f"bodies of {record.request_bytes:,} bytes"
    )
    table.caption_justify = "left"
    return table


def _costs(loop: Loop) -> tuple[str, str, str]:
    return (
        f"{loop.calls_per_second:,.0f}",
        f"{loop.cpu_us_per_call:.1f} µs",
        f"{loop.added_rss_bytes / _MIB:.1f} MiB",
    )


def _plugins(rows: Sequence[PluginRow]) -> Table:
    table = _table("plugin", "calls", "p50", "p99", "max", "errors")
    for row in rows:
        times = (f"{time:.2f} ms" for time in (row.latency_ms.p50, row.latency_ms.p99, row.latency_ms.max))
        table.add_row(Text(row.name), f"{row.calls:,}", *times, _errors(row.errors))
    return table


def _peers(rows: Sequence[PeerRow], connections: int) -> Table:
    table = _table(f"peer, {connections} connections", "calls", "time", "calls/s", "CPU/call", "errors")
    for row in sorted(rows, key=lambda row: -row.calls_per_second):
        table.add_row(
            row.name,
            f"{row.calls:,}",
            f"{row.seconds:.2f} s",
            f"{row.calls_per_second:,.0f}",
            f"{row.cpu_us_per_call:.1f} µs",
            _errors(row.errors),
            style="bold" if row.name == "oarlock" else "",
        )
    return table


def _scenarios(rows: Sequence[ScenarioRow]) -> Table:
    table = _table("scenario", "nodes", "calls", "time", "calls/s", "CPU/call", "added memory", "p99", "errors")
    for row in rows:
        p99 = f"{row.latency_ms.p99:.2f} ms" if row.latency_ms else ""
        time, calls = f"{row.loop.seconds:.2f} s", f"{row.loop.calls:,}"
        table.add_row(row.name, f"{row.nodes:,}", calls, time, *_costs(row.loop), p99, _errors(row.loop.errors))
    return table


def _micro(rows: Sequence[Micro]) -> Table:
    table = _table("part of a call", "µs", "")
    table.columns[2].justify = "left"
    for row in rows:
        table.add_row(row.name, f"{row.us:.3g}", Text(row.about, style="dim"))
    return table


def _bars(rows: Sequence[Bar]) -> Table:
    table = _table("bar", "limit", "measured", "")
    for row in rows:
        table.add_row(
            row.name,
            f"{'≥' if row.at_least else '≤'} {row.limit:g}{row.unit}",
            f"{row.measured:.3g}{row.unit}" if row.measured < 1000 else f"{row.measured:,.0f}{row.unit}",
            Text("pass", style="green") if row.passed else Text("miss", style="red"),
        )
    return table


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _errors(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "")
