"""What an engine and its executor say to each other: shapes, reports from anywhere, and who listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from engine import (
    Commit,
    Engine,
    Fleet,
    InvalidDocument,
    InvalidWorkflow,
    LeafEnded,
    Node,
    PendingExecutor,
    Result,
    SqliteStore,
    UnknownLeaf,
    UnknownWorkflow,
    Workflow,
)
from tests.acceptance.manifests import by_name, container, steps, workflow
from tests.acceptance.staying import Runs, leaf, serving


async def test_listeners_are_told_of_every_commit_and_of_the_nodes_that_it_changed() -> None:
    executor, heard = Runs(), list[tuple[str, set[str], bool]]()

    def listen(commit: Commit) -> None:
        names = {commit.workflow.nodes[each].display_name for each in commit.nodes}
        heard.append((commit.workflow.name, names, commit.finished))

    def fail(commit: Commit) -> None:
        raise RuntimeError("not my day")

    async with serving(Engine(executor=executor)) as engine:
        engine.listeners += [fail, listen]
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        executor.end(engine)
        await handle.finished()
    assert heard == [("work", {"work", "[0]", "a"}, False), ("work", {"work", "[0]", "a"}, True)]


async def test_a_listener_may_submit_the_next_one() -> None:
    done = asyncio.Event()

    def again(commit: Commit) -> None:
        if commit.finished and engine.stats.workflows_finished < 3:
            engine.submit(leaf())
        elif commit.finished:
            done.set()

    async with serving(Engine()) as engine:
        engine.listeners.append(again)
        engine.submit(leaf())
        await done.wait()


async def test_reports_from_other_threads_are_taken_in() -> None:
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        handle = engine.submit(leaf())
        await executor.heard("+work a")
        work, node_id = handle.workflow, by_name(handle.workflow)["a"].id
        with pytest.raises(RuntimeError, match="use report_threadsafe"):
            await asyncio.to_thread(engine.report, work, node_id, Result("Failed"))
        with pytest.raises(RuntimeError, match="thread of the engine's event loop"):
            await asyncio.to_thread(engine.submit, leaf("else"))

        def report() -> None:
            engine.report_threadsafe(handle, node_id, Result("Succeeded"))

        thread = threading.Thread(target=report)
        thread.start()
        assert (await handle.finished()).phase == "Succeeded"
        thread.join()
        late = engine.report_threadsafe(work, node_id, Result("Failed"))
        with pytest.raises(LeafEnded):
            await asyncio.wrap_future(late)
    with pytest.raises(RuntimeError, match="does not run"):
        Engine().report_threadsafe(work, node_id, Result("Failed"))


async def test_a_report_that_cannot_count_is_refused() -> None:
    wrong: Any = "Succeeded"
    executor = Runs()
    async with serving(Engine(executor=executor)) as engine:
        work = workflow(steps("a", "b"), container("leaf"))
        handle = engine.submit(work)
        await executor.heard("+work a")
        a = by_name(work)["a"].id
        for node_id, what in (("nothing", "there is none"), ("work", "it is a Steps")):
            with pytest.raises(UnknownLeaf, match=f"{node_id}.*expected the id of a leaf, {what}"):
                engine.report(work, node_id, Result("Succeeded"))
        with pytest.raises(UnknownWorkflow, match="submit it first"):
            engine.report(leaf("else"), a, Result("Succeeded"))
        with pytest.raises(TypeError, match="expected a Result, got 'Succeeded'"):
            engine.report(work, a, wrong)
        engine.report(work, a, Result("Succeeded"))
        engine.report(work, a, Result("Succeeded"))
        with pytest.raises(LeafEnded, match="was reported before, as Succeeded"):
            engine.report(work, a, Result("Failed"))
        await executor.heard("+work b")
        with pytest.raises(LeafEnded, match="had ended before, as Succeeded"):
            engine.report(work, a, Result("Failed"))
        engine.report(work, by_name(work)["b"].id, Result("Succeeded"))
        assert (await handle.finished()).phase == "Succeeded"
        with pytest.raises(LeafEnded, match="the workflow is Succeeded"):
            engine.report(work, a, Result("Failed"))


class Coroutines:
    async def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Nothing runs."""


