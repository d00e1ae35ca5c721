"""The ratios that Oarlock holds itself to, from the figures of one run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.record import Bar, Cost, Loop, PeerRow

_MIB = 1 << 20


def over_peers(rows: Sequence[PeerRow]) -> list[Bar]:
    """What a call costs against other clients on the same server; a missing peer gives no bar."""
    by_name = {row.name: row.rounds for row in rows}
    ours = by_name.get("oarlock", [])
    wanted = [
        ("calls/s over wrk's", 0.90, True, "wrk", "calls_per_second"),
        ("client CPU per call over wrk's", 1.4, False, "wrk", "cpu_us_per_call"),
        ("calls/s over Go net/http's", 2.3, True, "Go net/http", "calls_per_second"),
        ("calls/s over aiohttp's", 5.0, True, "aiohttp", "calls_per_second"),
    ]
    return [
        Bar(name=name, limit=limit, at_least=at_least, measured=_ratio(ours, by_name[peer], figure))
        for name, limit, at_least, peer, figure in wanted
        if ours and peer in by_name
    ]


def over_graph(loops: Sequence[Loop], graph_bytes_per_node: float) -> list[Bar]:
    """What the graph costs, and what the loop adds to it: the worst loop counts."""
    outside = [loop.outside_calling for loop in loops if loop.outside_calling is not None]
    bars = [Bar.most("memory added by a loop", 32.0, _added(loops), " MiB")]
    if outside:
        bars.append(Bar.most("share of the loop outside calling", 10.0, max(outside) * 100, " %"))
    return [*bars, Bar.most("memory per node of the loaded graph", 1536.0, graph_bytes_per_node, " B")]


def over_single(single: Sequence[Loop], batched: Sequence[Loop], cached: Sequence[Loop]) -> list[Bar]:
    """What batches and cached replies save, loops taken in turns."""
    cpu = median(loop.cpu_us_per_call for loop in batched)
    return [
        Bar.most("time of a loop in batches over one of single calls", 0.12, _ratio(batched, single, "seconds")),
        Bar.most("client CPU per call in batches", 1.0, cpu, " µs"),
        Bar.most("calls where 1 % changed over those of all", 0.02, _ratio(cached, batched, "calls")),
        Bar.most("time where 1 % changed over that of all", 0.1, _ratio(cached, batched, "seconds")),
        Bar.most("memory added by a loop in batches", 48.0, _added([*batched, *cached]), " MiB"),
    ]


def over_mixed(five: Sequence[Loop], two: Sequence[Loop], mixed: Sequence[Loop], odd: Sequence[Loop]) -> Bar:
    """What three plugins cost beside the two ``odd`` ones of `mixed`, over what they cost beside ``two`` like them.

    The accounting knows whole loops only, so what the three cost is what a loop costs with them less what it costs
    without; what is spent on a node whoever is called is in neither. All loops were taken in turns.
    """
    rounds = zip(five, two, mixed, odd, strict=True)
    measured = median(_cpu_between(c, d) / _cpu_between(a, b) for a, b, c, d in rounds)
    return Bar.most("CPU per call of three plugins beside two that want more", 1.10, measured)


def over_scale(few: int, small: Sequence[Loop], many: int, large: Sequence[Loop]) -> Bar:
    """CPU per call on a graph of `many` nodes over that on one of `few`, loops taken in turns."""
    return Bar.most(f"CPU per call at {many:,} nodes over {few:,}", 1.15, _ratio(large, small, "cpu_us_per_call"))


def _ratio(ours: Sequence[Cost], theirs: Sequence[Cost], figure: str) -> float:
    """Round by round, because what a neighbour does to the machine it does to both sides of one round."""
    pairs = zip(ours, theirs, strict=True)
    return float(median(getattr(one, figure) / getattr(other, figure) for one, other in pairs))


def _added(loops: Sequence[Loop]) -> float:
    return max(loop.added_rss_bytes for loop in loops) / _MIB


def _cpu_between(more: Loop, less: Loop) -> float:
    """Microseconds a call of those that only the one loop made."""
    cpu = more.cpu_us_per_call * more.calls - less.cpu_us_per_call * less.calls
    return cpu / (more.calls - less.calls)
