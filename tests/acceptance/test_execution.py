"""`plugin:` templates, which plugins execute, and plugins that want to be asked again."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Result
from registry import RetrySettings
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, loop, steps, workflow
from tests.acceptance.test_reports import Recorder

EXECUTED = {"node": {"phase": "Succeeded", "message": "done", "outputs": {"result": "42"}}}


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def plugin_template(name: str = "main", **settings: object) -> dict[str, object]:
    return {"name": name, "plugin": settings or {"slack": {"text": "hi"}}}


async def test_a_plugin_executes_the_template(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": EXECUTED})
    running = await engine(peer)
    work = workflow(plugin_template())
    await running.run([work])
    assert work.phase == "Succeeded"
    node = by_name(work)["work"]
    assert (node.phase, node.message, node.outputs["result"]) == ("Succeeded", "done", "42")
    (args,) = peer.args("template.execute")
    assert args["template"]["plugin"] == {"slack": {"text": "hi"}}
    assert args["workflow"].keys() == {"metadata"}


async def test_one_that_declines_passes_the_template_on_to_the_next(plugin: StartPlugin, engine: StartEngine) -> None:
    decliner, taker, idle = [await plugin({"template.execute": answer}) for answer in ({}, EXECUTED, EXECUTED)]
    running = await engine(decliner, taker, idle)
    work = workflow(plugin_template())
    await running.run([work])
    assert work.phase == "Succeeded"
    assert [len(peer.args("template.execute")) for peer in (decliner, taker, idle)] == [1, 1, 0]


@pytest.mark.parametrize(
    "answers", [[], [{"template.execute": {}}], [{"template.execute": {}}, {"node.preExecute": {}}]]
)
async def test_where_all_decline_the_node_is_error(
    answers: list[Any], plugin: StartPlugin, engine: StartEngine
) -> None:
    running = await engine(*[await plugin(each) for each in answers])
    work = workflow(plugin_template())
    await running.run([work])
    assert work.phase == "Error"
    assert by_name(work)["work"].message == "no plugin executed the template"


async def test_tags_in_the_template_are_substituted_before_a_plugin_sees_it(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"template.execute": EXECUTED, "parameters.add": {"parameters": {"hello": "good morning"}}})
    running = await engine(peer)
    await running.run([workflow(plugin_template(slack={"text": "{{hello}} from {{workflow.name}}"}))])
    (args,) = peer.args("template.execute")
    assert args["template"]["plugin"]["slack"] == {"text": "good morning from work"}


async def test_a_template_that_runs_is_asked_about_again_when_the_plugin_said_so(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    answers = [{"node": {"phase": "Running", "progress": "1/2"}, "requeue": "2m"}, EXECUTED]
    peer = await plugin({"template.execute": lambda args: answers.pop(0)})
    clock = Clock()
    running = await engine(peer, clock=clock)
    work = workflow(plugin_template())
    result = await running.reconcile(work)
    assert result.requeue_after == 120.0
    assert (by_name(work)["work"].phase, by_name(work)["work"].progress) == ("Running", "1/2")
    clock.now += 119
    await running.reconcile(work)
    assert len(peer.args("template.execute")) == 1, "not before its time"
    clock.now += 1
    await running.reconcile(work)
    assert len(peer.args("template.execute")) == 2
    assert work.phase == "Succeeded"


async def test_a_transient_failure_of_template_execute_is_tried_again_and_aborts_nothing(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    answers = [503, 503, EXECUTED]
    peer = await plugin({"template.execute": lambda args: answers.pop(0)})
    clock = Clock()
    running = await engine((peer, {"retry": RetrySettings(attempts=1)}), clock=clock)
    work = workflow(
        {"name": "main", "steps": [[{"name": "a", "template": "call"}, {"name": "b", "template": "leaf"}]]},
        plugin_template("call"),
        container("leaf"),
    )
    await running.reconcile(work)
    await running.reconcile(work)
    assert by_name(work)["b"].phase == "Succeeded", "its sibling did not wait"
    while not work.finished:
        assert (await running.reconcile(work)).aborted is None
        clock.now += 1
    assert by_name(work)["a"].message == "done"
    assert work.phase == "Succeeded"


async def test_a_fatal_failure_of_template_execute_makes_that_node_error(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"template.execute": lambda args: 500})
    running = await engine(peer)
    tasks = [{"name": "a", "template": "call"}, {"name": "b", "template": "leaf"}]
    work = workflow({"name": "main", "dag": {"tasks": tasks}}, plugin_template("call"), container("leaf"))
    await running.run([work])
    assert by_name(work)["a"].message == "plugin 'plugin-1', template.execute: status 500, body: no, not now"
    assert by_name(work)["b"].phase == "Succeeded"
    assert work.phase == "Error", "a dag keeps its child's Error"


async def test_a_plugin_is_asked_once_per_template_in_a_pass_whatever_the_fan_out(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"template.execute": EXECUTED})
    running = await engine(peer)
    work = workflow(loop(30, template="call"), plugin_template("call"))
    await running.run([work])
    assert work.phase == "Succeeded"
    assert len(peer.args("template.execute")) == 30


async def test_a_node_that_a_plugin_requeues_is_held_back_until_then(plugin: StartPlugin, engine: StartEngine) -> None:
    answers = [{"requeue": "2m"}, {}]
    peer = await plugin({"node.preExecute": lambda args: answers.pop(0)})
    leaves = Recorder()
    clock = Clock()
    running = await engine(peer, executor=leaves, clock=clock)
    work = workflow(container("main"))
    result = await running.reconcile(work)
    assert result.requeue_after == 120.0
    assert leaves.started == {}
    assert by_name(work)["work"].phase == "Pending"
    clock.now += 120
    await running.reconcile(work)
    assert list(leaves.started) == ["work"]


async def test_the_run_waits_for_what_a_plugin_has_requeued(plugin: StartPlugin, engine: StartEngine) -> None:
    answers = [{"requeue": "30ms"}, {"requeue": "30ms"}]
    peer = await plugin({"node.preExecute": lambda args: answers.pop(0) if answers else {}})
    running = await engine(peer)
    work = workflow(steps("a"), container("leaf"))
    await running.run([work])
    assert work.phase == "Succeeded"
    assert answers == []


async def test_a_running_leaf_is_not_started_again_by_a_requeue(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}})
    leaves = Recorder()
    clock = Clock()
    running = await engine(peer, executor=leaves, clock=clock)
    work = workflow(container("main"))
    await running.reconcile(work)
    peer.answers["node.preExecute"] = {"requeue": "1m"}
    assert (await running.reconcile(work)).requeue_after == 60.0
    running.report(work, leaves.started["work"], Result("Succeeded"))
    await running.reconcile(work)
    assert work.phase == "Succeeded"
