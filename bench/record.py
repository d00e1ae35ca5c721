"""The shape of what a run writes: one JSON document that the tables, the page and `compare` are all made from.

Times are seconds unless the name says otherwise, rates are calls/s, memory is bytes. ``cpu_us_per_call`` is user plus
system time by the operating system's accounting, ``system_us_per_call`` the kernel's part of it. A field is None, and a
list empty, where the run was not asked for it or could not have it; ``missing`` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median_low
from typing import Any, Final, Self

import msgspec

from bench.machine import Machine


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What some calls took and cost."""

    seconds: float
    calls: int
    calls_per_second: float
    cpu_us_per_call: float
    system_us_per_call: float
    errors: int

    @classmethod
    def of(
        cls, calls: int, *, seconds: float, cpu_seconds: float, system_seconds: float, errors: int, **more: Any
    ) -> Self:
        """From sums; ``more`` is what the class has besides."""
        return cls(
            seconds=seconds,
            calls=calls,
            calls_per_second=calls / seconds,
            cpu_us_per_call=cpu_seconds / max(calls, 1) * 1e6,
            system_us_per_call=system_seconds / max(calls, 1) * 1e6,
            errors=errors,
            **more,
        )


class Loop(Cost, frozen=True, kw_only=True):
    """One loop of one workflow through every plugin.

    ``added_rss_bytes`` is the peak of the engine's resident memory in the loop over what it was with the graph loaded.
    ``outside_calling`` is the share of the loop in which no call was in flight; only a loop that was observed call by
    call knows it. ``aborted`` is why the pass left no trace, where it did.
    """

    added_rss_bytes: int
    outside_calling: float | None = None
    aborted: str | None = None


class Bin(msgspec.Struct, frozen=True):
    """Calls whose latency was at least ``above`` and less than ``below``, in milliseconds."""

    above: float
    below: float
    calls: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """From handing a call to the client to its reply, in milliseconds, waiting for a connection included."""

    p50: float
    p90: float = 0.0
    p95: float = 0.0
    p99: float
    max: float
    bins: list[Bin] = []


NO_LATENCY: Final = Latency(p50=0.0, p99=0.0, max=0.0)
"""Where none was taken."""


class Moment(msgspec.Struct, frozen=True):
    """``second`` after the loop's start, the calls/s since the moment before, and each plugin's limit of calls."""

    second: float
    calls_per_second: float
    limits: list[int] = []


class PluginRow(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin in the observed loop; ``failures`` counts failed attempts by what came of them.

    ``limit`` is how many calls at a time it was sent at the end. ``sent`` counts the requests of the whole run, warm-up
    included, and ``served`` those that the plugin counted, None where it keeps no count or did not live to tell.
    """

    name: str
    address: str
    lane: str
    calls: int
    errors: int
    failures: dict[str, int]
    limit: int
    latency_ms: Latency
    sent: int
    served: int | None = None


class PeerRound(Cost, frozen=True, kw_only=True):
    """One peer in one round. ``served`` is how many requests the server counted."""

    served: int


class PeerRow(Cost, frozen=True, kw_only=True):
    """The medians of a peer's rounds, and all of their errors."""

    name: str
    server: str
    rounds: list[PeerRound]


class ScenarioRow(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario, by its median loop."""

    name: str
    about: str
    server: str
    nodes: int
    plugins: int
    request_bytes: int
    loop: Loop
    latency_ms: Latency | None = None
    graph_bytes_per_node: float | None = None


class Micro(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a call on its own, the best of several repetitions."""

    name: str
    about: str
    us: float


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio to reach (``at_least``) or to stay under, and what this run measured."""

    name: str
    limit: float
    at_least: bool
    measured: float
    unit: str = ""

    @classmethod
    def most(cls, name: str, limit: float, measured: float, unit: str = "") -> Self:
        """One to stay under."""
        return cls(name=name, limit=limit, at_least=False, measured=measured, unit=unit)

    @classmethod
    def least(cls, name: str, limit: float, measured: float, unit: str = "") -> Self:
        """One to reach."""
        return cls(name=name, limit=limit, at_least=True, measured=measured, unit=unit)

    @property
    def passed(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    machine: Machine
    started: str
    scenario: str
    server: str
    lane: str
    nodes: int
    plugins: int
    connections: int
    request_bytes: int
    calls_per_loop: int
    loops: list[Loop]
    load_seconds: float
    graph_bytes_per_node: float
    latency_ms: Latency
    per_plugin: list[PluginRow] = []
    timeline: list[Moment] = []
    peers: list[PeerRow] = []
    scenarios: list[ScenarioRow] = []
    micro: list[Micro] = []
    bars: list[Bar] = []
    missing: dict[str, str] = {}


def typical(loops: Sequence[Loop]) -> Loop:
    """The loop of median duration: a figure that was measured, where a mean would be nobody's.

    An observed loop, slowed by being observed, is taken only where there is no other.
    """
    candidates = [loop for loop in loops if loop.outside_calling is None] or loops
    middle = median_low([loop.seconds for loop in candidates])
    return next(loop for loop in candidates if loop.seconds == middle)


class Unreadable(Exception):
    """A file is not a record that this version wrote; the message names the file and the place in it."""


def write(record: msgspec.Struct, file: Path) -> None:
    """Write `record`, be it of a run or of another measurement, as indented JSON."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def read(file: Path) -> Record:
    """Read what `write` wrote; raises `Unreadable`."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Unreadable(f"{file}: {error}") from error
