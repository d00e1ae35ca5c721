from __future__ import annotations

import itertools
import math

import pytest

from bench.machine import Machine
from bench.record import (
    Bar,
    Bin,
    Latency,
    Loop,
    Micro,
    Moment,
    PeerRound,
    PeerRow,
    PluginRow,
    Record,
    ScenarioRow,
)


def _loop(seconds: float, calls: int = 500_000) -> Loop:
    return Loop(
        seconds=seconds,
        calls=calls,
        calls_per_second=calls / seconds,
        cpu_us_per_call=11.0 * seconds / 5,
        system_us_per_call=7.0 * seconds / 5,
        added_rss_bytes=9_000_000,
        errors=0,
    )


def _latency(scale: float = 1.0) -> Latency:
    edges = [scale * 0.1 * 1.25**step for step in range(16)]
    bins = [
        Bin(low, high, int(90_000 * math.exp(-(((step - 6) / 3) ** 2))))
        for step, (low, high) in enumerate(itertools.pairwise(edges))
    ]
    return Latency(p50=0.38 * scale, p90=0.7 * scale, p95=0.9 * scale, p99=1.2 * scale, max=3.4 * scale, bins=bins)


def _peer(name: str, rate: float, cpu: float, calls: int = 500_000) -> PeerRow:
    rounds = [
        PeerRound(
            calls=calls,
            seconds=calls / (rate * factor),
            calls_per_second=rate * factor,
            cpu_us_per_call=cpu / factor,
            system_us_per_call=cpu / factor / 2,
            errors=0,
            served=calls,
        )
        for factor in (0.97, 1.0, 1.02)
    ]
    return PeerRow(
        name=name,
        server="nginx 1.0",
        calls=calls,
        seconds=calls / rate,
        calls_per_second=rate,
        cpu_us_per_call=cpu,
        system_us_per_call=cpu / 2,
        errors=0,
        rounds=rounds,
    )


@pytest.fixture(scope="session")
def record() -> Record:
    """A record with every part filled in; its figures are invented, to be written, read and drawn."""
    return Record(
        machine=Machine(
            cpu="A Processor (x86_64)",
            cores=2,
            memory_bytes=8 << 30,
            kernel="Linux 6.0",
            python="CPython 3.11.0",
            versions={"uvloop": "1.0"},
            commit="0123456789abcdef",
            dirty=True,
            command="python -m bench --peers",
        ),
        started="2000-01-01T00:00:00+00:00",
        scenario="single",
        server="nginx 1.0",
        lane="wire",
        nodes=100_000,
        plugins=5,
        connections=60,
        request_bytes=490,
        calls_per_loop=500_000,
        loops=[_loop(5.1), _loop(5.0), _loop(5.3)],
        load_seconds=1.5,
        graph_bytes_per_node=900.0,
        latency_ms=_latency(),
        per_plugin=[
            PluginRow(
                name=f"plugin-{number}",
                address=f"unix:///run/{number}.sock",
                lane="wire",
                calls=100_000,
                errors=0,
                failures={},
                limit=12,
                latency_ms=_latency(4.0 if number == 3 else 1.0),
                sent=105_000,
                served=105_000,
            )
            for number in range(1, 6)
        ],
        timeline=[
            Moment(second=step / 10, calls_per_second=100_000 - 40_000 / (step + 1), limits=[4 + step] * 5)
            for step in range(50)
        ],
        peers=[
            _peer("oarlock", 100_000, 11.0),
            _peer("wrk", 105_000, 9.0),
            _peer("Go net/http", 40_000, 36.0),
            _peer("aiohttp", 16_000, 62.0),
            _peer("pyreqwest", 24_000, 50.0),
            _peer("sequential Go", 9_700, 80.0, 50_000),
        ],
        scenarios=[
            ScenarioRow(
                name=name,
                about="what it does",
                server="nginx 1.0",
                nodes=10_000,
                plugins=5,
                request_bytes=490,
                loop=_loop(seconds),
                latency_ms=_latency(),
            )
            for name, seconds in [("single", 5.0), ("six", 6.0), ("patch", 9.0), ("latency-20", 30.0)]
        ],
        micro=[Micro(name="encode a node", about="msgspec", us=0.9), Micro(name="splice", about="bytes", us=0.08)],
        bars=[
            Bar(name="calls/s over wrk's", limit=0.9, at_least=True, measured=0.95),
            Bar(name="CPU per call over wrk's", limit=1.4, at_least=False, measured=1.22),
            Bar(name="memory added by the loop", limit=32.0, at_least=False, measured=41.0, unit=" MiB"),
        ],
        missing={"pyreqwest": "not installed"},
    )
