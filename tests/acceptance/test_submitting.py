"""What is submitted has a handle, and belongs to one engine; what cannot be is said at once."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from engine import (
    AlreadySubmitted,
    Engine,
    TooManyWorkflows,
    UnknownWorkflow,
    Workflow,
)
from tests.acceptance.staying import Runs, leaf, serving


async def test_a_workflow_cannot_be_submitted_twice() -> None:
    async with Engine(executor=Runs()) as engine, Engine(executor=Runs()) as other:
        work = leaf()
        engine.submit(work)
        with pytest.raises(AlreadySubmitted, match="default/work: this workflow was submitted before"):
            engine.submit(work)
        with pytest.raises(AlreadySubmitted, match="default/work: there is an unfinished workflow of that name"):
            engine.submit(leaf())
        with pytest.raises(AlreadySubmitted, match="default/work: another engine has this workflow"):
            other.submit(work)
        same = Workflow({**leaf("else").document, "metadata": {"name": "else", "uid": work.uid}})
        with pytest.raises(AlreadySubmitted, match=f"of the uid {work.uid} already, default/work"):
            engine.submit(same)
        with pytest.raises(AlreadySubmitted, match="default/more: given twice"):
            await engine.run([leaf("more"), leaf("more")])
        assert engine.stats.workflows == 1


async def test_a_workflow_that_is_over_makes_room_for_one_of_its_name() -> None:
    async with Engine() as engine:
        works = [leaf(), leaf()]
        for work in works:
            await engine.run([work])
        assert [work.phase for work in works] == ["Succeeded", "Succeeded"]
        assert await engine.submit(works[0]).finished() is works[0]


async def test_no_more_are_taken_in_than_there_may_be() -> None:
    async with Engine(executor=Runs(), max_workflows=2) as engine:
        engine.submit(leaf("first"))
        refused = [leaf("second"), leaf("third")]
        with pytest.raises(TooManyWorkflows, match="may have 2 workflows and has 1: expected at most 1 more, got 2"):
            await engine.run(refused)
        assert engine.stats.workflows == 1
        engine.submit(refused[0])
        assert engine.health.full
        with pytest.raises(TooManyWorkflows):
            engine.submit(refused[1])
        engine.forget(refused[0])
        engine.submit(refused[1])


async def test_a_workflow_of_an_engine_that_is_gone_may_be_submitted_to_another() -> None:
    work = leaf()
    Engine(executor=Runs()).submit(work)
    gc.collect()
    async with Engine() as engine:
        await engine.reconcile(work)
        handle = engine.submit(work)
        await engine.run()
        assert handle.phase == "Succeeded"


async def test_a_handle_of_another_engine_is_refused() -> None:
    wrong: Any = "default/work"
    async with Engine(executor=Runs()) as engine, Engine(executor=Runs()) as other:
        handle = engine.submit(leaf())
        for use in (other.stop, other.suspend, other.forget, other.delete, other.waiting_for):
            with pytest.raises(UnknownWorkflow, match="default/work: the handle is another engine's"):
                use(handle)
        with pytest.raises(TypeError, match="expected a Workflow, or the handle of one, got 'default/work'"):
            engine.stop(wrong)
        with pytest.raises(AlreadySubmitted, match="another engine has this workflow"):
            other.stop(handle.workflow)


async def test_a_workflow_is_found_by_its_key() -> None:
    async with Engine(executor=Runs()) as engine:
        handle = engine.submit(leaf())
        found = engine.find("default/work")
        assert found is not None
        assert found.workflow is handle.workflow
        await engine.delete(found)
        assert engine.find("default/work") is None


async def test_operations_take_handles() -> None:
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        engine.suspend(handle)
        engine.resume(handle)
        executor.end(engine, "Failed")
        assert (await handle.finished()).phase == "Failed"
        executor.told.clear()
        engine.retry(handle)
        await executor.heard("+work a")
        executor.end(engine)
        assert (await handle.finished()).phase == "Succeeded"
