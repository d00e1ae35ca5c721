"""The trials of failure on a small workflow: what they count, not what they time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.failures.trials import TRIALS

COUNTED = {
    "breaker": {"requests it sent": 0, "bytes of the workflow it changed": 0},
    "proposal": {"http.server: of 400 calls failed": 0},
    "deadline": {"hung plugin: bytes of the workflow it changed": 0},
}


@pytest.mark.parametrize("name", COUNTED)
async def test_what_must_not_happen_does_not(name: str) -> None:
    measured = {bar.name: bar.measured for bar in await TRIALS[name](1000)}
    assert COUNTED[name].items() <= measured.items()


async def test_a_refusal_in_each_plugin_costs_hardly_a_call() -> None:
    aborts, calls = await TRIALS["resuming"](2000)
    assert aborts.measured >= 1
    assert 0 <= calls.measured < 0.5 * 5 * 2000


def test_the_command_prints_and_writes_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "failures.json"
    done = CliRunner().invoke(main, ["failures", "--trial", "journal", "--nodes", "1000", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "journal: a node about which no plugin said a thing" in done.output
    bars = json.loads(file.read_bytes())["bars"]
    assert len(bars) == 2
    assert all(0 < bar["measured"] < bar["limit"] for bar in bars)
