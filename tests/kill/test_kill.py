"""A few rounds of ``python -m tests.kill``."""

from __future__ import annotations

from pathlib import Path

from tests.kill.killing import kill


def test_nothing_is_lost_and_nothing_started_twice_by_a_process_that_is_killed(tmp_path: Path) -> None:
    *rounds, last = kill(tmp_path, rounds=4, seed=1)
    assert len(rounds) == 4
    assert last.endswith("leaves started once each")
