"""What JSON cannot say never gets to a shard, which could not read it, nor could the next one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine import Fleet, OperationError, Result
from tests.acceptance.manifests import container, workflow
from tests.cluster.doubles import Leaves, approval, fan, until
from tests.cluster.inside import Inside


@asynccontextmanager
async def serving(leaves: Leaves) -> AsyncIterator[Fleet]:
    """A fleet that is drained in the end, without having lost a shard or anything else."""
    inside = Inside()
    async with Fleet(over=inside, executor=leaves) as fleet:
        task = asyncio.create_task(fleet.serve())
        yield fleet
        leaves.at_once = True
        assert (await fleet.submit(fan("after")).finished()).phase == "Succeeded"
        fleet.drain(math.inf)
        await task
        assert len(inside.links) == 2


def odd(**fields: Any) -> Result:
    return Result(**{"phase": "Succeeded", **fields})


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return {"parameters": [{"name": "p", "value": value}]}


ODD = {
    "a surrogate": odd(outputs={"result": "\ud800"}),
    "bytes": odd(outputs={"result": b"x"}),
    "an object": odd(outputs={"parameters": [{"name": "p", "value": object()}]}),
    "what is deep": odd(outputs=deep(300)),
    "no mapping": odd(outputs="all of it"),
    "a message": odd(phase="Failed", message={"a", "set"}),
    "a phase": odd(phase=None),
    "a container": odd(containers=["main"]),
    "a list": odd(outputs=[]),
    "an address": odd(pod_ip=b"127.0.0.1"),
    "a host": odd(host_node_name=b"node-7"),
    "no containers": odd(containers=[]),
}


@pytest.mark.parametrize("result", ODD.values(), ids=ODD)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_result_that_cannot_be_read_is_an_error_of_its_leaf(result: Result, at_once: bool) -> None:
    class Odd(Leaves):
        def start(self, *given: Any) -> Result | None:
            started = super().start(*given)
            return result if started and given[0].name == "odd" else started

    leaves = Odd(at_once=at_once)
    async with serving(leaves) as fleet:
        work = workflow(container("main"), name="odd")
        handle = fleet.submit(work)
        _, node = await leaves.runs.get()
        if not at_once:
            fleet.report(work, node.id, result)
        await handle.finished()
    assert work.nodes[node.id].phase == "Error"
    assert "\n" not in work.nodes[node.id].message


@pytest.mark.parametrize("odd", ["\ud800", object()], ids=["a surrogate", "an object"])
async def test_an_operation_that_cannot_be_sent_is_refused(odd: Any) -> None:
    async with serving(Leaves()) as fleet:
        work = approval()
        handle = fleet.submit(work)
        with pytest.raises(OperationError, match="stop: expected what JSON can say"):
            fleet.stop(work, message=odd)
        await until(lambda: len(work.nodes) > 2)
        with pytest.raises(OperationError, match="resume: expected what JSON can say"):
            fleet.resume(work, node_field_selector="displayName=ok", parameters={"p": odd})
        await fleet.resume(work)
        await handle.finished()
