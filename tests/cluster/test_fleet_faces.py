"""What is said to a fleet, and what is heard of it, is as of an engine. Here its shards are in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from engine import (
    AlreadySubmitted,
    Commit,
    Draining,
    Engine,
    Fleet,
    LeafEnded,
    NotFinished,
    OperationError,
    Result,
    StoreError,
    TooManyWorkflows,
    TransportError,
    UnknownLeaf,
    UnknownWorkflow,
    Workflow,
)
from tests.acceptance.manifests import container, workflow
from tests.cluster.doubles import SUCCEEDED, Leaves, approval, fan, until
from tests.cluster.inside import Inside
from tests.storage.doubles import Slow


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Fleet]:
    """A fleet of two that serves, and is drained at the end."""
    async with Fleet(over=Inside(), **options) as fleet:
        task = asyncio.create_task(fleet.serve())
        yield fleet
        fleet.drain(1)
        await task


async def test_a_handle_waits_for_the_end() -> None:
    async with serving(executor=Leaves()) as fleet:
        handle = fleet.submit(fan("one"))
        assert fleet.find("default/one") is not None
        work = await handle.finished()
        assert (work.phase, handle.progress, fleet.find("default/one")) == ("Succeeded", "4/4", None)


async def test_what_is_submitted_twice_or_too_much_is_refused() -> None:
    async with Fleet(over=Inside(), executor=Leaves(), max_workflows=2) as fleet:
        one = fleet.submit(fan("one"))
        with pytest.raises(AlreadySubmitted):
            fleet.submit(fan("one"))
        with pytest.raises(AlreadySubmitted, match="another engine"):
            Engine().submit(one.workflow)
        fleet.submit(fan("two"))
        with pytest.raises(TooManyWorkflows):
            fleet.submit(fan("three"))
        fleet.drain(0)
        with pytest.raises(Draining):
            fleet.submit(fan("four"))


async def test_reports_are_of_leaves_and_count_once() -> None:
    leaves = Leaves(at_once=False)
    async with serving(executor=leaves) as fleet:
        work = fan("one", width=1)
        handle = fleet.submit(work)
        _, node = await leaves.runs.get()
        with pytest.raises(UnknownLeaf):
            fleet.report(handle, "nothing", SUCCEEDED)
        with pytest.raises(UnknownWorkflow):
            fleet.report(fan("other"), node.id, SUCCEEDED)
        fleet.report(handle, node.id, Result("Failed", "it broke"))
        fleet.report(handle, node.id, Result("Failed", "it broke"))
        with pytest.raises(LeafEnded):
            fleet.report(handle, node.id, SUCCEEDED)
        await handle.finished()
        assert (work.phase, work.nodes[node.id].message) == ("Failed", "it broke")
        with pytest.raises(LeafEnded):
            fleet.report(handle, node.id, SUCCEEDED)


async def test_a_report_comes_from_any_thread() -> None:
    leaves = Leaves(at_once=False)
    async with serving(executor=leaves) as fleet:
        handle = fleet.submit(fan("one", width=1))
        for _ in range(2):
            work, node = await leaves.runs.get()
            future = await asyncio.to_thread(fleet.report_threadsafe, work, node.id, SUCCEEDED)
            await asyncio.wrap_future(future)
        assert (await handle.finished()).phase == "Succeeded"


async def test_suspended_workflows_and_nodes_are_resumed_stopped_and_set() -> None:
    async with serving(executor=Leaves()) as fleet:
        works = {name: approval(name) for name in ("resumed", "stopped", "terminated", "set", "reported", "whole")}
        handles = {name: fleet.submit(work) for name, work in works.items()}
        await fleet.suspend(works["whole"])
        assert works["whole"].document["spec"]["suspend"] is True
        await until(lambda: all(len(work.nodes) > 2 for name, work in works.items() if name != "whole"))
        await fleet.resume(works["whole"])
        await fleet.resume(works["resumed"], node_field_selector="displayName=ok")
        await fleet.stop(works["stopped"], message="enough")
        await fleet.terminate(handles["terminated"])
        await fleet.set(works["set"], node_field_selector="displayName=ok", phase="Failed", message="no")
        suspended = next(node for node in works["reported"].nodes.values() if node.type == "Suspend")
        fleet.report(works["reported"], suspended.id, SUCCEEDED)
        await until(lambda: len(works["whole"].nodes) > 2)
        await fleet.resume(works["whole"])
        ended = {name: (await handle.finished()).phase for name, handle in handles.items()}
    assert ended == {
        "resumed": "Succeeded",
        "stopped": "Failed",
        "terminated": "Failed",
        "set": "Failed",
        "reported": "Succeeded",
        "whole": "Succeeded",
    }
    assert "enough" in works["stopped"].message


async def test_an_operation_that_cannot_be_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(executor=Leaves()) as fleet:
        work = approval()
        handle = fleet.submit(work)
        await until(lambda: len(work.nodes) > 2)
        with pytest.raises(OperationError, match="displayName=nothing"):
            await fleet.resume(work, node_field_selector="displayName=nothing")
        fleet.resume(work, node_field_selector="displayName=nobody")
        await until(lambda: "displayName=nobody" in caplog.text)
        await fleet.resume(work)
        await handle.finished()
        with pytest.raises(OperationError, match="this one is Succeeded"):
            fleet.suspend(work)


async def test_an_operation_that_cannot_be_begins_nothing() -> None:
    leaves = Leaves()
    async with serving(executor=leaves) as fleet:
        for operation in (fleet.resume, fleet.set, fleet.stop):
            with pytest.raises(OperationError, match="no suspended node matches"):
                await operation(fan("one"), node_field_selector="displayName=a")
        assert fleet.workflows == []
        work = fan("one")
        await fleet.stop(work)
        await until(lambda: work.finished)
    assert (work.phase, leaves.started) == ("Failed", [])


async def test_a_workflow_that_failed_is_retried() -> None:
    leaves = Leaves(at_once=False)
    async with serving(executor=leaves) as fleet:
        work = fan("one", width=2)
        handle = fleet.submit(work)
        for phase in ("Failed", "Succeeded"):
            _, node = await leaves.runs.get()
            fleet.report(work, node.id, Result(phase))
        assert (await handle.finished()).phase == "Failed"
        await fleet.retry(work)
        assert not work.finished
        for _ in range(2):
            _, node = await leaves.runs.get()
            fleet.report(work, node.id, SUCCEEDED)
        assert (await handle.finished()).phase == "Succeeded"
        assert len(leaves.started) == 4
        assert len(leaves.stopped) == 1


async def test_a_workflow_is_forgotten_or_deleted_and_may_come_again() -> None:
    leaves = Leaves(at_once=False)
    async with serving(executor=leaves) as fleet:
        for part, stopped in ((fleet.forget, 0), (fleet.delete, 2)):
            work = fan(part.__name__, width=2)
            handle = fleet.submit(work)
            for _ in range(2):
                await leaves.runs.get()
            gone = part(work)
            with pytest.raises(NotFinished):
                await handle.finished()
            with pytest.raises(AlreadySubmitted, match="not gone yet"):
                fleet.submit(work)
            await gone
            assert fleet.workflows == []
            assert len(leaves.stopped) == stopped
            fleet.submit(work)
            await fleet.forget(work)
        with pytest.raises(UnknownWorkflow):
            fleet.forget(fan("other"))


async def test_nobody_waits_for_a_submission_that_is_forgotten() -> None:
    store = Slow()
    async with serving(executor=Leaves(at_once=False), store=store) as fleet:
        work = fan("one")
        fleet.submit(work)
        waiting = [fleet.saved(work), fleet.suspend(work), fleet.saved(work)]
        asked = [asyncio.ensure_future(each) for each in waiting]
        await store.begun.wait()
        gone = fleet.forget(work)
        store.go_on.set()
        await gone
        await asyncio.gather(*asked, return_exceptions=True)


async def test_listeners_hear_of_each_commit_and_last_of_the_end() -> None:
    heard: list[Commit] = []
    async with Fleet(over=Inside(), executor=Leaves()) as fleet:
        fleet.listeners.append(heard.append)
        work = fan("one")
        nodes: list[tuple[bool, int]] = []
        fleet.listeners.append(lambda commit: nodes.append((commit.finished, len(commit.workflow.nodes))))
        await fleet.run([work])
    assert [finished for finished, _ in nodes] == [False] * (len(nodes) - 1) + [True]
    assert all(commit.workflow is work for commit in heard)
    assert set().union(*(commit.nodes for commit in heard)) == set(work.nodes)
    assert nodes[0][1] < nodes[-1][1]


async def test_why_a_workflow_waits_is_known_to_who_looks_at_it() -> None:
    leaves = Leaves(at_once=False)
    async with serving(executor=leaves) as fleet:
        handle = fleet.submit(fan("one", 1))
        await leaves.runs.get()
        assert fleet.waiting_for(handle) == "a shard has it"
        await fleet.look(handle)
        assert fleet.waiting_for(handle).startswith("1 running")


async def test_its_health_is_asked_in_any_thread_and_good_from_the_beginning() -> None:
    began = time.monotonic()
    async with Fleet(over=Inside()) as fleet:
        assert (await asyncio.to_thread(lambda: fleet.health)).since_turn is None
        task = asyncio.create_task(fleet.serve())
        await asyncio.sleep(0)
        since_turn = (await asyncio.to_thread(lambda: fleet.health)).since_turn
        assert since_turn is not None
        assert since_turn <= time.monotonic() - began
        fleet.drain(1)
        await task


async def test_templates_and_config_maps_that_change_reach_the_shards() -> None:
    template = {"kind": "WorkflowTemplate", "metadata": {"name": "shared"}, "spec": {"templates": [container("leaf")]}}
    sizes = {"kind": "ConfigMap", "metadata": {"name": "sizes"}, "data": {"n": "1"}}
    steps = [[{"name": "a", "templateRef": {"name": "shared", "template": "leaf"}, "withItems": [1, 2, 3]}]]
    lock = {"semaphores": [{"configMapKeyRef": {"name": "sizes", "key": "n"}}]}
    leaves = Leaves(at_once=False)
    async with serving(executor=leaves, config_maps=[sizes]) as fleet:
        fleet.templates.put(template)
        handles = [
            fleet.submit(workflow({"name": "main", "steps": steps, "synchronization": lock}, name=f"w-{number}"))
            for number in range(2)
        ]
        for _ in range(3):
            await leaves.runs.get()
        await asyncio.sleep(0)
        assert leaves.runs.empty()
        fleet.templates.put({**sizes, "data": {"n": "2"}})
        for _ in range(3):
            await leaves.runs.get()
        assert len({uid for uid, _ in leaves.started}) == 2
        for handle in handles:
            await fleet.delete(handle)


async def test_a_mutex_is_held_once_in_all_shards() -> None:
    class One(Leaves):
        most = 0

        def start(self, workflow: Workflow, template: Any, node: Any) -> None:
            super().start(workflow, template, node)
            self.most = max(self.most, self.runs.qsize())

    leaves = One(at_once=False)
    main = container("main", synchronization={"mutexes": [{"name": "m"}]})
    async with serving(executor=leaves) as fleet:
        handles = [fleet.submit(workflow(main, name=f"w-{number}")) for number in range(6)]
        for _ in handles:
            work, node = await leaves.runs.get()
            assert leaves.runs.empty()
            fleet.report(work, node.id, SUCCEEDED)
        for handle in handles:
            await handle.finished()
    assert leaves.most == 1


async def test_draining_ends_serve_and_nothing_more_is_started() -> None:
    leaves = Leaves(at_once=False)
    async with Fleet(over=Inside(), executor=leaves) as fleet:
        task = asyncio.create_task(fleet.serve())
        handle = fleet.submit(fan("one"))
        _, node = await leaves.runs.get()
        fleet.drain(5)
        await task
        with pytest.raises(NotFinished):
            await handle.finished()
        fleet.report(handle, node.id, SUCCEEDED)
        await fleet.saved(handle.workflow)


async def test_what_cannot_be_is_refused() -> None:
    pigeons: Any = "pigeons"
    nobody: Any = object()
    with pytest.raises(ValueError, match="shards: expected 1 or more"):
        Fleet(shards=0)
    for some in (2.5, "2"):
        with pytest.raises(ValueError, match="shards: expected 1 or more"):
            Fleet(shards=cast(int, some))
    with pytest.raises(ValueError, match="over: expected"):
        Fleet(over=pigeons)
    with pytest.raises(TypeError, match="executor: expected start"):
        Fleet(executor=nobody)
    full = Inside()
    full.refuses = True
    with pytest.raises(TransportError, match="there is no room"):
        async with Fleet(over=full):
            pass
    async with Fleet(over=Inside()) as fleet:
        work = workflow(container("main"))
        work.document = {**work.document, "spec": {**work.document["spec"], "odd": {1, 2}, "x": object()}}
        with pytest.raises(StoreError, match="expected what JSON can say"):
            fleet.submit(work)
        assert fleet.workflows == []


async def test_one_that_is_not_entered_says_so() -> None:
    fleet, work = Fleet(over=Inside(), executor=Leaves()), fan("one")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="expected a fleet that is entered"):
            await fleet.run([work])
        with pytest.raises(RuntimeError, match="expected a fleet that is entered"):
            await fleet.serve()
        async with fleet:
            with pytest.raises(RuntimeError, match="expected a fleet that is not entered"):
                await fleet.__aenter__()
            await fleet.run([work])
    assert work.phase == "Succeeded"


async def test_plugins_are_those_of_the_configuration_as_it_is_now(tmp_path: Path) -> None:
    file, inside = tmp_path / "plugins.toml", Inside()
    file.write_text("[engine]\nenabled = true\n")
    async with Fleet.from_config(file, over=inside, executor=Leaves()) as fleet:
        assert fleet.registry is not None
        file.write_text('[engine]\nenabled = true\n[[plugins]]\nname = "p"\naddress = "http://localhost:1"\n')
        await fleet.registry.reload()
        await until(lambda: all(link.plugins == ["p"] for link in inside.links))
