from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from bench import compare as comparison
from bench import record as records
from bench.cli import main
from bench.record import Record


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def within(*arguments: str | Path) -> Result:
    """The same in this process, which need not import the bench again."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_run_prints_a_table_and_writes_json_and_a_page(tmp_path: Path) -> None:
    done = run(
        "--scenario",
        "single",
        "--nodes",
        "300",
        "--plugins",
        "2",
        "--loops",
        "2",
        "--json",
        tmp_path / "a.json",
        "--html",
        tmp_path / "a.html",
    )
    assert done.returncode == 0, done.stderr
    assert "602 calls in" in done.stdout
    assert "Traceback" not in done.stderr
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["nodes"], document["plugins"], document["calls_per_loop"]) == (300, 2, 602)
    assert [loop["calls"] for loop in document["loops"]] == [602, 602]
    assert isinstance(document["graph_bytes_per_node"], float)
    assert document["lane"] == "wire"
    assert document["server"] == "SDK plugins"
    assert "--nodes 300" in document["machine"]["command"]
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_peers_and_bars_are_in_one_record(tmp_path: Path) -> None:
    done = run("--nodes", "100", "--peers", "--rounds", "1", "--connections", "4", "--json", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    record = records.read(tmp_path / "a.json")
    names = [row.name for row in record.peers]
    assert names[0] == "oarlock"
    assert {"aiohttp", "sequential Python"} <= set(names)
    assert not set(names) & set(record.missing)
    assert record.server.startswith("nginx")
    assert all(row.errors == 0 and row.server == record.server for row in record.peers)
    measured = {bar.name for bar in record.bars}
    assert {"calls/s over aiohttp's", "memory added by a loop", "CPU per call at 1,000 nodes over 10"} <= measured
    assert ("calls/s over wrk's" in measured) == (shutil.which("wrk") is not None)
    assert ("calls/s over Go net/http's" in measured) == (shutil.which("go") is not None)


def test_a_missing_server_is_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = within("--nodes", "20", "--plugins", "1", "--peers", "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.stderr
    assert "missing: nginx: nginx is not installed" in done.stdout
    record = records.read(tmp_path / "a.json")
    assert record.peers == []
    assert record.loops[0].calls == 21


def test_parts_of_a_call_can_be_had_without_a_loop(tmp_path: Path) -> None:
    done = within("--scenario", "codec", "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert done.exit_code == 0, done.stderr
    assert "encode a node" in done.stdout
    record = records.read(tmp_path / "a.json")
    assert record.loops == []
    assert all(part.us > 0 for part in record.micro)
    assert "Parts of a call" in (tmp_path / "a.html").read_text()


def test_ones_own_plugins_are_called_switched_on_or_not(tmp_path: Path, closed_port: int) -> None:
    config = tmp_path / "plugins.toml"
    config.write_text(
        f'[[plugins]]\nname = "nobody"\naddress = "http://127.0.0.1:{closed_port}"\n'
        'failure_policy = "abort"\nretry = { attempts = 1 }\n'
    )
    done = within("--nodes", "20", "--config", config, "--json", tmp_path / "a.json")
    assert done.exit_code == 1
    assert "a pass was aborted" in done.stdout
    assert "Traceback" not in done.stderr
    (loop,) = records.read(tmp_path / "a.json").loops
    assert loop.aborted is not None
    assert loop.errors > 0


def test_a_profile_is_a_flame_graph_of_the_engine(tmp_path: Path) -> None:
    done = run("--nodes", "2000", "--plugins", "1", "--profile", tmp_path / "flame.svg")
    if "Permission denied" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("the kernel does not let py-spy look at a child")
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "flame.svg").read_text()
    assert "<svg" in drawn
    assert "reconcile" in drawn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "0"], "0 is not in the range"),
        (["--nodes", "many"], "not a valid integer"),
        (["--loops", "-1"], "-1 is not in the range"),
        (["--lane", "fast"], "'fast' is not one of"),
        (["--scenario", "happy"], "'happy' is not one of"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--config", "plugins.toml", "--peers"], "leave out --peers"),
        (["--peers", "--profile", "flame.svg"], "leave out --peers"),
        (["--config", "plugins.toml", "--tls"], "leave out --peers, --batches, --tls"),
        (["--peers", "--tls"], "leave out --tls"),
        (["--json", "no/such/folder/a.json"], "no/such/folder/a.json: cannot write there"),
        (["compare", "nowhere.json", "nowhere.json"], "nowhere.json: No such file"),
        (["compare", "one.json"], "Missing argument"),
        (["compare", "a", "b", "--fail-over", "much"], "expected a percentage such as 5%, got 'much'"),
        (["compare", "a", "b", "--fail-over", "-1%"], "expected a percentage such as 5%, got '-1%'"),
        (["compare", "a", "b", "--fail-over", "nan%"], "expected a percentage such as 5%, got 'nan%'"),
        (["--csv", "no/such/folder/a.csv"], "no/such/folder/a.csv: cannot write there"),
        (["--frobnicate"], "No such option"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_without_wishes_the_same_calls_are_shown_single_batched_and_where_one_percent_changed(tmp_path: Path) -> None:
    done = within("--nodes", "300", "--plugins", "2", "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv")
    assert done.exit_code == 0, done.stderr
    first = done.stdout.strip().splitlines()
    assert first[0].split()[0] == "scenario"
    assert [line.split()[0] for line in first[1:4]] == ["single", "batched", "cached"]
    single, batched, cached = records.read(tmp_path / "a.json").scenarios
    assert single.loop.calls == batched.loop.calls == 602
    assert cached.loop.calls < 20
    assert {row.server for row in (single, batched, cached)} == {single.server}
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows if row["kind"] == "scenario"] == ["single", "batched", "cached"]
    assert [row["calls"] for row in rows if row["kind"] == "loop"] == ["602"]
    for row in rows:
        if row["kind"] in ("scenario", "plugin"):
            percentiles = [float(row[f"{name}_ms"]) for name in ("p50", "p90", "p95", "p99", "max")]
            assert percentiles == sorted(percentiles)


def test_a_run_without_a_call_has_failed(tmp_path: Path, closed_port: int) -> None:
    config = tmp_path / "plugins.toml"
    config.write_text(
        f'[[plugins]]\nname = "nobody"\naddress = "http://127.0.0.1:{closed_port}"\n'
        'match = { types = ["Suspend"], methods = ["node.*"] }\n'
    )
    done = within("--nodes", "20", "--config", config, "--json", tmp_path / "a.json")
    assert done.exit_code == 1
    assert "Error: single: no call was made" in done.stderr
    assert not (tmp_path / "a.json").exists()


@pytest.fixture
def pair(record: Record, tmp_path: Path) -> tuple[str, str]:
    """Two runs, of which the second took a tenth more time for all it did."""
    loops = [msgspec.structs.replace(loop, seconds=loop.seconds * 1.1) for loop in record.loops]
    records.write(record, tmp_path / "a.json")
    records.write(msgspec.structs.replace(record, loops=loops), tmp_path / "b.json")
    return str(tmp_path / "a.json"), str(tmp_path / "b.json")


@pytest.mark.parametrize(("limit", "code"), [("5%", 1), ("9.9", 1), ("10.1%", 0), ("50%", 0)])
def test_a_comparison_fails_where_something_got_worse_by_more(pair: tuple[str, str], limit: str, code: int) -> None:
    before, after = pair
    done = CliRunner().invoke(main, ["compare", before, after, "--fail-over", limit])
    assert done.exit_code == code, done.output
    assert ("Error: worse by more than" in done.output and "loop, s (+10.0%)" in done.output) == bool(code)
    assert CliRunner().invoke(main, ["compare", after, before, "--fail-over", limit]).exit_code == 0
    assert CliRunner().invoke(main, ["compare", before, before, "--fail-over", "0"]).exit_code == 0


def test_what_was_zero_got_worse_without_end(record: Record) -> None:
    failing = [msgspec.structs.replace(loop, errors=1) for loop in record.loops]
    assert comparison.worse(record, msgspec.structs.replace(record, loops=failing), 1000.0) == {"errors": math.inf}
    assert comparison.worse(msgspec.structs.replace(record, loops=failing), record, 0.0) == {}


def test_less_memory_than_says_anything_is_not_worse(record: Record) -> None:
    more = [msgspec.structs.replace(loop, added_rss_bytes=loop.added_rss_bytes + 900_000) for loop in record.loops]
    assert comparison.worse(record, msgspec.structs.replace(record, loops=more), 0.0) == {}


def test_runs_without_a_figure_in_common_are_bad_input(record: Record, tmp_path: Path) -> None:
    bare: dict[str, list[Any]] = {"loops": [], "peers": [], "scenarios": [], "micro": [], "bars": []}
    records.write(record, tmp_path / "a.json")
    records.write(msgspec.structs.replace(record, **bare), tmp_path / "b.json")
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert (done.exit_code, "no figure in common" in done.output) == (2, True)


def test_a_configuration_without_plugins_is_bad_input(tmp_path: Path) -> None:
    config = tmp_path / "plugins.toml"
    config.write_text("[engine]\nenabled = true\n")
    done = CliRunner().invoke(main, ["--config", str(config)])
    assert (done.exit_code, "no plugins" in done.output) == (2, True)


def test_a_comparison_says_what_is_better_and_what_cannot_be_compared(record: Record, tmp_path: Path) -> None:
    loops = [msgspec.structs.replace(loop, seconds=loop.seconds / 2) for loop in record.loops]
    machine = msgspec.structs.replace(record.machine, cpu="Another")
    faster = msgspec.structs.replace(record, loops=loops, machine=machine, peers=record.peers[:1])
    records.write(record, tmp_path / "a.json")
    records.write(faster, tmp_path / "b.json")
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert done.exit_code == 0
    assert re.search(r"loop, s +5\.1 +2\.55 +-50\.0% better", done.output)
    assert "not the same processor" in done.output
    assert "only in A: Go net/http" in done.output


def test_the_same_run_compared_with_itself_differs_in_nothing(record: Record, tmp_path: Path) -> None:
    records.write(record, tmp_path / "a.json")
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")])
    assert "better" not in done.output
    assert "worse" not in done.output
