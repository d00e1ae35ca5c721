"""What a reader of the documents has: a checkout with its examples, a shell, and a terminal or two."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ports
from tests.processes import PATIENCE, started

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("4355", "4356", "8080", "2746")
"""Those that the examples and the documents name."""


class Checkout:
    """A folder like a checkout after `make install`. The ports of the examples are replaced by free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._left_running = contextlib.ExitStack()
        (folder / ".venv").symlink_to(sys.prefix)
        for file in (ROOT / "examples").rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                copy = folder / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self.translate(file.read_text()))

    def translate(self, text: str) -> str:
        for port, free in self._ports.items():
            text = text.replace(port, free)
        return text

    def leave_running(self, command: str) -> None:
        """Start what one would start in another terminal, and wait until it says that it is listening."""
        if "oarlock serve" in command and "--listen" not in command:
            command += " --listen 127.0.0.1:2746"  # its default, as a port that is replaced, too
        process = self._left_running.enter_context(
            started(
                *("bash", "-c", f"exec {self.translate(command)}"),
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "HOME": str(self.folder)},
            )
        )
        self._left_running.callback(_end, process)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "listening" in line:
                return
        raise AssertionError(f"{command} ended with {process.wait()}: {said}")

    def run(self, command: str, *, expect: int = 0) -> str:
        """What `command` writes to standard output; `expect` is its exit code."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.translate(command)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
        )
        assert done.returncode == expect, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def close(self) -> None:
        self._left_running.close()


def _end(process: subprocess.Popen[str]) -> None:
    """Have it and what it has started end in good order."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def free_ports(count: int) -> list[str]:
    """Of four digits like those they stand for, so that tables come out as wide."""
    return [str(port) for port in ports.free(count, range(5_000, 10_000))]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout of one's own."""
    made = Checkout(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def node() -> str:
    """Node.js, where it is installed."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found
