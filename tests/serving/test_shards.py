"""`oarlock serve --shards`: shards are killed, the server is, and clients and leaves notice nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.cli.program import run_program
from tests.cluster.inside import Losing
from tests.processes import beneath, surviving
from tests.serving.conftest import Served, end, serving
from tests.serving.inside import workflow

MANY = 8

POLL = 0.01
"""Seconds between two looks at what another process does."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Nothing of a server in it is left."""
    yield tmp_path
    there = psutil.process_iter(["cmdline"])
    assert not surviving(each for each in there if str(tmp_path) in " ".join(each.info["cmdline"] or ()))


def _shards(served: Served) -> list[psutil.Process]:
    return beneath(served.process.pid, "engine.cluster.child")


def _writing(ledger: Path, name: str) -> dict[str, Any]:
    """A workflow of two loops, each turn of which writes down that it was there."""
    write = {
        "name": "write",
        "inputs": {"parameters": [{"name": "turn"}]},
        "container": {
            "image": "i",
            "command": ["sh", "-c", f"echo {name} {{{{inputs.parameters.turn}}}} >> {ledger}; sleep 0.05"],
        },
    }
    step = {"template": "write", "arguments": {"parameters": [{"name": "turn", "value": "{{item}}"}]}}
    loops = [[{**step, "name": letter, "withItems": [f"{letter}{n}" for n in range(4)]}] for letter in ("a", "b")]
    return workflow(name, {"name": "main", "steps": loops}, write)


def test_shards_that_are_killed_are_not_noticed(folder: Path) -> None:
    ledger = folder / "ledger"
    with serving(folder, "--shards", "2", "--parallel-leaves", "4") as served:
        names = [f"w-{number}" for number in range(MANY)]
        for name in names:
            served.submit(_writing(ledger, name))
        killed = set[int]()
        for written in (8, 24, 40):
            while not ledger.exists() or len(ledger.read_text().splitlines()) < written:
                time.sleep(POLL)
            while not (shards := [each for each in _shards(served) if each.pid not in killed]):
                time.sleep(POLL)
            killed.add(shards[0].pid)
            shards[0].kill()
        assert {served.wait(name)["status"]["phase"] for name in names} == {"Succeeded"}
        turns = [f"{letter}{n}" for letter in ("a", "b") for n in range(4)]
        assert sorted(ledger.read_text().splitlines()) == sorted(f"{name} {turn}" for name in names for turn in turns)
        there = re.compile(r'^oarlock_shard_workflows\{shard="(\d)"\} 0.0$', re.MULTILINE)
        while there.findall(metrics := served.ask("GET", "/metrics").body.decode()) != ["0", "1"]:
            time.sleep(POLL)  # the last one that was killed is replaced
        assert f'oarlock_workflows_finished_total{{phase="Succeeded"}} {MANY}.0' in metrics
        end(served)


def test_where_there_are_no_shards_any_more_it_ends_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.cluster.fleet.Processes", Losing)
    store = tmp_path / "oarlock.db"
    assert run_program(["serve", "--shards", "1", "--listen", "127.0.0.1:0", "--store", str(store)]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == "Error: --shards: shard 0: there is no room"


def test_a_server_that_is_killed_takes_its_shards_with_it_and_the_next_goes_on(folder: Path) -> None:
    with serving(folder, "--shards", "2", executor="pending") as served:
        uid = served.submit(workflow("one"))["metadata"]["uid"]
        while served.ask("GET", "/api/v1/workflows/default/one").json()["status"].get("phase") != "Running":
            pass
        while len(shards := _shards(served)) < 2:
            time.sleep(POLL)
    assert not surviving(shards)
    with serving(folder, "--shards", "2", executor="pending") as served:
        found = served.ask("GET", "/api/v1/workflows/default/one").json()
        assert (found["metadata"]["uid"], found["status"]["phase"]) == (uid, "Running")
        assert served.ask("PUT", "/api/v1/workflows/default/one/terminate", {}).status == 200
        assert served.wait("one")["status"]["phase"] == "Failed"
        end(served)
