"""A workflow that is written down half-way and taken up by another engine ends as it would have."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine, Outcome, Outcomes, SimulatedExecutor, Workflow
from engine.model.clock import SimulatedClock
from tests.engine.graph.running import START

FOREVER = 1e6

LEAVES: list[dict[str, Any]] = [
    {"name": "leaf", "container": {"image": "i"}},
    {"name": "other", "container": {"image": "i"}},
    {"name": "pause", "suspend": {"duration": "3"}},
    {"name": "daemon", "daemon": True, "container": {"image": "i"}},
    {"name": "again", "retryStrategy": {"limit": 1, "backoff": {"duration": "1s"}}, "container": {"image": "i"}},
    {"name": "alone", "synchronization": {"mutexes": [{"name": "m"}]}, "container": {"image": "i"}},
    {
        "name": "inner",
        "retryStrategy": {"limit": 1},
        "dag": {"tasks": [{"name": "x", "template": "leaf"}, {"name": "y", "template": "alone", "depends": "x"}]},
    },
]

RESULTS = ("", ".Succeeded", ".Failed", ".Errored", ".Skipped", ".Omitted", ".Daemoned")


@st.composite
def calls(draw: st.DrawFn, number: int, prefix: str) -> dict[str, Any]:
    """One step or task, with what may stand around its call."""
    call: dict[str, Any] = {"name": f"c{number}", "template": draw(st.sampled_from([each["name"] for each in LEAVES]))}
    call |= draw(st.sampled_from([{}, {}, {"withItems": [1, "a"]}, {"withParam": "[]"}, {"when": "false"}]))
    call |= draw(st.sampled_from([{}, {}, {"onExit": "other"}]))
    if draw(st.booleans()):
        status = draw(st.sampled_from(["Running", "Succeeded", "Failed", "Skipped"]))
        hook = {"template": "other", "expression": f'{prefix}["c{number}"].status == "{status}"'}
        if prefix == "tasks" or not call.get("withItems"):
            call["hooks"] = {"h": hook}
    return call


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """What the entrypoint does: groups of steps, or tasks that depend on one another."""
    count = draw(st.integers(1, 4))
    if draw(st.booleans()):
        steps = [draw(calls(number, "steps")) for number in range(count)]
        for step in steps:
            step["continueOn"] = {"failed": draw(st.booleans())}
        return {"steps": [steps[:2], steps[2:]] if count > 2 else [steps]}
    tasks = [draw(calls(number, "tasks")) for number in range(count)]
    for number, task in enumerate(tasks):
        if number and draw(st.booleans()):
            above = draw(st.integers(0, number - 1))
            task["depends"] = f"c{above}{draw(st.sampled_from(RESULTS))}"
    return {"dag": {"tasks": tasks}}


ENDS = st.fixed_dictionaries(
    {
        name: st.builds(Outcome, phase=st.sampled_from(["Succeeded", "Failed", "Error"]), duration=st.integers(1, 4))
        for name in ("leaf", "other", "again", "alone")
    }
)


def go_on(workflow: Workflow, ends: dict[str, Outcome], since: float, seconds: float) -> None:
    """Let an engine of its own reconcile the workflow for some time, beginning some time after the start."""

    async def reconcile() -> None:
        outcomes = Outcomes({name: [outcome] for name, outcome in ends.items()})
        executor = SimulatedExecutor(outcomes, SimulatedClock(lambda: START + since))
        async with Engine(executor=executor) as engine:
            await engine.run([workflow], timeout=seconds)

    asyncio.run(reconcile())


def phases(workflow: Workflow) -> dict[str, tuple[str, str]]:
    return {node.name: (node.type, node.phase) for node in workflow.nodes.values()}


@settings(max_examples=60, deadline=None)
@given(body=bodies(), ends=ENDS, cut=st.sampled_from([0.5, 1.5, 2.5, 4.5, 7.5]), on_exit=st.booleans())
def test_it_ends_as_if_it_had_not_been_interrupted(
    body: dict[str, Any], ends: dict[str, Outcome], cut: float, on_exit: bool
) -> None:
    spec = {"entrypoint": "main", "templates": [{"name": "main", **body}, *LEAVES]}
    document = {"metadata": {"name": "wf"}, "spec": {**spec, "onExit": "other"} if on_exit else spec}
    whole, half = Workflow(document), Workflow(document)
    go_on(whole, ends, 0, FOREVER)
    go_on(half, ends, 0, cut)
    rest = Workflow(json.loads(half.encode()))
    go_on(rest, ends, cut, FOREVER)
    assert (rest.phase, rest.message) == (whole.phase, whole.message)
    assert phases(rest) == phases(whole)
