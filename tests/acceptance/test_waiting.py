"""What is waited for is named: a leaf, a requeue, a plugin, a breaker, a lock, a backoff."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import Engine, Node, PendingExecutor, Result, Workflow
from engine.cli.progress import waiting_for
from registry.config import BreakerSettings, RetrySettings
from tests.acceptance.manifests import container, loop, workflow
from tests.acceptance.peer import Hanging
from tests.processes import started_here

_ONCE = {"retry": RetrySettings(attempts=1)}


class _Failing:
    """Fails each leaf on the spot."""

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result:
        return Result("Failed")

    def stop(self, workflow: Workflow, node: Node) -> None: ...


async def test_leaves() -> None:
    async with Engine(executor=PendingExecutor()) as oarlock:
        work = workflow(loop(5), container("leaf"))
        await oarlock.reconcile(work)
        assert oarlock.waiting_for(work) == "5 running (each(0:0), each(1:1), each(2:2), …)"


async def test_a_requeue(plugin: Any, engine: Any) -> None:
    def put_off(args: Mapping[str, Any]) -> Any:
        return {"requeue": "1h"} if args["node"]["displayName"].startswith("each(0") else {}

    oarlock = await engine(await plugin({"node.preExecute": put_off}), executor=PendingExecutor())
    work = workflow(loop(2), container("leaf"))
    await oarlock.reconcile(work)
    assert oarlock.waiting_for(work) == "1 requeued by a plugin (each(0:0)); 1 running (each(1:1))"


async def test_a_requeue_of_what_has_others_within_it(plugin: Any, engine: Any) -> None:
    def put_off(args: Mapping[str, Any]) -> Any:
        return {"requeue": "1h"} if args["node"]["displayName"] == "work" else {}

    oarlock = await engine(await plugin({"node.preExecute": put_off}), executor=PendingExecutor())
    work = workflow(loop(1), container("leaf"))
    await oarlock.reconcile(work)
    assert oarlock.waiting_for(work).startswith("1 requeued by a plugin (work)")


async def test_locks_of_nodes(engine: Any) -> None:
    oarlock = await engine(executor=PendingExecutor())
    held = {"synchronization": {"mutexes": [{"name": "m"}]}}
    steps = {"name": "steps", "steps": [[{"name": "in", "template": "leaf"}]], **held}
    spec = {"name": "main", "steps": [[{"name": n, "template": t} for n, t in (("a", "locked"), ("b", "steps"))]]}
    work = workflow(spec, container("locked", **held), steps, container("leaf"))
    await oarlock.reconcile(work)
    assert oarlock.waiting_for(work) == "1 running (a); 1 waiting for default/Mutex/m (b)"


async def test_the_lock_of_a_workflow(engine: Any) -> None:
    oarlock = await engine(executor=PendingExecutor())
    held = {"synchronization": {"mutexes": [{"name": "m"}]}}
    first, second = (workflow(container("leaf"), name=name, **held) for name in ("first", "second"))
    for each in (first, second):
        await oarlock.reconcile(each)
    assert oarlock.waiting_for(second) == "Waiting for default/Mutex/m lock. Lock status: 0/1"


async def test_the_backoff_of_a_retry() -> None:
    strategy = {"retryStrategy": {"limit": "2", "backoff": {"duration": "1h"}}}
    async with Engine(executor=_Failing(), clock=lambda: 1_700_000_000.0) as oarlock:
        work = workflow(container("leaf", **strategy))
        for _ in range(2):
            await oarlock.reconcile(work)
        assert oarlock.waiting_for(work) == "1 backing off before a retry (work)"


async def test_a_plugin_that_has_not_answered_yet(plugin: Any, engine: Any) -> None:
    hang = Hanging()
    oarlock = await engine(await plugin({"node.preExecute": hang}), executor=PendingExecutor())
    work = workflow(container("leaf"))
    passing = asyncio.create_task(oarlock.reconcile(work))
    await hang.asked.wait()
    assert oarlock.waiting_for(work) == "plugin 'plugin-1' to answer"
    hang.leave.set()
    await passing
    assert oarlock.waiting_for(work) == "1 running (work)"


async def test_the_backoff_of_a_workflow_and_the_breaker_of_a_plugin(plugin: Any, engine: Any) -> None:
    settings = {**_ONCE, "breaker": BreakerSettings(min_calls=3)}
    oarlock = await engine((await plugin({"workflow.preOperate": 503}), settings))
    work = workflow(container("leaf"))
    await oarlock.reconcile(work)
    assert re.fullmatch(
        r"plugin 'plugin-1', workflow.preOperate: status 503.* \(backoff of 0\.1s\)", oarlock.waiting_for(work)
    )
    while oarlock.registry.snapshot()[0].client.breaker != "open":
        await oarlock.reconcile(work)
    await oarlock.reconcile(work)
    assert "(breaker open) (backoff of " in oarlock.waiting_for(work)


async def test_the_first_of_several_is_told_in_one_line_that_steers_no_terminal() -> None:
    async with Engine(executor=PendingExecutor()) as oarlock:
        assert waiting_for(oarlock) == ""
        steps = {"name": "main", "steps": [[{"name": "a", "template": "leaf"}]]}
        for name in ("one", "two", "three"):
            work = workflow(steps, container("leaf"), name=name)
            oarlock.submit(work)
            await oarlock.reconcile(work)
        (leaf,) = (each for each in oarlock.workflows[0].nodes.values() if each.display_name == "a")
        leaf.display_name = "\x1b[2J\n"
        assert waiting_for(oarlock) == "default/one (and 2 more): 1 running (\\x1b[2J\\n)"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of one: that which a program writes to, and that which is read."""
    reading, writing = pty.openpty()
    yield writing, reading
    os.close(reading)


async def _shown(folder: Path, address: str, terminal: tuple[int, int], until: bytes) -> bytes:
    """What `oarlock run` writes to a terminal of 80 columns until it has written that."""
    (folder / "plugins.toml").write_text(
        f'[engine]\nenabled = true\n[[plugins]]\nname = "late"\naddress = "{address}"\nretry = {{ attempts = 1 }}\n'
    )
    (folder / "work.yaml").write_text(yaml.safe_dump(workflow(container("leaf")).to_dict()))
    writing, reading = terminal
    command = [sys.executable, "-m", "engine", "run", "work.yaml", "--config", "plugins.toml", "--executor", "pending"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    shown = b""
    async with started_here(*command, cwd=folder, stdout=subprocess.DEVNULL, stderr=writing, env=environment):
        os.close(writing)
        while until not in shown:
            shown += await asyncio.to_thread(os.read, reading, 65536)
    return shown


async def test_progress_says_what_is_waited_for(plugin: Any, tmp_path: Path, terminal: tuple[int, int]) -> None:
    peer = await plugin({"node.preExecute": {"requeue": "1h"}})
    shown = await _shown(tmp_path, peer.address, terminal, b"requeued by a plugin (work)")
    assert b"0 of 1 workflows" in shown
    assert b"  default/work: 1 requeued by a plugin (work)" in shown


async def test_a_line_of_the_log_stays_one_beside_the_progress(
    plugin: Any, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    peer = await plugin({"node.preExecute": 503})
    shown = await _shown(tmp_path, peer.address, terminal, b" retry_in=0.2s\r\n")
    assert re.search(
        rb'msg="pass aborted" workflow=default/work pass_id=1 reason="[^"\r\n]+" retry_in=0\.1s\r\n', shown
    )
