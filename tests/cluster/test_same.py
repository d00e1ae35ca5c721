"""Random workflows come to the same in a fleet of two as in one engine: documents and nodes."""

from __future__ import annotations

from typing import Any

from engine import Engine, Fleet, Outcome, Outcomes, SimulatedExecutor, Workflow
from engine.model.clock import SimulatedClock
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
