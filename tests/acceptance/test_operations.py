"""Operations between passes and while one is under way: nothing is lost, and nothing is half done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import Engine, Node, Result, Workflow
from registry import RetrySettings
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, steps, workflow
from tests.acceptance.test_reports import Recorder, two_branches

ONCE: dict[str, Any] = {"retry": RetrySettings(attempts=1)}


class Saboteur:
    """A plugin that does something to the workflow while the pass asks it, the first time only."""

    def __init__(self) -> None:
        self.act: Any = None
        self.reply: Any = {}
        self.asked: list[dict[str, Any]] = []

    def __call__(self, args: dict[str, Any]) -> Any:
        self.asked.append(args)
        act, self.act = self.act, None
        if act is None:
            return {}
        act()
        return self.reply


def waiting(*, name: str = "work") -> Workflow:
    return workflow(
        {"name": "main", "steps": [[{"name": "a", "template": "leaf"}, {"name": "approve", "template": "wait"}]]},
        container("leaf"),
        {"name": "wait", "suspend": {}},
        name=name,
    )


async def test_a_stop_during_a_pass_is_acted_on_by_the_next(plugin: StartPlugin, engine: StartEngine) -> None:
    leaves, saboteur, work = Recorder(), Saboteur(), two_branches()
    running: Engine = await engine(await plugin({"node.preExecute": saboteur}), executor=leaves)
    saboteur.act = lambda: running.stop(work, message="enough")
    result = await running.reconcile(work)
    assert not result.aborted
    assert work.document["spec"]["shutdown"] == "Stop", "the pass has committed beneath it"
    assert sorted(leaves.started) == ["a", "b"]
    await running.reconcile(work)
    assert work.phase == "Failed"
    assert sorted(leaves.stopped) == ["a", "b"]


async def test_a_stop_outlives_the_abortion_of_the_pass(plugin: StartPlugin, engine: StartEngine) -> None:
    leaves, saboteur, work = Recorder(), Saboteur(), two_branches()
    running: Engine = await engine((await plugin({"node.preExecute": saboteur}), ONCE), executor=leaves)
    saboteur.act, saboteur.reply = lambda: running.stop(work), 503
    result = await running.reconcile(work)
    assert result.aborted
    assert work.nodes == {}
    await running.reconcile(work)
    assert work.phase == "Failed"
    assert leaves.started == {}, "nothing begins that is to end at once"


async def test_a_plugin_sees_that_the_workflow_was_told_to_end(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"workflow.preOperate": {}})
    running: Engine = await engine(peer, executor=Recorder())
    work = two_branches()
    await running.reconcile(work)
    running.terminate(work)
    await running.reconcile(work)
    first, second = peer.args("workflow.preOperate")
    assert "shutdown" not in first["workflow"]["spec"]
    assert second["workflow"]["spec"]["shutdown"] == "Terminate"


async def test_a_stop_that_comes_too_late_changes_no_outcome(plugin: StartPlugin, engine: StartEngine) -> None:
    saboteur, work = Saboteur(), workflow(container("main"))
    running: Engine = await engine(await plugin({"workflow.postOperate": saboteur}))
    await running.reconcile(work)
    saboteur.act = lambda: running.stop(work)
    await running.run([work])
    assert work.phase == "Succeeded"


async def test_suspend_and_resume_during_a_pass(plugin: StartPlugin, engine: StartEngine) -> None:
    leaves, saboteur, work = Recorder(), Saboteur(), two_branches()
    running: Engine = await engine(await plugin({"node.preExecute": saboteur}), executor=leaves)
    saboteur.act = lambda: running.suspend(work)
    await running.reconcile(work)
    running.report(work, leaves.started["a"], Result("Succeeded"))
    await running.reconcile(work)
    assert by_name(work)["a"].phase == "Running", "it is suspended"
    running.resume(work)
    await running.reconcile(work)
    assert by_name(work)["a"].phase == "Succeeded"


async def test_a_node_is_resumed_during_a_pass_that_is_aborted(plugin: StartPlugin, engine: StartEngine) -> None:
    saboteur, work = Saboteur(), waiting()
    running: Engine = await engine((await plugin({"node.preExecute": saboteur}), ONCE), executor=Recorder())
    await running.reconcile(work)
    saboteur.reply = 503
    saboteur.act = lambda: running.resume(work, node_field_selector="displayName=approve")
    assert (await running.reconcile(work)).aborted
    assert by_name(work)["approve"].phase == "Running"
    await running.reconcile(work)
    assert by_name(work)["approve"].phase == "Succeeded"


async def test_plugins_are_told_that_a_node_was_resumed(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.postExecute": {}})
    running: Engine = await engine(peer, executor=Recorder())
    work = waiting()
    await running.reconcile(work)
    running.resume(work, node_field_selector="displayName=approve")
    await running.reconcile(work)
    told = peer.args("node.postExecute")[-1]
    assert (told["old"]["phase"], told["new"]["phase"], told["new"]["displayName"]) == (
        "Running",
        "Succeeded",
        "approve",
    )


async def test_what_a_pass_has_not_committed_cannot_be_resumed_yet(plugin: StartPlugin, engine: StartEngine) -> None:
    """It may be aborted, and then the node was never there."""
    saboteur, work = Saboteur(), waiting()
    refusals: list[str] = []
    running: Engine = await engine(await plugin({"workflow.postOperate": saboteur}), executor=Recorder())

    def resume() -> None:
        try:
            running.resume(work, node_field_selector="displayName=approve")
        except ValueError as error:
            refusals.append(str(error))

    saboteur.act = resume
    await running.reconcile(work)
    assert refusals == ["no suspended node matches 'displayName=approve'; suspended: none"]


async def test_a_run_that_waits_takes_up_what_is_done_to_its_workflows(engine: StartEngine) -> None:
    """Nothing else wakes it: its leaves are somebody else's, and never report."""

    class Impatient(Recorder):
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> None:
            running.stop(workflow)

    running: Engine = await engine(executor=Impatient())
    work = two_branches()
    await running.run([work])
    assert work.phase == "Failed"


