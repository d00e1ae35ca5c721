"""Plugins on real sockets, engines that call them, and the command line as a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine import Engine, Executor
from engine.cli import main
from registry import Config, EngineSettings, PluginConfig, Registry
from rpc.methods import Method, Spelling
from tests import ports
from tests.acceptance.fixtures import Ended, RunOarlock, RunPython, StartEngine, StartPlugin
from tests.acceptance.peer import Answer, Peer


@pytest.fixture
async def plugin() -> AsyncIterator[StartPlugin]:
    """``await plugin({"node.preExecute": {}}, spelling="go")`` starts a `Peer`, which has no other methods."""
    async with AsyncExitStack() as stack:

        async def start(
            answers: Mapping[str, Answer], *, spelling: Spelling | None = None, token: str | None = None
        ) -> Peer:
            for method in answers:
                Method(method)
            peer = Peer(answers, spelling, token)
            await peer.start()
            stack.push_async_callback(peer.stop)
            return peer

        yield start


@pytest.fixture
async def engine() -> AsyncIterator[StartEngine]:
    """``await engine(peer, (other, {"payload": "full"}))`` is an open engine that calls them, in that order."""
    async with AsyncExitStack() as stack:

        async def start(
            *peers: Peer | tuple[Peer, dict[str, Any]], executor: Executor | None = None, **options: Any
        ) -> Engine:
            plugins = []
            for number, each in enumerate(peers, start=1):
                peer, settings = each if isinstance(each, tuple) else (each, {})
                patient = {"name": f"plugin-{number}", "address": peer.address, "timeout": 60.0}
                plugins.append(PluginConfig(**{**patient, **settings}))
            registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=tuple(plugins)))
            return await stack.enter_async_context(Engine(registry, executor=executor, **options))

        yield start


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"leaked: {left}"


@pytest.fixture
def oarlock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOarlock:
    """``oarlock("run", "wf.yaml")`` is the command line in `tmp_path`, in this process, which spares a second each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARGO_PLUGINS", raising=False)

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        command: Any = main  # no command of click, but one that can be called like it
        done = CliRunner().invoke(command, arguments, env={"COLUMNS": "200", **(env or {})})
        if not isinstance(done.exception, SystemExit | None):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def process(tmp_path: Path) -> RunPython:
    """``process("-m", "engine", "run", "wf.yaml")`` is a Python of its own in `tmp_path`; warnings are errors."""

    def run(*arguments: str) -> Ended:
        command = [sys.executable, "-W", "error", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def free_port() -> int:
    """One that a test may listen on."""
    return ports.free()[0]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"
