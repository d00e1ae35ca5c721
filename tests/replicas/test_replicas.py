"""Replicas behind one name that come and go: nothing fails."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import uvloop

from tests.replicas import rolling


@pytest.mark.parametrize(
    ("lane", "balance", "number"),
    [
        ("wire", "first", signal.SIGTERM),
        ("wire", "all", signal.SIGKILL),
        ("aiohttp", "all", signal.SIGTERM),
        ("aiohttp", "first", signal.SIGKILL),
    ],
)
def test_no_call_and_no_workflow_fails_while_replicas_are_restarted_in_turn(
    lane: str, balance: str, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "AMID", 0.1)
    monkeypatch.setattr(rolling, "AWAY", 0.1)
    result = uvloop.run(rolling.restart_all(tmp_path, lane=lane, balance=balance, number=number, rounds=1, attempts=3))
    assert not result.failures
    assert result.restarts == 3
    assert min(result.calls, result.batched, result.workflows) > 0
