"""A few rounds of ``python -m tests.kill``, and a process that dies at each step that there is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kill.killing import kill


def test_nothing_is_lost_and_nothing_started_twice_by_a_process_that_is_killed(tmp_path: Path) -> None:
    *rounds, last = kill(tmp_path, rounds=4, seed=1)
    assert len(rounds) == 4
    assert last.endswith("leaves started once each")


def test_nothing_is_lost_and_nothing_started_twice_at_whatever_step_the_process_dies() -> None:
    memory = Path("/dev/shm")  # what is left of a process is the same there, and a hundred of them need no disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        command = [sys.executable, "-m", "tests.kill.crashing", folder]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    steps = {line.rstrip("0123456789 ") for line in ended.stdout.splitlines()}
    once = {
        "BEGIN",
        "INSERT",
        "UPDATE",
        "COMMIT",
        "before a commit",
        "after a commit",
        "before a start",
        "after a start",
    }
    once |= {"before a report", "after a report", "what follows from a commit", "the end"}
    assert steps >= once | {"after a start 2, before an adoption", "after a start 2, after an adoption"}