async def test_a_workflow_is_retried_in_the_middle_of_a_run(engine: StartEngine) -> None:
    """The failure of the one is seen while the other still runs; no second `run` is needed."""
    first, second = waiting(name="first"), workflow(steps("a", name="main"), container("leaf"), name="second")

    class Observer(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.tried = 0

        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
            if workflow is first:
                return None
            self.tried += 1
            return Result("Failed" if self.tried == 1 else "Succeeded")

    observer = Observer()
    running: Engine = await engine(executor=observer)
    running.submit(first)
    for _ in range(2):
        await running.reconcile(second)
    assert second.phase == "Failed"
    running.retry(second)
    running.terminate(first)
    await running.run([])
    assert (second.phase, first.phase, observer.tried) == ("Succeeded", "Failed", 2)


async def test_a_retry_waits_for_the_locks_that_it_needs(engine: StartEngine) -> None:
    """What it held when it failed was given back."""
    leaf = container("leaf", synchronization={"mutexes": [{"name": "only"}]})
    leaves = Recorder()
    running: Engine = await engine(executor=leaves)
    first = workflow(steps("a"), leaf, name="first")
    second = workflow(steps("b"), leaf, name="second")
    await running.reconcile(first)
    await running.reconcile(second)
    assert list(leaves.started) == ["a"]
    running.report(first, leaves.started["a"], Result("Failed"))
    await running.reconcile(first)
    assert first.phase == "Failed"
    await running.reconcile(second)
    assert list(leaves.started) == ["a", "b"]
    running.retry(first)
    await running.reconcile(first)
    assert list(leaves.started) == ["a", "b"]
    assert by_name(first)["a"].phase == "Pending"
    running.report(second, leaves.started.pop("b"), Result("Succeeded"))
    await running.reconcile(second)
    del leaves.started["a"]
    await running.reconcile(first)
    assert list(leaves.started) == ["a"]
