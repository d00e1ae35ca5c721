"""A fleet is used as an engine is: its shards are child processes, executor and store are here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from engine import Fleet, Node, Result, Workflow
from tests.acceptance.manifests import container, workflow

Document = Mapping[str, Any]


class Executor:
    """Ends leaves well: at once, or once somebody says so."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.started: list[tuple[str, str]] = []
        self.templates: list[Document] = []
        self.stopped: list[str] = []
        self.runs: asyncio.Queue[tuple[Workflow, Node]] = asyncio.Queue()

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        self.started.append((workflow.uid, node.id))
        self.templates.append(template)
        self.runs.put_nowait((workflow, node))
        return Result("Succeeded") if self.at_once else None

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.stopped.append(node.name)


def fan(name: str, width: int = 3) -> Workflow:
    steps = [[{"name": "a", "template": "leaf", "withSequence": {"count": str(width)}}]]
    return workflow(
        {"name": "main", "steps": [*steps, [{"name": "b", "template": "leaf"}]]}, container("leaf"), name=name
    )


async def test_workflows_run_in_child_processes_and_their_leaves_here() -> None:
    executor, works = Executor(), [fan(f"w-{number}") for number in range(12)]
    async with Fleet(executor=executor, shards=2) as fleet:
        await fleet.run(works)
        stats, shards = fleet.stats, fleet.shards
        assert fleet.workflows == []
        assert fleet.health.ready is False
    assert {work.phase for work in works} == {"Succeeded"}
    assert {len(work.nodes) for work in works} == {7}
    assert all(node.phase == "Succeeded" for work in works for node in work.nodes.values())
    assert len(executor.started) == len(set(executor.started)) == 12 * 4
    assert stats.leaves_started == 12 * 4
    assert stats.workflows_succeeded == sum(each.workflows_succeeded for each in shards.values()) == 12
    assert set(shards) == {0, 1}
    assert all(each.workflows_succeeded for each in shards.values())


async def test_without_an_executor_each_shard_simulates() -> None:
    work = workflow({"name": "main", "suspend": {"duration": "1h"}})
    async with Fleet(shards=1) as fleet:
        await fleet.run([work], timeout=7200)
    assert work.phase == "Succeeded"
