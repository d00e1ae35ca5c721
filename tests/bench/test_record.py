from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bench import record as records
from bench.bars import over_graph, over_mixed, over_peers, over_scale
from bench.record import Loop, Record, Unreadable


def test_a_record_survives_being_written_and_read(record: Record, tmp_path: Path) -> None:
    records.write(record, tmp_path / "run.json")
    assert records.read(tmp_path / "run.json") == record


def test_the_json_has_the_documented_keys(record: Record, tmp_path: Path) -> None:
    records.write(record, tmp_path / "run.json")
    document = json.loads((tmp_path / "run.json").read_text())
    assert {
        "machine",
        "nodes",
        "plugins",
        "calls_per_loop",
        "loops",
        "graph_bytes_per_node",
        "peers",
        "latency_ms",
    } <= set(document)
    for loop in document["loops"]:
        assert {"seconds", "calls", "calls_per_second", "cpu_us_per_call", "added_rss_bytes", "errors"} <= set(loop)
    for peer in document["peers"]:
        assert {"name", "server", "calls", "seconds", "calls_per_second", "cpu_us_per_call"} <= set(peer)
    assert {"p50", "p90", "p95", "p99", "max"} <= set(document["latency_ms"])


@pytest.mark.parametrize(
    ("content", "said"), [("{", "truncated"), ("[]", "Expected `object`"), ('{"nodes": 1}', "missing required field")]
)
def test_what_is_no_record_is_said_to_be_none(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(Unreadable, match=said) as caught:
        records.read(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"nowhere\.json: No such file"):
        records.read(tmp_path / "nowhere.json")


def test_bars_are_ratios_of_this_runs_own_figures(record: Record) -> None:
    bars = {bar.name: bar for bar in over_peers(record.peers)}
    assert bars["calls/s over wrk's"].measured == pytest.approx(100 / 105)
    assert bars["client CPU per call over wrk's"].measured == pytest.approx(11 / 9)
    assert bars["calls/s over Go net/http's"].measured == pytest.approx(2.5)
    assert bars["calls/s over aiohttp's"].measured == pytest.approx(6.25)
    assert all(bar.passed for bar in bars.values())


def test_a_missing_peer_gives_no_bar(record: Record) -> None:
    rows = [row for row in record.peers if row.name != "wrk"]
    assert [bar.name for bar in over_peers(rows)] == ["calls/s over Go net/http's", "calls/s over aiohttp's"]


def test_three_plugins_cost_what_their_loop_costs_over_one_without_them(record: Record) -> None:
    def loop(calls: int, cpu_us: float) -> Loop:
        return msgspec.structs.replace(record.loops[0], calls=calls, cpu_us_per_call=cpu_us / calls)

    five, two = [loop(50, 650.0)], [loop(20, 350.0)]  # 10 µs each of the 30 calls that only the former made
    mixed, odd = [loop(48, 1130.0)], [loop(18, 800.0)]  # 11 µs, and a lot for what the two want besides
    bar = over_mixed(five, two, mixed, odd)
    assert bar.measured == pytest.approx(1.1)


def test_the_worst_loop_counts_for_memory(record: Record) -> None:
    heavy = msgspec.structs.replace(record.loops[0], added_rss_bytes=40 << 20, outside_calling=0.12)
    added, outside, graph = over_graph([*record.loops, heavy], 1600.0)
    assert (added.measured, added.passed) == (40.0, False)
    assert outside.measured == pytest.approx(12.0)
    assert not outside.passed
    assert not graph.passed


def test_growth_is_the_median_of_the_loops_taken_in_turns(record: Record) -> None:
    def loops(*cpu: float) -> list[records.Loop]:
        return [msgspec.structs.replace(record.loops[0], cpu_us_per_call=each) for each in cpu]

    bar = over_scale(10, loops(10, 20, 10), 1000, loops(11, 22, 30))
    assert bar.measured == pytest.approx(1.1)
    assert bar.name == "CPU per call at 1,000 nodes over 10"


def test_the_typical_loop_is_one_that_was_measured(record: Record) -> None:
    assert records.typical(record.loops[:2]).seconds == 5.0
    assert records.typical(record.loops).seconds == 5.1
