"""An observer of an engine is told of every pass and of every request, and of what came of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, PassEnd
from registry import Registry
from registry.config import RetrySettings
from rpc import Outcome, Request
from tests.acceptance.manifests import container, workflow
from tests.acceptance.peer import Hanging
from tests.storage.doubles import Slow


class Seen:
    """Keeps all that it is told, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def requested(self, request: Request) -> None:
        self.told.append(request)

    def pass_begun(self, workflow: str) -> None:
        self.told.append(workflow)

    def pass_ended(self, ended: PassEnd) -> None:
        self.told.append(ended)

    @property
    def passes(self) -> list[tuple[str, str, str]]:
        return [it[:3] for it in self.told if isinstance(it, PassEnd)]

    @property
    def requests(self) -> list[Request]:
        return [it for it in self.told if isinstance(it, Request)]


async def test_a_pass_is_told_from_its_beginning_to_its_commit_with_its_requests_between(
    plugin: Any, engine: Any
) -> None:
    seen = Seen()
    oarlock = await engine(await plugin({"node.preExecute": {}}), observer=seen)
    await oarlock.run([workflow(container("leaf"))])
    assert seen.told[0] == "default/work"
    assert isinstance(seen.told[-1], PassEnd)
    assert seen.passes[-1] == ("default/work", "Succeeded", "")
    assert {aborted for _, _, aborted in seen.passes} == {""}
    answered = [it for it in seen.requests if it.outcome is Outcome.ANSWERED]
    assert answered
    assert all(b'"node"' in it.body for it in answered)
    assert all(it.seconds > 0 for it in seen.told if isinstance(it, PassEnd))


async def test_an_aborted_pass_is_told_with_why(plugin: Any, engine: Any) -> None:
    seen = Seen()
    peer = await plugin({"workflow.preOperate": 503})
    oarlock = await engine((peer, {"retry": RetrySettings(attempts=1)}), observer=seen)
    result = await oarlock.reconcile(workflow(container("leaf")))
    assert result.aborted is not None
    assert seen.passes == [("default/work", "", str(result.aborted))]
    assert [it.outcome for it in seen.requests][-1] is Outcome.BUSY


async def test_a_cancelled_pass_is_told_as_aborted(plugin: Any, engine: Any) -> None:
    seen, hang = Seen(), Hanging()
    oarlock = await engine((await plugin({"workflow.preOperate": hang}), {"timeout": 60.0}), observer=seen)
    task = asyncio.create_task(oarlock.reconcile(workflow(container("leaf"))))
    await hang.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hang.leave.set()
    assert seen.passes == [("default/work", "", "cancelled")]
    assert [it.outcome for it in seen.requests] == [Outcome.CANCELLED]


async def test_a_pass_cancelled_too_late_is_told_as_committed(engine: Any) -> None:
    seen, store = Seen(), Slow()
    oarlock = await engine(observer=seen, store=store)
    task = asyncio.create_task(oarlock.reconcile(workflow(container("leaf"))))
    await store.begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    store.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen.passes == [("default/work", "Running", "")]


async def test_a_plugin_that_is_loaded_later_is_observed_too(plugin: Any, tmp_path: Path) -> None:
    seen, file = Seen(), tmp_path / "plugins.toml"
    first, second = await plugin({"workflow.preOperate": {}}), await plugin({"workflow.preOperate": {}})

    def configure(*peers: Any) -> None:
        tables = [
            f'[[plugins]]\nname = "{name}"\naddress = "{peer.address}"\n'
            for name, peer in zip("ab", peers, strict=False)
        ]
        file.write_text("[engine]\nenabled = true\n" + "".join(tables))

    configure(first)
    async with Engine(Registry(file, watch=False), observer=seen) as oarlock:
        assert oarlock.registry is not None
        configure(first, second)
        await oarlock.registry.reload()
        await oarlock.run([workflow(container("leaf"))])
    assert {it.plugin for it in seen.requests} == {"a", "b"}
