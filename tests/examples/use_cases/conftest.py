"""Each use case is two plugins, one on the SDK and one on something else, and both pass the same test."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from rich.console import Console

from engine.cli.summary import summarize
from engine.testing import Result
from rpc.plugin import Plugin
from tests.examples.conftest import ROOT, free_ports
from tests.threads import serving

CASES = ROOT / "examples/use-cases"


class Serve:
    """`serve(sdk, another, **environment)`: a plugin of these two files, as something for `oarlock.run`."""

    def __init__(self, sdk: bool, stack: ExitStack, folder: Path, setenv: Callable[[str, str], None]) -> None:
        self.said: Queue[str] = Queue()
        """What a process wrote once it was listening, line by line."""
        self._sdk = sdk
        self._stack = stack
        self._folder = folder
        self._setenv = setenv

    def __call__(self, sdk: str, another: str, **environment: str) -> Plugin | str:
        if not self._sdk:
            return self._stack.enter_context(_process(CASES / another, self._folder, environment, self.said))
        for name, value in environment.items():
            self._setenv(name, value)
        return self._stack.enter_context(_imported(CASES / sdk))


@pytest.fixture(params=["sdk", "another"])
def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serve]:
    """The plugin on the SDK, or the other one."""
    with ExitStack() as stack:
        yield Serve(request.param == "sdk", stack, tmp_path, monkeypatch.setenv)


@contextmanager
def _imported(file: Path) -> Iterator[Plugin]:
    """The plugin of a module, as new; modules of its folder may be imported by it."""
    before = set(sys.modules)
    sys.path.insert(0, str(file.parent))
    try:
        plugin = importlib.import_module(file.stem).plugin
        assert isinstance(plugin, Plugin)
        yield plugin
    finally:
        sys.path.remove(str(file.parent))
        for each in file.parent.glob("*.py"):
            if each.stem not in before:
                sys.modules.pop(each.stem, None)


@contextmanager
def _process(file: Path, folder: Path, environment: dict[str, str], said: Queue[str]) -> Iterator[str]:
    (port,) = free_ports(1)
    with subprocess.Popen(
        _command(file, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment, "PORT": port},
    ) as process:
        reading = None
        try:
            assert process.stdout is not None
            begun = ""
            for line in process.stdout:
                begun += line
                if "listening" in line or "Uvicorn running" in line:
                    break
            else:
                raise AssertionError(f"{file.name} ended with {process.wait()}: {begun}")
            reading = threading.Thread(target=lambda lines: [*map(said.put, lines)], args=(process.stdout,))
            reading.start()
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            process.wait()
            if reading is not None:
                reading.join()


def _command(file: Path, folder: Path) -> list[str]:
    if file.suffix == ".py":
        return [sys.executable, str(file)]
    name = {".mjs": "node", ".go": "go"}[file.suffix]
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    if name == "node":
        return [found, str(file)]
    program = str(folder / file.stem)
    subprocess.run([found, "build", "-o", program, str(file)], check=True)
    return [program]


class Receiver(ThreadingHTTPServer):
    """Takes what is posted; ``statuses`` are what it answers first, then 200."""

    def __init__(self) -> None:
        super().__init__(("localhost", 0), _Receiving)
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}"


class _Receiving(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"  # Node.js sends the next request before it hears that a connection is closed

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """A test says what was received."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who takes what plugins send."""
    made = Receiver()
    with serving(made):
        yield made


@contextmanager
def listening(plugin: Plugin | str) -> Iterator[str]:
    """Its address; one on the SDK is served in a thread for as long."""
    if isinstance(plugin, str):
        yield plugin
        return
    loop, serving = asyncio.new_event_loop(), plugin.serve()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def assert_told(case: str, result: Result) -> None:
    """What the README shows is what `oarlock run` prints."""
    printed = io.StringIO()
    summarize([result.workflow], Console(file=printed, width=1 << 20, color_system=None))
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]
    assert "\n".join(lines) in (CASES / case / "README.md").read_text(), "\n".join(lines)
