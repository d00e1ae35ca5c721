"""A fleet is used as an engine is: its shards are child processes, executor and store are here."""

from __future__ import annotations

from engine import Fleet
from tests.acceptance.manifests import workflow
from tests.cluster.doubles import Leaves, fan


async def test_workflows_run_in_child_processes_and_their_leaves_here() -> None:
    executor, works = Leaves(), [fan(f"w-{number}") for number in range(24)]
    async with Fleet(executor=executor, shards=2) as fleet:
        await fleet.run(works)
        stats, shards = fleet.stats, fleet.shards
        assert fleet.workflows == []
        assert fleet.health.ready is False
    assert {work.phase for work in works} == {"Succeeded"}
    assert {len(work.nodes) for work in works} == {7}
    assert all(node.phase == "Succeeded" for work in works for node in work.nodes.values())
    assert len(executor.started) == len(set(executor.started)) == 24 * 4
    assert stats.leaves_started == 24 * 4
    assert stats.workflows_succeeded == sum(each.workflows_succeeded for each in shards.values()) == 24
    assert set(shards) == {0, 1}
    assert all(each.workflows_succeeded for each in shards.values()), "none has all 24, but once in 8 million times"


async def test_without_an_executor_each_shard_simulates() -> None:
    work = workflow({"name": "main", "suspend": {"duration": "1h"}})
    async with Fleet(shards=1) as fleet:
        await fleet.run([work], timeout=7200)
    assert work.phase == "Succeeded"
