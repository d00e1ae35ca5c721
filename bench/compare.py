"""Two runs side by side: what changed, by how much, and whether the two can be compared at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console

from bench.record import Record, typical
from bench.tables import new_table

# Below this share, a difference is what two runs of the same code show.
_NOISE = 0.03
# Memory comes in pages and arenas: less than this is nothing.
_MIB_OF_NOISE = 1.0


class Figure(NamedTuple):
    """One figure of a run; ``more_is_better`` says which way is good, ``noise`` what difference says nothing."""

    value: float
    more_is_better: bool
    noise: float = 0.0


def figures(record: Record) -> dict[str, Figure]:
    """Every figure of a run by a name that the same figure has in another run."""
    named = {name: Figure(value, more) for name, value, more in _figures(record)}
    return {name: each._replace(noise=_MIB_OF_NOISE) if "MiB" in name else each for name, each in named.items()}


def _figures(record: Record) -> Iterator[tuple[str, float, bool]]:
    if record.loops:
        loop = typical(record.loops)
        yield "loop, s", loop.seconds, False
        yield "calls/s", loop.calls_per_second, True
        yield "CPU per call, µs", loop.cpu_us_per_call, False
        yield "added memory, MiB", loop.added_rss_bytes / (1 << 20), False
        yield "memory per node, B", record.graph_bytes_per_node, False
        yield "latency p50, ms", record.latency_ms.p50, False
        yield "latency p90, ms", record.latency_ms.p90, False
        yield "latency p95, ms", record.latency_ms.p95, False
        yield "latency p99, ms", record.latency_ms.p99, False
        yield "errors", loop.errors, False
    for peer in record.peers:
        yield f"{peer.name}: calls/s", peer.calls_per_second, True
        yield f"{peer.name}: CPU per call, µs", peer.cpu_us_per_call, False
    for scenario in record.scenarios:
        yield f"{scenario.name}: calls/s", scenario.loop.calls_per_second, True
        yield f"{scenario.name}: CPU per call, µs", scenario.loop.cpu_us_per_call, False
    for part in record.micro:
        yield f"{part.name}, µs", part.us, False
    for bar in record.bars:
        yield f"bar: {bar.name}{bar.unit and ',' + bar.unit}", bar.measured, bar.at_least


def worse(before: Record, after: Record, limit: float) -> dict[str, float]:
    """The figures that got worse by more than `limit`, and by what share; what was zero got worse without end."""
    old, new = figures(before), figures(after)
    shares = {name: _worsening(old[name], new[name]) for name in old if name in new}
    return {name: share for name, share in shares.items() if share > limit}


def _worsening(old: Figure, new: Figure) -> float:
    lost = old.value - new.value if old.more_is_better else new.value - old.value
    if lost <= old.noise:
        return 0.0
    return lost / abs(old.value) if old.value else math.inf


def show(before: Record, after: Record, console: Console) -> None:
    """Print the comparison, `before` on the left; what differs in how they were measured comes first."""
    for what, one, other in _circumstances(before, after):
        if one != other:
            console.print(f"[yellow]not the same {what}:[/] {one} [yellow]and[/] {other}", highlight=False)
    table = new_table("", "A", "B", "change")
    old, new = figures(before), figures(after)
    for name in [name for name in old if name in new]:
        table.add_row(name, _plain(old[name].value), _plain(new[name].value), _change(old[name], new[name]))
    console.print(table)
    for label, only in (("A", old.keys() - new.keys()), ("B", new.keys() - old.keys())):
        if only:
            # A peer or a scenario has several figures: once is enough.
            subjects = sorted({name.removeprefix("bar: ").partition(":")[0] for name in only})
            console.print(f"only in {label}: {', '.join(subjects)}", style="dim", highlight=False)


def _circumstances(before: Record, after: Record) -> Iterator[tuple[str, object, object]]:
    one, other = before.machine, after.machine
    yield "processor", f"{one.cpu}, {one.cores} cores", f"{other.cpu}, {other.cores} cores"
    yield "kernel", one.kernel, other.kernel
    yield "Python", one.python, other.python
    yield "commit", one.commit, other.commit
    for what in ("scenario", "server", "lane", "nodes", "plugins", "connections"):
        yield what, getattr(before, what), getattr(after, what)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _change(old: Figure, new: Figure) -> str:
    if not old.value:
        return "" if abs(new.value) <= old.noise else "from zero"
    change = new.value / old.value - 1
    if abs(change) < _NOISE or abs(new.value - old.value) < old.noise:
        return f"[dim]{change:+.1%}[/]"
    good = (change > 0) == old.more_is_better
    return f"[{'green' if good else 'red'}]{change:+.1%} {'better' if good else 'worse'}[/]"
