"""What a slow, dead or hung plugin costs: a deadline, a breaker, and nobody else anything."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from engine import Engine, PendingExecutor
from registry import BreakerSettings, Config, EngineSettings, PluginConfig, Registry, RetrySettings, Seconds
from rpc import TransientError
from rpc.ledger import Ledger
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, loop, workflow
from tests.acceptance.peer import Hanging
from tests.undisturbed import undisturbed


async def test_a_hung_plugin_ends_the_pass_at_the_deadline_and_is_sent_nothing_more(plugin: StartPlugin) -> None:
    hang = Hanging()
    peer = await plugin({"node.preExecute": hang})
    config = Config(
        engine=EngineSettings(enabled=True, loop_deadline=Seconds(0.2)),
        plugins=(PluginConfig(name="hung", address=peer.address, timeout=Seconds(60), concurrency=4),),
    )
    async with Engine(Registry(config)) as oarlock:
        work = workflow(loop(100), container("leaf"))
        before = work.encode()
        result = await oarlock.reconcile(work)
        assert str(result.aborted) == "the pass took longer than loop_deadline, 0.2s"
        assert work.encode() == before
        assert len(peer.args("node.preExecute")) <= 4
        assert oarlock.registry is not None
        assert oarlock.registry.snapshot()[0].client.stats.in_flight == 0
        hang.leave.set()


@undisturbed
async def test_what_the_engine_itself_makes_counts_for_nothing_of_the_deadline(plugin: StartPlugin) -> None:
    async def slow(args: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {}

    peer = await plugin({"node.preExecute": slow})
    config = Config(
        engine=EngineSettings(enabled=True, loop_deadline=Seconds(0.5)),
        plugins=(PluginConfig(name="slow", address=peer.address, timeout=Seconds(60), concurrency=8),),
    )
    async with Engine(Registry(config)) as oarlock:
        work = workflow(loop(200), container("leaf"))
        counts = []
        while not work.finished:
            await oarlock.reconcile(work)
            counts.append(len(peer.args("node.preExecute")))
        assert work.phase == "Succeeded"
        assert counts == sorted(set(counts)) or oarlock.stats.aborted == 0, "each pass came further"


async def test_a_pass_cut_off_by_the_deadline_goes_on_where_it_stopped(
    plugin: StartPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = asyncio.Event()

    async def slow(args: dict[str, Any]) -> dict[str, Any]:
        if args["node"]["displayName"] != "work" and not turn.is_set():
            await turn.wait()
        return {}

    peer = await plugin({"node.preExecute": slow})
    config = Config(
        engine=EngineSettings(enabled=True, loop_deadline=Seconds(0.2)),
        plugins=(PluginConfig(name="slow", address=peer.address, timeout=Seconds(60)),),
    )
    async with Engine(Registry(config)) as oarlock:
        work = workflow(loop(3), container("leaf"))
        while "each(0:0)" not in peer.nodes("node.preExecute"):  # once, where the machine is not very busy
            assert (await oarlock.reconcile(work)).aborted is not None
        asked = peer.nodes("node.preExecute").count("work")
        turn.set()
        monkeypatch.setattr(Registry, "config", Config())  # whose deadline is far off
        assert (await oarlock.reconcile(work)).aborted is None
        assert peer.nodes("node.preExecute").count("work") == asked


async def test_an_open_breaker_aborts_before_any_work(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.preExecute": 503})
    breaker = BreakerSettings(min_calls=3, open_for=Seconds(3600))
    oarlock = await engine((peer, {"retry": RetrySettings(attempts=1), "breaker": breaker}))
    work = workflow(loop(1000), container("leaf"))
    for _ in range(30):
        await oarlock.reconcile(work)
    sent = len(peer.paths)
    visited = oarlock.stats.nodes_visited
    result = await oarlock.reconcile(work)
    assert isinstance(result.aborted, TransientError)
    assert "breaker open" in str(result.aborted)
    assert len(peer.paths) == sent
    assert oarlock.stats.nodes_visited == visited
    assert work.nodes == {}


async def test_a_pass_asks_for_the_breaker_and_puts_no_statistics_together(
    plugin: StartPlugin, engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    oarlock = await engine(await plugin({"workflow.preOperate": {}}))
    monkeypatch.delattr(Ledger, "summary")
    work = workflow(container("leaf"))
    await oarlock.run([work])
    assert work.phase == "Succeeded"


async def test_a_plugin_may_be_dead_for_thousands_of_passes(plugin: StartPlugin, engine: StartEngine) -> None:
    breaker = BreakerSettings(min_calls=1, open_for=Seconds(3600))
    peer = await plugin({"workflow.preOperate": 503})
    oarlock = await engine((peer, {"retry": RetrySettings(attempts=1), "breaker": breaker}))
    work = workflow(container("leaf"))
    delays = [(await oarlock.reconcile(work)).requeue_after for _ in range(1100)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert all(one is not None and other is not None and one <= other for one, other in pairwise(delays))
    assert delays[-1] == 30.0


async def test_a_dead_plugin_that_may_fail_does_not_stop_the_others(plugin: StartPlugin, engine: StartEngine) -> None:
    dead, alive = await plugin({"node.preExecute": {}}), await plugin({"node.preExecute": {"node": {"message": "ok"}}})
    oarlock = await engine((dead, {"failure_policy": "ignore", "retry": RetrySettings(attempts=1)}), alive)
    await dead.stop()
    work = workflow(loop(50), container("leaf"))
    await oarlock.run([work])
    assert work.phase == "Succeeded"
    assert {node.message for node in work.nodes.values() if node.type == "Pod"} == {"ok"}
    assert oarlock.stats.failures_passed_over > 0


async def test_small_workflows_do_not_wait_for_a_large_one(plugin: StartPlugin, engine: StartEngine) -> None:
    ends: list[str] = []

    def seen(args: dict[str, Any]) -> dict[str, Any]:
        if args["new"]["status"]["phase"] == "Succeeded":
            ends.append(args["new"]["metadata"]["name"])
        return {}

    peer = await plugin({"node.preExecute": {}, "workflow.postOperate": seen})
    oarlock = await engine(peer)
    large = workflow(loop(2000), container("leaf"), name="large")
    small = [workflow(loop(3), container("leaf"), name=f"small-{number}") for number in range(30)]
    await oarlock.run([large, *small])
    assert ends[-1] == "large"
    assert len(ends) == 31


async def test_one_workflow_that_always_fails_holds_up_nobody_else(plugin: StartPlugin, engine: StartEngine) -> None:
    finished: set[str] = set()

    def judge(args: dict[str, Any]) -> Any:
        return 503 if args["workflow"]["metadata"]["name"] == "bad" else {}

    def count(args: dict[str, Any]) -> dict[str, Any]:
        if args["new"]["status"]["phase"] == "Succeeded":
            finished.add(args["new"]["metadata"]["name"])
        if len(finished) == 10:
            oarlock.drain(60)
        return {}

    peer = await plugin({"workflow.preOperate": judge, "workflow.postOperate": count})
    oarlock = await engine((peer, {"breaker": BreakerSettings(min_calls=10**6)}))
    bad = workflow(container("leaf"), name="bad")
    good = [workflow(loop(2), container("leaf"), name=f"good-{number}") for number in range(10)]
    await oarlock.run([bad, *good])
    assert {each.phase for each in good} == {"Succeeded"}
    assert bad.phase == ""
    assert "503" in oarlock.waiting_for(bad)


async def test_draining_lets_the_pass_under_way_end_and_begins_no_other(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    hang = Hanging()
    peer = await plugin({"workflow.preOperate": hang})
    oarlock = await engine(peer, executor=PendingExecutor())
    work = workflow(container("leaf"))
    run = asyncio.create_task(oarlock.run([work]))
    await hang.asked.wait()
    oarlock.drain(60)
    hang.leave.set()
    await run
    assert work.phase == "Running"
    assert oarlock.stats.passes == 1


async def test_draining_without_grace_aborts_the_pass_under_way(plugin: StartPlugin, engine: StartEngine) -> None:
    hang = Hanging()
    oarlock = await engine((await plugin({"workflow.preOperate": hang}), {"timeout": 60.0}))
    work = workflow(container("leaf"))
    before = work.encode()
    run = asyncio.create_task(oarlock.run([work]))
    await hang.asked.wait()
    oarlock.drain(0)
    await run
    hang.leave.set()
    assert work.encode() == before


async def test_however_many_calls_a_pass_makes_only_a_few_are_queued(plugin: StartPlugin, engine: StartEngine) -> None:
    """Requests are made when there is somebody to send them, so that memory does not grow with the calls of a pass."""
    most = 0

    def look(args: dict[str, Any]) -> dict[str, Any]:
        nonlocal most
        assert oarlock.registry is not None
        stats = oarlock.registry.snapshot()[0].client.stats
        most = max(most, stats.in_flight + stats.waiting)
        return {}

    peer = await plugin({"node.preExecute": look})
    oarlock = await engine(peer, workers=10)
    work = workflow(loop(3000), container("leaf"))
    await oarlock.run([work])
    assert work.phase == "Succeeded"
    assert len(peer.args("node.preExecute")) > 3000
    assert most == 10
