"""An embedder's executor, whose leaves take their time and report to the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from engine import Engine, LeafEnded, Node, Result, Workflow
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, steps, workflow


class Recorder:
    """Starts nothing and remembers what it was told; the test reports."""

    def __init__(self) -> None:
        self.started: dict[str, str] = {}
        self.templates: dict[str, Mapping[str, Any]] = {}
        self.stopped: list[str] = []

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        assert node.display_name not in self.started, "started twice"
        self.started[node.display_name] = node.id
        self.templates[node.display_name] = template
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.stopped.append(node.display_name)


def two_branches() -> Workflow:
    return workflow(
        {"name": "main", "steps": [[{"name": "a", "template": "leaf"}, {"name": "b", "template": "leaf"}]]},
        container("leaf"),
    )


async def test_a_leaf_that_reports_while_a_pass_is_under_way_is_taken_up_by_the_next(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    """The pass has read its reports by the time it asks about nodes; what comes then must not be lost."""
    leaves = Recorder()
    work = two_branches()
    running: Engine

    def report_b(args: dict[str, Any]) -> dict[str, Any]:
        if len(leaves.started) == 2 and work.nodes[leaves.started["b"]].phase == "Running":
            running.report(work, leaves.started["b"], Result("Succeeded"))
        return {}

    peer = await plugin({"node.preExecute": report_b})
    running = await engine(peer, executor=leaves)
    await running.reconcile(work)
    running.report(work, leaves.started["a"], Result("Succeeded"))
    await running.reconcile(work)
    assert by_name(work)["b"].phase == "Running"
    result = await running.reconcile(work)
    assert not result.aborted
    assert by_name(work)["b"].phase == "Succeeded"
    assert work.phase == "Succeeded"


async def test_a_report_outlives_an_aborted_pass(plugin: StartPlugin, engine: StartEngine) -> None:
    leaves = Recorder()
    work = two_branches()
    peer = await plugin({"workflow.postOperate": {}})
    running = await engine(peer, executor=leaves)
    await running.reconcile(work)
    for node_id in leaves.started.values():
        running.report(work, node_id, Result("Succeeded"))
    peer.answers["workflow.postOperate"] = 503
    assert (await running.reconcile(work)).aborted
    assert work.phase == "Running"
    peer.answers["workflow.postOperate"] = {}
    await running.reconcile(work)
    assert work.phase == "Succeeded"


async def test_a_report_waits_while_the_workflow_is_suspended(engine: StartEngine) -> None:
    leaves = Recorder()
    work = two_branches()
    running = await engine(executor=leaves)
    await running.reconcile(work)
    running.report(work, leaves.started["a"], Result("Succeeded"))
    work.document["spec"]["suspend"] = True
    result = await running.reconcile(work)
    assert by_name(work)["a"].phase == "Running"
    assert result.requeue_after is None, "nothing will change until somebody resumes it"
    del work.document["spec"]["suspend"]
    await running.reconcile(work)
    assert by_name(work)["a"].phase == "Succeeded"


async def test_leaves_start_once_the_pass_is_committed_and_never_twice(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    leaves = Recorder()
    work = workflow(steps("a"), container("leaf"))
    peer = await plugin({"workflow.postOperate": 503})
    running = await engine(peer, executor=leaves)
    assert (await running.reconcile(work)).aborted
    assert leaves.started == {}
    peer.answers["workflow.postOperate"] = {}
    for _ in range(3):
        await running.reconcile(work)
    assert list(leaves.started) == ["a"]


async def test_a_leaf_whose_end_is_reported_again_during_the_pass_is_not_stopped(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    leaves = Recorder()
    work = two_branches()
    running: Engine

    def report_again(args: dict[str, Any]) -> dict[str, Any]:
        if args["new"]["phase"] == "Succeeded" and args["new"]["displayName"] == "a":
            running.report(work, leaves.started["a"], Result("Succeeded"))
        return {}

    running = await engine(await plugin({"node.postExecute": report_again}), executor=leaves)
    await running.reconcile(work)
    running.report(work, leaves.started["a"], Result("Succeeded"))
    await running.reconcile(work)
    assert by_name(work)["a"].phase == "Succeeded"
    assert leaves.stopped == []


async def test_the_first_end_of_a_leaf_counts_at_whatever_moment_another_is_reported(slowly: None) -> None:
    """Also while the pass that has taken up the first is about to commit."""
    turns, over = 0, False
    while not over:
        leaves, work = Recorder(), two_branches()
        async with Engine(executor=leaves) as engine:
            await engine.reconcile(work)
            engine.report(work, leaves.started["a"], Result("Succeeded"))
            passing = asyncio.create_task(engine.reconcile(work))
            for _ in range(turns):
                await asyncio.sleep(0)
            over = passing.done()
            with pytest.raises(LeafEnded):
                engine.report(work, leaves.started["a"], Result("Failed"))
            await passing
        assert by_name(work)["a"].phase == "Succeeded"
        turns += 1


async def test_a_leaf_whose_end_was_reported_is_not_stopped_with_what_is_deleted(engine: StartEngine) -> None:
    leaves, work = Recorder(), two_branches()
    running = await engine(executor=leaves)
    await running.reconcile(work)
    running.report(work, leaves.started["a"], Result("Succeeded"))
    await running.delete(work)
    assert leaves.stopped == ["b"]


async def test_a_leaf_whose_end_is_reported_while_its_workflow_ends_is_not_stopped(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    leaves, work = Recorder(), two_branches()
    peer = await plugin({"workflow.postOperate": {}})
    running = await engine(peer, executor=leaves)
    await running.reconcile(work)

    def end(args: dict[str, Any]) -> int:
        running.report(work, leaves.started["a"], Result("Succeeded"))
        return 500

    peer.answers["workflow.postOperate"] = end
    await running.reconcile(work)
    assert work.phase == "Error"
    assert leaves.stopped == ["b"]


async def test_a_daemon_is_stopped_when_what_it_serves_has_ended(engine: StartEngine) -> None:
    leaves = Recorder()
    work = workflow(
        {"name": "main", "steps": [[{"name": "server", "template": "server"}], [{"name": "a", "template": "leaf"}]]},
        container("server", daemon=True),
        container("leaf"),
    )
    running = await engine(executor=leaves)
    await running.reconcile(work)
    running.report(work, leaves.started["server"], Result("Running", pod_ip="10.0.0.7"))
    await running.reconcile(work)
    running.report(work, leaves.started["a"], Result("Succeeded"))
    await running.reconcile(work)
    assert work.phase == "Succeeded"
    assert leaves.stopped == ["server"]


async def test_a_running_leaf_that_a_plugin_fulfils_is_stopped(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}})
    leaves = Recorder()
    work = workflow(steps("a", "b"), container("leaf"))
    running = await engine(peer, executor=leaves)
    await running.reconcile(work)
    enough = {"node": {"phase": "Succeeded", "message": "that will do"}}
    peer.answers["node.preExecute"] = lambda args: enough if args["node"]["displayName"] == "a" else {}
    await running.reconcile(work)
    assert leaves.stopped == ["a"]
    assert list(leaves.started) == ["a", "b"]


@pytest.mark.parametrize("kind", ["steps", "dag"])
async def test_what_runs_is_stopped_with_what_it_is_in_where_it_hangs_under_nothing(
    plugin: StartPlugin, engine: StartEngine, kind: str
) -> None:
    """What a plugin has ended has no last nodes, under which what comes after it would hang."""
    first, then = {"name": "first", "template": "inner"}, {"name": "then", "template": "leaf"}
    dag = {"tasks": [first, {**then, "depends": "first"}]}
    middle = {"steps": [[first], [then]]} if kind == "steps" else {"dag": dag}
    work = workflow(
        {"name": "main", "steps": [[{"name": "middle", "template": "middle"}], [{"name": "last", "template": "leaf"}]]},
        {"name": "middle", **middle},
        {"name": "inner", "steps": [[{"name": "x", "template": "leaf"}]]},
        container("leaf"),
    )
    ended = "first"
    peer = await plugin(
        {
            "node.preExecute": lambda args: (
                {"node": {"phase": "Succeeded"}} if args["node"]["displayName"] == ended else {}
            )
        }
    )
    leaves = Recorder()
    running = await engine(peer, executor=leaves)
    await running.reconcile(work)
    assert list(leaves.started) == ["then"]
    ended = "middle"
    await running.reconcile(work)
    assert (leaves.stopped, list(leaves.started)) == (["then"], ["then", "last"])


async def test_what_waited_for_a_lock_in_what_is_over_keeps_nobody_waiting_after_a_restart(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    locked = container("locked", synchronization={"mutexes": [{"name": "one"}]})
    holder = workflow(steps("held"), {**locked, "name": "leaf"}, name="holder")
    work = workflow(
        {"name": "main", "steps": [[{"name": "middle", "template": "middle"}], [{"name": "last", "template": "leaf"}]]},
        {"name": "middle", "steps": [[{"name": "waits", "template": "locked"}]]},
        locked,
        container("leaf"),
    )
    ends = False
    peer = await plugin(
        {
            "node.preExecute": lambda args: (
                {"node": {"phase": "Succeeded"}} if ends and args["node"]["displayName"] == "middle" else {}
            )
        }
    )
    running = await engine(peer, executor=Recorder())
    await running.reconcile(holder)
    await running.reconcile(work)
    ends = True
    await running.reconcile(work)
    assert by_name(work)["waits"].phase == "Pending"

    leaves = Recorder()
    async with Engine(executor=leaves) as restarted:
        await restarted.reconcile(Workflow(work.to_dict()))
        await restarted.reconcile(workflow(steps("next"), {**locked, "name": "leaf"}, name="other"))
    assert "next" in leaves.started


async def test_what_still_runs_is_stopped_when_a_plugin_ends_the_workflow(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"workflow.preOperate": {}})
    leaves = Recorder()
    work = two_branches()
    running = await engine(peer, executor=leaves)
    await running.reconcile(work)
    peer.answers["workflow.preOperate"] = 500
    await running.reconcile(work)
    assert work.phase == "Error"
    assert sorted(leaves.stopped) == ["a", "b"]


async def test_an_executor_that_raises_makes_its_node_error(engine: StartEngine) -> None:
    class Broken(Recorder):
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
            raise OSError("no room")

    work = workflow(container("main"))
    running = await engine(executor=Broken())
    await running.run([work])
    assert work.phase == "Error"
    assert work.message == "OSError: no room"


async def test_the_executor_sees_the_template_with_its_tags_substituted(engine: StartEngine) -> None:
    leaves = Recorder()
    work = workflow(
        {
            "name": "main",
            "steps": [
                [
                    {
                        "name": "a",
                        "template": "say",
                        "arguments": {"parameters": [{"name": "text", "value": "{{workflow.name}}"}]},
                    }
                ]
            ],
        },
        container("say", "echo", "{{inputs.parameters.text}}", inputs={"parameters": [{"name": "text"}]}),
        name="shout",
    )
    running = await engine(executor=leaves)
    await running.reconcile(work)
    assert leaves.templates["a"]["container"]["command"] == ["echo", "shout"]


async def test_a_workflow_submitted_during_a_run_of_all_is_part_of_it(engine: StartEngine) -> None:
    first, second = two_branches(), workflow(container("main"), name="late")
    running: Engine

    class Submitting(Recorder):
        def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
            if workflow is first and running.stats.workflows == 1:
                running.submit(second)
            return Result("Succeeded")

    running = await engine(executor=Submitting())
    running.submit(first)
    await running.run()
    assert (first.phase, second.phase) == ("Succeeded", "Succeeded")


async def test_a_workflow_submitted_before_a_run_is_part_of_it(engine: StartEngine) -> None:
    running = await engine()
    work = two_branches()
    running.submit(work)
    await running.run([])
    assert work.phase == "Succeeded"
