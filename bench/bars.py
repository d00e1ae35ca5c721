"""The ratios that Oarlock holds itself to, from the figures of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from bench.record import Bar, Loop, PeerRound, PeerRow

MIB = 1 << 20


def over_peers(rows: Sequence[PeerRow]) -> list[Bar]:
    """What a call costs against other clients on the same server; a missing peer gives no bar."""
    by_name = {row.name: row for row in rows}

    def ratio(peer: str, figure: Callable[[PeerRound], float]) -> float | None:
        # Round by round, because what a neighbour does to the machine it does to both sides of one round.
        if peer not in by_name or "oarlock" not in by_name:
            return None
        pairs = zip(by_name["oarlock"].rounds, by_name[peer].rounds, strict=True)
        return median(figure(ours) / figure(theirs) for ours, theirs in pairs)

    bars = [
        _bar("calls/s over wrk's", 0.90, True, ratio("wrk", _speed)),
        _bar("client CPU per call over wrk's", 1.4, False, ratio("wrk", _cpu)),
        _bar("calls/s over Go net/http's", 2.3, True, ratio("Go net/http", _speed)),
        _bar("calls/s over aiohttp's", 5.0, True, ratio("aiohttp", _speed)),
    ]
    return [bar for bar in bars if bar is not None]


def over_graph(loops: Sequence[Loop], graph_bytes_per_node: float) -> list[Bar]:
    """What the graph costs, and what the loop adds to it: the worst loop counts."""
    outside = [loop.outside_calling for loop in loops if loop.outside_calling is not None]
    added = max(loop.added_rss_bytes for loop in loops) / MIB
    bars = [
        _bar("memory added by a loop", 32.0, False, added, " MiB"),
        _bar("share of the loop outside calling", 10.0, False, max(outside) * 100 if outside else None, " %"),
        _bar("memory per node of the loaded graph", 1536.0, False, graph_bytes_per_node, " B"),
    ]
    return [bar for bar in bars if bar is not None]


def over_single(single: Sequence[Loop], batched: Sequence[Loop], cached: Sequence[Loop]) -> list[Bar]:
    """What batches and cached replies save, loops taken in turns."""

    def ratio(ours: Sequence[Loop], theirs: Sequence[Loop], figure: Callable[[Loop], float]) -> float:
        return median(figure(one) / figure(other) for one, other in zip(ours, theirs, strict=True))

    cpu = median(loop.cpu_us_per_call for loop in batched)
    added = max(loop.added_rss_bytes for loop in (*batched, *cached)) / MIB
    bars = [
        _bar("time of a loop in batches over one of single calls", 0.12, False, ratio(batched, single, _seconds)),
        _bar("client CPU per call in batches", 1.0, False, cpu, " µs"),
        _bar("calls where 1 % changed over those of all", 0.02, False, ratio(cached, batched, _calls)),
        _bar("time where 1 % changed over that of all", 0.1, False, ratio(cached, batched, _seconds)),
        _bar("memory added by a loop in batches", 48.0, False, added, " MiB"),
    ]
    return [bar for bar in bars if bar is not None]


def over_mixed(five: Sequence[Loop], two: Sequence[Loop], mixed: Sequence[Loop], odd: Sequence[Loop]) -> Bar:
    """What three plugins cost beside the two ``odd`` ones of `mixed`, over what they cost beside ``two`` like them.

    The accounting knows whole loops only, so what the three cost is what a loop costs with them less what it costs
    without; what is spent on a node whoever is called is in neither. All loops were taken in turns.
    """
    rounds = zip(five, two, mixed, odd, strict=True)
    measured = median(_cpu_between(c, d) / _cpu_between(a, b) for a, b, c, d in rounds)
    return Bar(
        name="CPU per call of three plugins beside two that want more", limit=1.10, at_least=False, measured=measured
    )


def over_scale(few: int, small: Sequence[Loop], many: int, large: Sequence[Loop]) -> Bar:
    """CPU per call on a graph of `many` nodes over that on one of `few`, loops taken in turns."""
    growth = median(b.cpu_us_per_call / a.cpu_us_per_call for a, b in zip(small, large, strict=True))
    name = f"CPU per call at {many:,} nodes over {few:,}"
    return Bar(name=name, limit=1.15, at_least=False, measured=growth)


def _bar(name: str, limit: float, at_least: bool, measured: float | None, unit: str = "") -> Bar | None:
    if measured is None:
        return None
    return Bar(name=name, limit=limit, at_least=at_least, measured=measured, unit=unit)


def _seconds(one: Loop) -> float:
    return one.seconds


def _calls(one: Loop) -> float:
    return one.calls


def _speed(one: PeerRound) -> float:
    return one.calls_per_second


def _cpu_between(more: Loop, less: Loop) -> float:
    """Microseconds a call of those that only the one loop made."""
    cpu = more.cpu_us_per_call * more.calls - less.cpu_us_per_call * less.calls
    return cpu / (more.calls - less.calls)


def _cpu(one: PeerRound) -> float:
    return one.cpu_us_per_call
