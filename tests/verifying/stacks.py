"""The plugins of docs/stacks.md, started as their authors would."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import ports
from tests.examples.conftest import ROOT
from tests.processes import PATIENCE

STACKS = {
    "sdk": [sys.executable, "plugin.py"],
    "http_server": [sys.executable, "plugin.py"],
    "flask": [sys.executable, "plugin.py"],
    "fastapi": [sys.executable, "plugin.py"],
    "express": ["node", "plugin.js"],
    "go": ["./plugin"],
}
"""By folder, how each is started."""
FRAMEWORKS = {"flask": "flask", "fastapi": "fastapi"}
"""What must be there to be imported."""


@contextlib.contextmanager
def running(stack: str, folder: Path, cache: Path, changes: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a stack's plugin, made in ``folder`` with these changes to its text.

    ``cache`` keeps what takes time to make. Skips the test where a tool of the stack is not installed.
    """
    if (module := FRAMEWORKS.get(stack)) and find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    (port,) = ports.free()
    for file in (ROOT / "examples/stacks" / stack).iterdir():
        if file.is_file():
            text = file.read_text().replace("4355", str(port))
            for old, new in (changes or {}).items():
                assert old in text or file.suffix == ".json", f"{file}: {old}"
                text = text.replace(old, new)
            (folder / file.name).write_text(text)
    if stack == "express":
        _install_express(folder, cache)
    if stack == "go":
        _build(folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(STACKS[stack], cwd=folder, stdout=log, stderr=log, env=_environment())
    try:
        _wait_for(port, process, folder / "log")
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _install_express(folder: Path, cache: Path) -> None:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes meanwhile would find half of it
        if not (cache / "node_modules" / "express").is_dir():
            shutil.copy(folder / "package.json", cache)
            command = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"]
            done = subprocess.run(command, cwd=cache, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode != 0:
                pytest.skip(f"npm cannot install express here: {done.stderr.strip().splitlines()[-1:]}")
    (folder / "node_modules").symlink_to(cache / "node_modules")


def _build(folder: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    subprocess.run(["go", "build", "-o", "plugin", "plugin.go"], cwd=folder, check=True)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens: {log.read_text()}")
