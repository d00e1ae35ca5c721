"""Saying nothing twice: a reply stands until its question, its plugin or the time makes it another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, PendingExecutor, Result, Workflow
from registry import MatchSettings, Registry, RetrySettings
from rpc.plugin import Plugin
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, loop, workflow

CHANGED: dict[str, Any] = {"cache": "on"}


def looped(count: int = 3) -> Workflow:
    return workflow(loop(count), container("leaf"))


def node(work: Workflow, display_name: str) -> str:
    return str(by_name(work)[display_name].id)


@pytest.fixture
def oarlock(engine: StartEngine) -> StartEngine:
    """An engine whose leaves stay Running."""

    async def start(*peers: Any, **options: Any) -> Engine:
        opened: Engine = await engine(*peers, executor=PendingExecutor(), **options)
        return opened

    return start


async def test_a_node_that_has_not_changed_is_not_sent_again(plugin: StartPlugin, oarlock: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}})
    running = await oarlock((peer, CHANGED))
    work = looped()
    for _ in range(4):
        await running.reconcile(work)
    # Once when they came to be, and once as what they have been since: Running.
    assert sorted(peer.nodes("node.preExecute")) == sorted(
        [each for each in ("work", "each(0:0)", "each(1:1)", "each(2:2)") for _ in range(2)]
    )
    assert running.stats.nodes_unchanged == 2 * 4


async def test_one_that_has_changed_is(plugin: StartPlugin, oarlock: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}})
    running = await oarlock((peer, CHANGED))
    work = looped()
    for _ in range(3):
        await running.reconcile(work)
    peer.asked.clear()
    running.report(work, node(work, "each(1:1)"), Result("Running", "half way"))
    await running.reconcile(work)
    await running.reconcile(work)
    assert peer.nodes("node.preExecute") == ["each(1:1)"]
    assert peer.args("node.preExecute")[0]["node"]["message"] == "half way"


async def test_without_it_every_pass_asks_about_every_node(plugin: StartPlugin, oarlock: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}})
    running = await oarlock((peer, {"cache": "off"}))
    work = looped()
    for _ in range(4):
        await running.reconcile(work)
    assert len(peer.nodes("node.preExecute")) == 4 * 4


async def test_a_reply_that_says_something_counts_on_every_pass_and_is_asked_for_once(
    plugin: StartPlugin, oarlock: StartEngine
) -> None:
    first = await plugin({"node.preExecute": {"node": {"message": "first"}}})
    second = await plugin({"node.preExecute": {"node": {"message": "second"}}})
    running = await oarlock((first, CHANGED), (second, CHANGED))
    work = workflow(container("leaf"))
    messages = []
    for _ in range(5):
        await running.reconcile(work)
        messages.append(by_name(work)["work"].message)
    assert messages == ["second"] * 5
    asked = [args["node"].get("message", "") for args in first.args("node.preExecute")]
    assert asked == ["", "second"]
    assert [args["node"]["message"] for args in second.args("node.preExecute")] == ["first", "first"]
    assert running.stats.answers_cached > 0


async def test_who_wants_to_be_asked_again_is(plugin: StartPlugin, oarlock: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {"requeue": "1m"}})
    running = await oarlock((peer, CHANGED))
    work = workflow(container("leaf"))
    for _ in range(4):
        await running.reconcile(work)
    assert len(peer.args("node.preExecute")) == 4


async def test_another_question_about_the_same_node_is_asked(plugin: StartPlugin, oarlock: StartEngine) -> None:
    turn = iter(range(10))

    def annotate(args: dict[str, Any]) -> dict[str, Any]:
        return {"workflow": {"metadata": {"annotations": {"turn": str(next(turn) // 2)}}}}

    first = await plugin({"workflow.preOperate": annotate})
    second = await plugin({"node.preExecute": {}})
    running = await oarlock(first, (second, CHANGED))
    work = looped(2)
    await running.reconcile(work)
    await running.reconcile(work)
    second.asked.clear()
    asked = []
    for _ in range(4):
        await running.reconcile(work)
        asked.append(len(second.asked))
        second.asked.clear()
    assert asked == [3, 0, 3, 0], "the metadata of the workflow, which is an argument, changed every other time"


async def test_a_plugin_beside_it_whose_replies_do_not_stand_is_asked_all_the_same(
    plugin: StartPlugin, oarlock: StartEngine
) -> None:
    lasting, other = await plugin({"node.preExecute": {}}), await plugin({"node.preExecute": {}})
    running = await oarlock((lasting, CHANGED), other)
    work = looped()
    for _ in range(4):
        await running.reconcile(work)
    assert len(lasting.asked) == 2 * 4
    assert len(other.asked) == 4 * 4


async def test_one_that_wants_only_some_nodes_does_not_hide_who_is_to_be_asked_again(
    plugin: StartPlugin, oarlock: StartEngine
) -> None:
    some, lasting, other = [await plugin({"node.preExecute": {}}) for _ in range(3)]
    first = {"match": MatchSettings(types=("Steps",))}
    running = await oarlock((some, first), (lasting, CHANGED), other)
    work = looped()
    for _ in range(4):
        await running.reconcile(work)
    assert len(some.asked) == 4
    assert len(lasting.asked) == 2 * 4
    assert len(other.asked) == 4 * 4


async def test_an_observer_may_be_lasting_too(plugin: StartPlugin, oarlock: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {"node": {"phase": "Failed"}}})
    running = await oarlock((peer, {"mode": "observe", **CHANGED}))
    work = looped()
    for _ in range(4):
        await running.reconcile(work)
    assert len(peer.asked) == 2 * 4
    assert work.phase == "Running"


async def test_a_failure_that_is_passed_over_does_not_stand(plugin: StartPlugin, oarlock: StartEngine) -> None:
    peer = await plugin({"node.preExecute": 500})
    running = await oarlock((peer, {"failure_policy": "ignore", **CHANGED}))
    work = workflow(container("leaf"))
    for _ in range(4):
        await running.reconcile(work)
    assert len(peer.asked) == 4


async def test_after_its_time_it_does_not_stand_any_more(plugin: StartPlugin, oarlock: StartEngine) -> None:
    now = 1_700_000_000.0
    peer = await plugin({"node.preExecute": {}})
    running = await oarlock((peer, {"cache_ttl": 600.0, **CHANGED}), clock=lambda: now)
    work = workflow(container("leaf"))
    asked = []
    for seconds in (0, 1, 1, 597, 1, 1, 598, 1):
        now += seconds
        await running.reconcile(work)
        asked.append(len(peer.asked))
        peer.asked.clear()
    assert asked == [1, 1, 0, 0, 1, 0, 0, 1]


async def test_a_plugin_that_was_gone_and_is_back_is_asked_afresh(plugin: StartPlugin, oarlock: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}, "workflow.preOperate": {}})
    running = await oarlock((peer, CHANGED))
    work = looped()
    for _ in range(3):
        await running.reconcile(work)
    await peer.stop()
    assert (await running.reconcile(work)).aborted is not None
    await peer.start()
    peer.asked.clear()
    await running.reconcile(work)
    await running.reconcile(work)
    assert len(peer.nodes("node.preExecute")) == 4


async def test_what_an_aborted_pass_was_told_stands(plugin: StartPlugin, oarlock: StartEngine) -> None:
    answers = iter([{}, {}, 503])
    peer = await plugin({"node.preExecute": {}, "workflow.postOperate": lambda _: next(answers, {})})
    running = await oarlock((peer, {"retry": RetrySettings(attempts=1), **CHANGED}))
    work = looped()
    for _ in range(5):
        await running.reconcile(work)
    assert len(peer.nodes("node.preExecute")) == 2 * 4


async def test_loading_another_configuration_forgets(plugin: StartPlugin, tmp_path: Path) -> None:
    peer = await plugin({"node.preExecute": {}})
    file = tmp_path / "plugins.toml"
    text = (
        f'[engine]\nenabled = true\n[[plugins]]\nname = "p"\naddress = "{peer.address}"\nresend = "changed"\n'
        'failure_policy = "abort"\n'
    )
    file.write_text(text)
    registry = Registry(file, watch=False)
    async with Engine(registry, executor=PendingExecutor()) as running:
        work = workflow(container("leaf"))
        for _ in range(3):
            await running.reconcile(work)
        assert len(peer.asked) == 2
        file.write_text(text.replace("abort", "ignore"))
        await registry.reload()
        await running.reconcile(work)
        await running.reconcile(work)
        assert len(peer.asked) == 3


class TestAnnounced:
    """By the plugin itself, in its batch replies."""

    @pytest.fixture
    async def announcing(self) -> AsyncIterator[Callable[..., Any]]:
        async with AsyncExitStack() as stack:

            async def start(**options: Any) -> tuple[Any, list[str]]:
                asked: list[str] = []
                made = Plugin("announcing", **options)

                @made.on("node.preExecute")
                def pre_execute(args: dict[str, Any]) -> None:
                    asked.append(args["node"]["displayName"])

                address = await stack.enter_async_context(made.serve())
                return type("Peer", (), {"address": address}), asked

            yield start

    async def test_its_replies_stand(self, announcing: Any, oarlock: StartEngine) -> None:
        peer, asked = await announcing(resend="changed")
        running = await oarlock(peer)
        work = looped()
        for _ in range(5):
            await running.reconcile(work)
        # In the first pass it was not known yet, so the second still asks.
        assert len(asked) == 2 * 4

    async def test_for_as_long_as_it_said(self, announcing: Any, oarlock: StartEngine) -> None:
        now = 1_700_000_000.0
        peer, asked = await announcing(resend="changed", resend_after="10m")
        running = await oarlock(peer, clock=lambda: now)
        work = workflow(container("leaf"))
        for seconds in (0, 1, 1, 1):
            now += seconds
            await running.reconcile(work)
        assert len(asked) == 2
        now += 600
        await running.reconcile(work)
        assert len(asked) == 3

    async def test_the_configuration_overrules_it(self, announcing: Any, oarlock: StartEngine) -> None:
        peer, asked = await announcing(resend="changed")
        running = await oarlock((peer, {"cache": "off"}))
        work = looped()
        for _ in range(4):
            await running.reconcile(work)
        assert len(asked) == 4 * 4


async def test_a_plugin_without_batches_sees_one_request_more_for_a_method(
    plugin: StartPlugin, oarlock: StartEngine
) -> None:
    peer = await plugin({"workflow.preOperate": {}, "node.preExecute": {}})
    running = await oarlock(peer)
    work = looped(20)
    for _ in range(3):
        await running.reconcile(work)
    batches = [path for path in peer.paths if path.endswith(".batch")]
    assert sorted(batches) == ["/node.postExecute.batch", "/node.preExecute.batch", "/parameters.add.batch"]
