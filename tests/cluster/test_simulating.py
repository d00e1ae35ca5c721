"""A simulated executor is each shard's own: what it makes up is known here, and it has to be one that they can have."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Fleet, SimulatedExecutor
from engine.executors.executor import Result
from engine.model.clock import SimulatedClock
from engine.templates.reads import Output
from tests.acceptance.manifests import container, workflow
from tests.cluster.inside import Inside


class Failing(SimulatedExecutor):
    """All that it simulates fails."""

    def start(self, *given: Any) -> Result:
        return Result("Failed", "as ever")


class Scripted(SimulatedExecutor):
    """As one of the script that runs."""


Scripted.__module__ = "__main__"


async def test_what_shards_made_up_is_known() -> None:
    executor = SimulatedExecutor(lists=[Output("default", "listing", "result")])
    async with Fleet(over=Inside(), executor=executor) as fleet:
        for name in ("listing", "telling"):
            leaf = {"name": "a", "template": name}
            steps = {"name": "main", "steps": [[leaf]]}
            await fleet.run([workflow(steps, container(name), name=name)])
    made_up = {output.template: value for output, value in executor.made_up.items() if output.name == "result"}
    assert made_up == {"listing": "[]", "telling": ""}


async def test_one_of_ones_own_simulates_in_shards() -> None:
    async with Fleet(over=Inside(), executor=Failing()) as fleet:
        work = workflow(container("main"))
        await fleet.run([work])
    assert (work.phase, work.message) == ("Failed", "as ever")


def test_one_that_shards_cannot_have_is_refused() -> None:
    class Local(SimulatedExecutor):
        pass

    for executor in (Local(), Scripted(), SimulatedExecutor(clock=SimulatedClock(lambda: 0.0))):
        with pytest.raises(TypeError, match=r"^executor: expected one to be pickled") as caught:
            Fleet(executor=executor)
        assert "\n" not in str(caught.value)
