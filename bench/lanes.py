"""The lanes on their own: `rpc.Client` with no engine around it, with TLS and without, against one nginx."""

from __future__ import annotations

from statistics import median
from typing import Final, NamedTuple

from bench import fronts, peers
from bench.measuring import Plan
from bench.peers.window import Outcome, Task
from bench.record import Micro
from rpc.client import LaneName
from rpc.methods import Method

_BODY = '{"workflow":{"metadata":{"name":"fan-out"}},"template":{"name":"work"},"node":{"message":"%s"}}' % ("x" * 400)


class _Way(NamedTuple):
    """``address`` is which of the front's, ``share`` what it sends of the calls: the slow need fewer to be as exact."""

    name: str
    lane: LaneName
    address: int
    share: float


_WAYS: Final = (
    _Way("one call, wire lane", "wire", 0, 1.0),
    _Way("one call, wire lane, TLS", "wire", 1, 1.0),
    _Way("one call, aiohttp lane", "aiohttp", 0, 0.2),
    _Way("one call, aiohttp lane, TLS", "aiohttp", 1, 0.2),
    _Way("one connection and a call, wire lane, TLS resumed", "wire", 2, 0.02),
    _Way("one connection and a call, wire lane, TLS in full", "wire", 3, 0.02),
)


def lanes(calls: int, connections: int, rounds: int, plan: Plan) -> list[Micro]:
    """CPU microseconds of one call on each lane, the median of `rounds` in turns, with so many `calls` in all.

    Raises `servers.Missing`, `peers.Failed` and `processes.Stuck`.
    """
    outcomes: dict[str, list[Outcome]] = {way.name: [] for way in _WAYS}
    with fronts.alone() as front:
        for number in range(rounds):
            for way in _WAYS:
                plan.watch(f"{way.name}, round {number + 1}", 0, None)
                told = Task(
                    url=f"{front.addresses[way.address]}/{Method.NODE_PRE_EXECUTE}",
                    body=_BODY,
                    calls=max(1, int(calls * way.share / rounds)),
                    connections=connections,
                    ca_file=str(front.ca_file),
                )
                outcomes[way.name].append(peers.lane(way.lane).send(told))
    return [_row(name, each) for name, each in outcomes.items()]


def _row(name: str, outcomes: list[Outcome]) -> Micro:
    cost = median(each.cpu_seconds / each.calls for each in outcomes) * 1e6
    kernel = median(each.system_seconds / each.cpu_seconds for each in outcomes)
    speed = median(each.calls / each.seconds for each in outcomes)
    failed = sum(each.errors for each in outcomes)
    about = f"CPU, {kernel:.0%} of it the kernel's; no engine; {speed:,.0f} calls/s"
    return Micro(name=name, about=about + (f"; {failed} failed" if failed else ""), us=cost)
