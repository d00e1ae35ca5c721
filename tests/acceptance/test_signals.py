"""SIGTERM to a process in mid-pass: what is under way may end within the grace time, and a second one does not wait."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.manifests import container, loop, workflow
from tests.processes import PATIENCE, started
from tests.threads import serving


class Holding(ThreadingHTTPServer):
    """A plugin that answers `{}`, but the node hook only when it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked, self.answer = threading.Event(), threading.Event()
        self.nodes = 0


class _Handler(BaseHTTPRequestHandler):
    server: Holding
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        known = self.path == "/node.preExecute"
        if known:
            self.server.nodes += 1
            self.server.asked.set()
            self.server.answer.wait()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the engine may be gone
            self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def holding() -> Iterator[Holding]:
    with serving(Holding()) as server:
        yield server
        server.answer.set()


@pytest.fixture
def folder(holding: Holding, tmp_path: Path) -> Path:
    """Has a workflow, and a configuration with that plugin."""
    (tmp_path / "plugins.toml").write_text(
        f'[engine]\nenabled = true\n[[plugins]]\nname = "holding"\naddress = "http://127.0.0.1:{holding.server_port}"\n'
        'timeout = "1h"\n'
    )
    (tmp_path / "work.yaml").write_text(yaml.safe_dump(workflow(loop(20), container("leaf")).to_dict()))
    return tmp_path


@contextlib.contextmanager
def asking(holding: Holding, folder: Path, command: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command, in the middle of the first pass over the workflow, whose plugin holds its calls."""
    line = [sys.executable, "-m", "engine", command, "work.yaml", "--config", "plugins.toml", "--executor", "pending"]
    with started(*line, *options, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert holding.asked.wait(PATIENCE)
        yield process


@pytest.fixture(params=[(), ("--shards", "1")], ids=["engine", "fleet"])
def run(holding: Holding, folder: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """`oarlock run`."""
    with asking(holding, folder, "run", "--output", "json", "--stats", *request.param) as process:
        yield process


def stopping(run: subprocess.Popen[str]) -> str:
    """Send SIGTERM and wait until it was taken note of; returns the log line."""
    run.send_signal(signal.SIGTERM)
    assert run.stderr is not None
    for line in run.stderr:
        if "stopping" in line:
            return line
    raise AssertionError("it ended without a word")


def nodes(document: dict[str, Any]) -> list[str]:
    return [node["displayName"] for node in document.get("status", {}).get("nodes", {}).values()]


def test_sigterm_lets_the_pass_under_way_end_and_begins_no_other(run: subprocess.Popen[str], holding: Holding) -> None:
    assert "signal=SIGTERM grace=10s" in stopping(run)
    holding.answer.set()
    out, err = run.communicate(timeout=240)
    assert run.returncode == 3, err
    assert "Traceback" not in err
    assert len(nodes(json.loads(out))) == 22, "the pass was committed"
    assert holding.nodes == 21, "every node but the group of steps"


def test_a_second_sigterm_aborts_at_once(run: subprocess.Popen[str], holding: Holding) -> None:
    stopping(run)
    assert "signal=SIGTERM grace=0s" in stopping(run)
    out, err = run.communicate(timeout=PATIENCE)  # the plugin still holds its calls, for an hour
    assert run.returncode == 3, err
    assert "Traceback" not in err
    assert nodes(json.loads(out)) == [], "the aborted pass has left no trace"


def test_a_second_sigterm_ends_a_server_at_once(holding: Holding, folder: Path) -> None:
    with asking(holding, folder, "serve", "--listen", "127.0.0.1:0") as server:
        stopping(server)
        assert "signal=SIGTERM grace=0s" in stopping(server)
        _, said = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0, said
    assert "Traceback" not in said