class Deaf:
    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        return None


class Narrow(Deaf):
    def stop(self, node: Node) -> None:
        """Nothing runs."""


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (Coroutines(), "expected start.workflow, template, node. that is no `async def`, as Coroutines has it"),
        (Deaf(), "expected stop.workflow, node., Deaf has none"),
        (Narrow(), "expected stop.workflow, node., Narrow has one with other arguments: too many"),
        (PendingExecutor, "expected an object with start and stop, got the class PendingExecutor"),
    ],
)
def test_an_executor_of_the_wrong_shape_is_refused(executor: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Engine(executor=executor)


@pytest.mark.parametrize("store", ["oarlock.db", SqliteStore, object()])
@pytest.mark.parametrize("engine", [Engine, Fleet])
def test_a_store_that_is_none_is_refused(engine: Callable[..., object], store: object) -> None:
    with pytest.raises(TypeError, match=r"store: expected a Store, such as SqliteStore\(path\), got "):
        engine(store=store)


@pytest.mark.parametrize("engine", [Engine, Fleet])
def test_what_has_plugins_or_records_has_to_be_that(engine: Callable[..., object]) -> None:
    with pytest.raises(
        TypeError, match=r"registry: expected a Registry, as `from_config` makes .*, got 'plugins.toml'"
    ):
        engine("plugins.toml")
    with pytest.raises(TypeError, match=r"recorder: expected a Recorder, got 'calls.jsonl'"):
        engine(recorder="calls.jsonl")


@pytest.mark.parametrize("engine", [Engine, Fleet])
@pytest.mark.parametrize("bound", ["workers", "max_nodes", "max_workflows"])
@pytest.mark.parametrize("number", [0, -1, "5", 1.5])
def test_a_bound_is_one_or_more(engine: Callable[..., object], bound: str, number: object) -> None:
    with pytest.raises(ValueError, match=f"^{bound}: expected 1 or more, got {number!r}$"):
        engine(**{bound: number})


async def test_a_listener_that_is_a_coroutine_is_told_to_be_none(caplog: pytest.LogCaptureFixture) -> None:
    async def listen(commit: Commit) -> None:
        raise AssertionError("it was called")

    listeners: list[Any] = [listen]
    engine = Engine()
    engine.listeners += listeners
    await engine.run([work := workflow(container("main"))])
    assert work.phase == "Succeeded"
    assert "expected a function that is no `async def`" in caplog.text


@pytest.mark.parametrize(("document", "kind"), [("kind: Workflow", "a string"), (None, "nothing"), ([], "a list")])
def test_a_document_that_is_no_mapping_is_refused(document: Any, kind: str) -> None:
    with pytest.raises(InvalidWorkflow, match=f"expected a mapping, got {kind}"):
        Workflow(document)
    with pytest.raises(InvalidDocument, match=f"WorkflowTemplate 'a': expected a mapping, got {kind}"):
        Engine(workflow_templates={"a": document})
    with pytest.raises(InvalidDocument, match=f"^expected a mapping, got {kind}"):
        Engine().templates.put(document)


async def test_what_an_executor_returns_has_to_be_a_result() -> None:
    class Odd(Runs):
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Any:
            return asyncio.sleep(0) if node.display_name == "a" else "Succeeded"

    work = workflow(
        {"name": "main", "steps": [[{"name": "a", "template": "leaf"}, {"name": "b", "template": "leaf"}]]},
        container("leaf"),
    )
    async with Engine(executor=Odd()) as engine:
        await engine.run([work])
    nodes, expected = by_name(work), "TypeError: executor: expected start to return a Result or None, got"
    assert nodes["a"].message == f"{expected} an awaitable: it is not awaited"
    assert nodes["b"].message == f"{expected} 'Succeeded'"
