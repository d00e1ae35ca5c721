"""The lanes on their own: `rpc.Client` with no engine around it, against the server that peers are compared on."""

from __future__ import annotations

from bench import peers
from bench.measuring import Plan
from bench.peers.window import Task
from bench.record import Micro
from bench.scenarios import DEFAULT, SCENARIOS
from bench.servers import nginx
from rpc.client import LaneName
from rpc.methods import Method

_BODY = '{"workflow":{"metadata":{"name":"fan-out"}},"template":{"name":"work"},"node":{"message":"%s"}}' % ("x" * 400)
_LANES: tuple[tuple[LaneName, float], ...] = (("wire", 1.0), ("aiohttp", 0.2))
"""Each lane, and the share of the calls that it makes: the slow one needs fewer to be as exact."""


def lanes(calls: int, connections: int, plan: Plan) -> list[Micro]:
    """CPU microseconds of one call on each lane. Raises `servers.Missing`, `peers.Failed` and `processes.Stuck`."""
    rows = []
    with nginx(SCENARIOS[DEFAULT].behaviours(1)) as server:
        for lane, share in _LANES:
            plan.watch(f"the {lane} lane alone", 0, None)
            url = f"{server.addresses[0]}/{Method.NODE_PRE_EXECUTE}"
            told = Task(url=url, body=_BODY, calls=max(1, int(calls * share)), connections=connections)
            outcome = peers.lane(lane).send(told)
            speed = f"{outcome.calls / outcome.seconds:,.0f} calls/s over {connections} connections"
            cost = outcome.cpu_seconds / outcome.calls * 1e6
            about = f"CPU, {outcome.system_seconds / outcome.cpu_seconds:.0%} of it the kernel's; no engine; {speed}"
            rows.append(Micro(name=f"one call, {lane} lane", about=about, us=cost))
    return rows
