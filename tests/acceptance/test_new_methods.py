"""Plugins that are replaced with no moment in which nobody answers: what they have that they had not is found."""

from __future__ import annotations

import pytest

from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, loop, workflow
from tests.acceptance.test_execution import EXECUTED, plugin_template
from tests.acceptance.test_reports import Recorder

AT_ONCE = {"not_found_ttl": 1e-9}
"""A minute is over by the next pass."""


@pytest.mark.parametrize("cache", ["on", "off"])
@pytest.mark.parametrize("batches", [True, False])
async def test_nodes_that_idle_are_told_to_a_plugin_that_has_learnt_the_method(
    cache: str, batches: bool, plugin: StartPlugin, engine: StartEngine
) -> None:
    old, other = await plugin({"workflow.preOperate": {}}), await plugin({"node.preExecute": {}})
    running = await engine((old, {**AT_ONCE, "cache": cache}), (other, {"cache": "on"}), executor=Recorder())
    work = workflow(loop(5), container("leaf"))
    for _ in range(3):
        await running.reconcile(work)
    old.answers["node.preExecute"], old.batches = {"node": {"message": "seen"}}, batches
    for _ in range(2):
        await running.reconcile(work)
    leaves = [node for node in work.nodes.values() if node.type == "Pod"]
    assert [node.message for node in leaves] == ["seen"] * 5


@pytest.mark.parametrize(
    "method", ["workflow.preOperate", "workflow.postOperate", "node.preExecute", "template.execute"]
)
async def test_the_next_pass_after_the_lifetime_asks_for_the_method(
    method: str, plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"parameters.add": {}})
    helper = await plugin({"template.execute": {"node": {"phase": "Running"}}})
    running = await engine((peer, AT_ONCE), helper)
    work = workflow(plugin_template())
    await running.reconcile(work)
    await running.reconcile(work)
    peer.answers[method] = EXECUTED if method == "template.execute" else {}
    await running.reconcile(work)
    assert len(peer.args(method)) == 1
    assert work.phase == ("Succeeded" if method == "template.execute" else "Running")


async def test_until_then_it_is_not_asked(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"workflow.preOperate": {}})
    running = await engine(peer, executor=Recorder())
    work = workflow(loop(5), container("leaf"))
    await running.reconcile(work)
    before = [path for path in peer.paths if "reOperate" not in path]
    peer.answers |= {"node.preExecute": {}, "workflow.postOperate": {}}
    await running.reconcile(work)
    assert [path for path in peer.paths if "reOperate" not in path] == before
