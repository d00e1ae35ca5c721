"""A run as CSV: a row for each scenario, loop, plugin and peer, all with the same columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.record import Cost, Latency, Loop, Record

_COSTS: Final = Cost.__struct_fields__
_PERCENTILES: Final = ("p50", "p90", "p95", "p99", "max")
COLUMNS: Final = ("kind", "name", "nodes", *_COSTS, "added_rss_bytes", *(f"{name}_ms" for name in _PERCENTILES))
"""Units as in `bench.record`; a cell is empty where the figure was not measured."""


def write(record: Record, file: Path) -> None:
    """Write `record` as CSV (RFC 4180) with a line of headings."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(_rows(record))


def _rows(record: Record) -> Iterator[dict[str, object]]:
    for scenario in record.scenarios:
        row = {"kind": "scenario", "name": scenario.name, "nodes": scenario.nodes}
        yield row | _costs(scenario.loop) | _latency(scenario.latency_ms)
    for number, loop in enumerate(record.loops, start=1):
        yield {"kind": "loop", "name": str(number), "nodes": record.nodes} | _costs(loop)
    for plugin in record.per_plugin:
        row = {"kind": "plugin", "name": plugin.name, "calls": plugin.calls, "errors": plugin.errors}
        yield row | _latency(plugin.latency_ms)
    for peer in record.peers:
        yield {"kind": "peer", "name": peer.name} | _costs(peer)


def _costs(one: Cost) -> dict[str, object]:
    costs: dict[str, object] = {name: getattr(one, name) for name in _COSTS}
    return costs | {"added_rss_bytes": one.added_rss_bytes} if isinstance(one, Loop) else costs


def _latency(latency: Latency | None) -> dict[str, object]:
    return {} if latency is None else {f"{name}_ms": getattr(latency, name) for name in _PERCENTILES}
