"""An engine that has something to open does nothing before it is entered: it would go without that, and not say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine import Draining, Engine, Fleet, MemoryStore, Node, Recorder, Result, Workflow
from registry import Config, EngineSettings, PluginConfig, Registry
from registry.config import Seconds
from tests.acceptance.fixtures import StartPlugin

DOCUMENT = {
    "metadata": {"name": "w"},
    "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "busybox"}}]},
}


async def _refuses(engine: Engine, *, passes: bool = True) -> None:
    work = Workflow(DOCUMENT)
    with pytest.raises(RuntimeError, match="`async with`"):
        await engine.run([work])
    with pytest.raises(RuntimeError, match="`async with`"):
        await engine.serve()
    if passes:
        with pytest.raises(RuntimeError, match="`async with`"):
            await engine.reconcile(work)
    assert work.phase == ""
    assert not work.nodes


@pytest.fixture
def checking(tmp_path: Path) -> Path:
    file = tmp_path / "plugins.toml"
    file.write_text('[engine]\nenabled = true\n[[plugins]]\nname = "checks"\naddress = "http://localhost:1"\n')
    return file


async def test_no_workflow_passes_without_the_plugins_that_are_to_look_at_it(checking: Path) -> None:
    engine = Engine.from_config(checking)
    await _refuses(engine)
    async with engine:
        pass
    await _refuses(engine)


async def test_none_passes_without_being_written_down(tmp_path: Path) -> None:
    await _refuses(Engine(store=MemoryStore()), passes=False)
    await _refuses(Engine(recorder=Recorder(tmp_path / "calls.jsonl")), passes=False)


async def test_an_engine_with_nothing_to_open_need_not_be_entered() -> None:
    work = Workflow(DOCUMENT)
    await Engine().run([work])
    assert work.phase == "Succeeded"


async def test_a_registry_that_is_entered_by_itself_will_do(plugin: StartPlugin) -> None:
    peer = await plugin({"node.preExecute": {"node": {"phase": "Skipped"}}})
    settings = PluginConfig(name="skips", address=peer.address, timeout=Seconds(60.0))
    work = Workflow(DOCUMENT)
    async with Registry(Config(engine=EngineSettings(enabled=True), plugins=(settings,))) as registry:
        await Engine(registry).run([work])
    assert work.nodes["w"].phase == "Skipped"


async def test_an_engine_is_entered_once_at_a_time() -> None:
    engine = Engine()
    async with engine:
        with pytest.raises(RuntimeError, match="expected an engine that is not entered"):
            await engine.__aenter__()
    async with engine:
        await engine.run([work := Workflow(DOCUMENT)])
    assert work.phase == "Succeeded"


@pytest.mark.parametrize("make", [Engine, lambda: Fleet(shards=1)], ids=["engine", "fleet"])
async def test_who_waits_in_one_that_is_entered_again_is_told_of_the_end(make: Callable[[], Engine | Fleet]) -> None:
    engine = make()
    async with engine:
        await engine.run([Workflow(DOCUMENT)])
    async with engine:
        handle = engine.submit(Workflow(DOCUMENT))
        serving = asyncio.create_task(engine.serve())
        assert (await handle.finished()).phase == "Succeeded"
        engine.drain(0)
        await serving
    async with engine:
        with pytest.raises(Draining):
            engine.submit(Workflow(DOCUMENT))


def test_an_engine_goes_on_in_another_event_loop_once_the_first_is_over() -> None:
    class Late:
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> None:
            report = partial(engine.report, workflow, node.id, Result("Succeeded"))
            asyncio.get_running_loop().call_later(0.01, report)  # so that the engine waits in its loop

        def stop(self, *_: object) -> None: ...

    async def run() -> str:
        async with engine:
            await engine.run([work := Workflow(DOCUMENT)])
        return work.phase

    engine = Engine(executor=Late())
    assert [asyncio.run(run()) for _ in range(2)] == ["Succeeded"] * 2


def test_a_fleet_does_not() -> None:
    async def enter() -> None:
        async with fleet:
            pass

    fleet = Fleet(shards=1)
    asyncio.run(enter())
    with pytest.raises(RuntimeError, match="expected the event loop that the fleet was entered in before"):
        asyncio.run(enter())


async def test_a_phase_that_no_leaf_has_is_an_error_that_says_which_there_are() -> None:
    class Wrong:
        def start(self, *_: object) -> Result:
            return Result("Done")

        def stop(self, *_: object) -> None: ...

    work = Workflow(DOCUMENT)
    await Engine(executor=Wrong()).run([work])
    assert work.nodes["w"].phase == "Error"
    expected = "Error, Failed, Omitted, Skipped, Succeeded, or Running while it runs"
    assert work.message == f"the executor reported the phase 'Done', expected {expected}"
