"""How long a plugin can have a workflow wait, and that nobody waits for a plugin that is not there any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import Engine
from engine.plugins import LONGEST_WAIT
from registry import Registry
from rpc.plugin import Plugin, Unavailable
from rpc.replies import LEAST_REQUEUE
from tests.acceptance.manifests import container, workflow

PLUGIN_TEMPLATE = {"name": "main", "plugin": {"own": {}}}
DONE = {"node": {"phase": "Succeeded"}}


def busy(args: object) -> Any:
    raise Unavailable("for long", retry_after=86400)


def serving(asked: asyncio.Event, **answers: Callable[[Any], Any]) -> Plugin:
    """A plugin that answers these methods, underscores for dots, and says when it was asked."""
    plugin = Plugin("it", batches=False)
    for name, answer in answers.items():

        def answered(args: Any, answer: Callable[[Any], Any] = answer) -> Any:
            asked.set()
            return answer(args)

        plugin.on(name.replace("_", "."))(answered)
    return plugin


def configuration(file: Path, *addresses: str) -> Path:
    plugins = "".join(
        f'[[plugins]]\nname = "it"\naddress = "{address}"\nretry = {{attempts = 1}}\n' for address in addresses
    )
    file.write_text(f"[engine]\nenabled = true\n{plugins}")
    return file


@pytest.mark.parametrize("method", ["workflow_preOperate", "node_preExecute", "template_execute"])
async def test_a_retry_after_is_waited_for_some_minutes_at_most(method: str, tmp_path: Path) -> None:
    async with (
        serving(asyncio.Event(), **{method: busy}).serve() as address,
        Engine(Registry(configuration(tmp_path / "p.toml", address), watch=False), clock=lambda: 0.0) as engine,
    ):
        result = await engine.reconcile(workflow(PLUGIN_TEMPLATE))
    assert result.requeue_after == LONGEST_WAIT


@pytest.mark.parametrize("wish", ["0", "0s", "1ns", "99ms"])
@pytest.mark.parametrize(
    ("method", "template"), [("node_preExecute", container("main")), ("template_execute", PLUGIN_TEMPLATE)]
)
async def test_a_requeue_is_some_time_off_at_least(
    method: str, template: dict[str, Any], wish: str, tmp_path: Path
) -> None:
    async with (
        serving(asyncio.Event(), **{method: lambda args: {"requeue": wish}}).serve() as address,
        Engine(Registry(configuration(tmp_path / "p.toml", address), watch=False), clock=lambda: 0.0) as engine,
    ):
        result = await engine.reconcile(workflow(template))
    assert result.requeue_after == LEAST_REQUEUE


@pytest.mark.parametrize("what", ["removed", "changed", "disabled"])
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("workflow_preOperate", busy),
        ("node_preExecute", busy),
        ("node_preExecute", lambda args: {"requeue": "1h"}),
    ],
    ids=["busy before a pass", "busy before a node", "requeue"],
)
async def test_what_waits_for_a_plugin_goes_on_when_that_is_gone(
    method: str, answer: Callable[[Any], Any], what: str, tmp_path: Path
) -> None:
    asked = asyncio.Event()
    async with (
        serving(asked, **{method: answer}).serve() as address,
        serving(asyncio.Event(), node_preExecute=lambda args: None).serve() as other,
    ):
        file = configuration(tmp_path / "p.toml", address)
        registry = Registry(file, watch=False)
        async with Engine(registry) as engine:
            work = workflow(container("main"))
            running = asyncio.create_task(engine.run([work]))
            await asked.wait()
            configuration(file, *{"changed": [other], "disabled": [address]}.get(what, []))
            if what == "disabled":
                file.write_text(file.read_text().replace("enabled = true", "enabled = false"))
            await registry.reload()
            await running
    assert work.phase == "Succeeded"


@pytest.mark.parametrize("before", [busy, lambda args: {"node": {"phase": "Running"}, "requeue": "1h"}])
async def test_a_template_that_waits_for_a_plugin_is_executed_by_the_one_in_its_place(
    before: Callable[[Any], Any], tmp_path: Path
) -> None:
    asked = asyncio.Event()
    async with (
        serving(asked, template_execute=before).serve() as address,
        serving(asyncio.Event(), template_execute=lambda args: DONE).serve() as other,
    ):
        file = configuration(tmp_path / "p.toml", address)
        registry = Registry(file, watch=False)
        async with Engine(registry) as engine:
            work = workflow(PLUGIN_TEMPLATE)
            running = asyncio.create_task(engine.run([work]))
            await asked.wait()
            configuration(file, other)
            await registry.reload()
            await running
    assert work.phase == "Succeeded"


async def test_a_reload_that_changes_nothing_about_plugins_wakes_nobody(tmp_path: Path) -> None:
    async with serving(asyncio.Event(), workflow_preOperate=busy).serve() as address:
        file = configuration(tmp_path / "p.toml", address)
        registry = Registry(file, watch=False)
        async with Engine(registry) as engine:
            assert (await engine.reconcile(workflow(container("main")))).aborted
            text = file.read_text()
            file.write_text(text.replace("[engine]", '[engine]\nloop_deadline = "20s"'))
            assert not (await registry.reload()).error
            assert engine.stats.queued == 0
            file.write_text(text.replace("attempts = 1", "attempts = 2"))
            assert not (await registry.reload()).error
            assert engine.stats.queued == 1
