"""The sweep over fixed limits, made short. What it measures depends on the machine, what it reports does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.limits import sweeping


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "FIXED", (1, 8))
    monkeypatch.setattr(sweeping, "CALLERS", 16)
    monkeypatch.setattr(sweeping, "_ROUND", 10)
    monkeypatch.setattr(sweeping, "_PASSES", 2)
    for name in ("_SHORT", "_TURN", "_LEARNING"):
        monkeypatch.setattr(sweeping, name, 0.02)


@pytest.mark.parametrize("server", ["plugin", "http.server"])
def test_fixed_limits_and_the_adaptive_one_are_reported(server: str, tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    done = CliRunner().invoke(main, ["limits", "--server", server, "--turns", "2", "--json", str(file)])
    assert done.exit_code in (0, 1), done.output
    assert "1 calls at a time" in done.output
    assert "adaptive, from the start" in done.output
    (sweep,) = json.loads(file.read_bytes())["sweeps"]
    assert [each["limit"] for each in sweep["fixed"]] == [1, 8]
    assert all(each["calls_per_second"] > 0 for each in sweep["fixed"])
    assert sweep["failures"] == 0
    assert len(sweep["settled"]["shares"]) == 2
    assert sweep["learning"]["limits"][0]["limit"] == 4


def test_a_server_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = CliRunner().invoke(main, ["limits", "--server", "nginx"])
    assert "missing: nginx: nginx is not installed" in done.output
