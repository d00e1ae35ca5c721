"""Workflows come to the same in a fleet of two as in one engine: documents and nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import Engine, Fleet, Node, Outcome, Outcomes, Result, SimulatedExecutor, Workflow
from engine.model.clock import SimulatedClock
from tests.acceptance.manifests import container, workflow
from tests.cluster.inside import Inside
from tests.walks.comparing import CONFIG_MAPS
from tests.walks.doubles import START, draw
from tests.walks.generate import generate

Document = dict[str, Any]
SEEDS = range(60)
TIMES = frozenset({"startedAt", "finishedAt", "creationTimestamp", "resourcesDuration", "estimatedDuration"})


def works(seeds: range) -> list[Workflow]:
    return [Workflow({**generate(seed), "metadata": {"name": f"w-{seed}", "uid": f"u-{seed}"}}) for seed in seeds]


def timeless(work: Workflow) -> Document:
    """What a workflow has come to, but for when."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items() if key not in TIMES}
        return [without(each) for each in value] if isinstance(value, list) else value

    document: Document = without(work.to_dict())
    return document


def simulated() -> SimulatedExecutor:
    """Leaves of one template in five fail, whatever workflow they are of, and some take their time."""
    names = {template["name"] for seed in SEEDS for template in generate(seed)["spec"]["templates"]}
    ends = {name: [Outcome("Failed" if draw(name) < 20 else "Succeeded", duration=draw(name) % 3)] for name in names}
    return SimulatedExecutor(Outcomes(ends), SimulatedClock(standing))


def standing() -> float:
    """Time that only simulated leaves take: else seconds are rounded once so and once otherwise."""
    return START


async def test_random_workflows_come_to_the_same_as_in_an_engine() -> None:
    here, there = works(SEEDS), works(SEEDS)
    engine = Engine(executor=simulated(), config_maps=CONFIG_MAPS)
    async with Fleet(executor=simulated(), config_maps=CONFIG_MAPS, over=Inside()) as fleet:
        for mine, theirs in zip(here, there, strict=True):  # one at a time: simulated time is for all workflows
            await engine.run([mine])
            await fleet.run([theirs])
            assert timeless(theirs) == timeless(mine), mine.name
            for work, owner in ((mine, engine), (theirs, fleet)):
                if not work.finished:
                    await owner.delete(work)
    assert {work.phase for work in there} >= {"Succeeded", "Failed"}


class Hasty:
    """Reports of a leaf before it has returned from its start, in which it says something else, or fails."""

    owner: Engine | Fleet

    def __init__(self, reported: str, said: Result | None) -> None:
        self.reported, self.said = Result(reported, "reported"), said

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        self.owner.report(workflow, node.id, self.reported)
        if self.said is None:
            raise RuntimeError("raised")
        return self.said

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Nothing runs."""


@pytest.mark.parametrize(
    ("reported", "said", "counts"),
    [
        ("Failed", Result("Succeeded", "said"), ("Failed", "reported")),
        ("Succeeded", Result("Failed", "said"), ("Succeeded", "reported")),
        ("Succeeded", Result("Running", "said"), ("Succeeded", "reported")),
        ("Succeeded", None, ("Succeeded", "reported")),
        ("Running", Result("Succeeded", "said"), ("Succeeded", "said")),
        ("Running", None, ("Error", "RuntimeError: raised")),
    ],
)
@pytest.mark.parametrize("owner", [Engine, lambda **options: Fleet(over=Inside(), **options)], ids=["engine", "fleet"])
async def test_the_first_end_counts_of_a_leaf_that_is_reported_while_it_starts(
    owner: Callable[..., Engine | Fleet], reported: str, said: Result | None, counts: tuple[str, str]
) -> None:
    executor, work = Hasty(reported, said), workflow(container("main"))
    async with owner(executor=executor) as executor.owner:
        await executor.owner.run([work])
    (node,) = work.nodes.values()
    assert (node.phase, node.message) == counts
