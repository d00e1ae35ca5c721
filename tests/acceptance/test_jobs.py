"""Nodes that plugins execute: which job is which, when they end, and who is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, Result, SqliteStore, Workflow
from registry import MatchSettings, RetrySettings
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, loop, same, workflow
from tests.acceptance.peer import Peer
from tests.acceptance.test_execution import EXECUTED, Clock, plugin_template
from tests.acceptance.test_reports import Recorder

RUNS = {"node": {"phase": "Running"}, "requeue": "1m"}
ONCE = {"retry": RetrySettings(attempts=1)}


def two(**fields: Any) -> Workflow:
    """A workflow of two tasks, `job` for a plugin and `leaf` for the executor; `fields` are those of the job."""
    tasks = [{"name": "job", "template": "call"}, {"name": "leaf", "template": "leaf"}]
    return workflow({"name": "main", "dag": {"tasks": tasks}}, plugin_template("call") | fields, container("leaf"))


def told(peer: Peer) -> list[tuple[str, str]]:
    """Name and phase of the nodes that the plugin was told to stop."""
    return [(args["node"]["displayName"], args["node"]["phase"]) for args in peer.args("template.stop")]


async def test_two_turns_of_a_loop_are_two_jobs(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}, "template.execute": EXECUTED})
    work = workflow(loop(2, template="call"), plugin_template("call"))
    await (await engine(peer)).run([work])
    asked = peer.args("template.execute")
    assert len({args["node"]["id"] for args in asked}) == 2
    seen = {args["node"]["id"]: args["node"] for args in peer.args("node.preExecute")}
    for args in asked:
        assert args["node"] == {**seen[args["node"]["id"]], "attempt": 0}
        assert args["workflow"]["metadata"]["uid"] == work.uid


async def test_the_attempts_of_a_node_are_jobs_with_numbers(plugin: StartPlugin, engine: StartEngine) -> None:
    failed = {"node": {"phase": "Failed"}}
    peer = await plugin({"template.execute": lambda args: EXECUTED if args["node"]["attempt"] == 2 else failed})
    work = workflow(plugin_template() | {"retryStrategy": {"limit": 4}})
    await (await engine(peer)).run([work])
    assert work.phase == "Succeeded"
    nodes = [args["node"] for args in peer.args("template.execute")]
    assert [node["attempt"] for node in nodes] == [0, 1, 2]
    assert len({node["id"] for node in nodes}) == 3


@pytest.mark.parametrize("how", ["stop", "terminate"])
async def test_a_plugin_is_told_that_its_job_was_stopped(how: str, plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": {}, "workflow.postOperate": {}})
    other = await plugin({"template.execute": {}, "template.stop": {}})
    running = await engine(other, peer)
    work = workflow(plugin_template(slack={"text": "{{workflow.name}}"}))
    await running.reconcile(work)
    (asked,) = peer.args("template.execute")
    peer.asked.clear()
    getattr(running, how)(work)
    await running.reconcile(work)
    assert work.phase == "Failed"
    (args,) = peer.args("template.stop")
    assert args["template"] == asked["template"]
    assert args["node"]["id"] == asked["node"]["id"]
    assert args["node"]["attempt"] == 0
    assert args["node"]["phase"] == "Failed"
    assert args["node"]["finishedAt"]
    assert args["workflow"].keys() == {"metadata"}
    assert args["workflow"]["metadata"]["uid"] == work.uid
    assert [method for method, _ in peer.asked] == ["template.stop", "workflow.postOperate"]
    assert other.args("template.stop") == [], "it has declined"


async def test_a_plugin_that_ends_its_job_itself_is_told_nothing(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": EXECUTED, "template.stop": {}})
    work = two()
    await (await engine(peer)).run([work])
    assert work.phase == "Succeeded"
    answers = [{"node": {"phase": "Running"}, "requeue": "1m"}, {"node": {"phase": "Failed"}}]
    peer.answers["template.execute"] = lambda args: answers.pop(0)
    clock = Clock()
    running, work = await engine(peer, clock=clock), two()
    await running.reconcile(work)
    clock.now += 60
    await running.run([work])
    assert work.phase == "Failed"
    assert told(peer) == []


@pytest.mark.parametrize("limit", [{"activeDeadlineSeconds": 90}, {"timeout": "90s"}])
@pytest.mark.parametrize("first", [RUNS, 503])
async def test_a_plugin_is_told_that_its_job_is_out_of_time(
    limit: Mapping[str, Any], first: Any, plugin: StartPlugin, engine: StartEngine
) -> None:
    peer, clock = await plugin({"template.execute": first, "template.stop": {}}), Clock()
    running = await engine((peer, ONCE), clock=clock)
    work = two(**limit)
    await running.reconcile(work)
    assert (by_name(work)["job"].phase, told(peer)) == ("Running", [])
    assert by_name(work)["job"].started_at
    clock.now += 60
    await running.reconcile(work)
    assert told(peer) == []
    assert len(peer.args("template.execute")) == 2
    clock.now += 31
    await running.reconcile(work)
    assert told(peer) == [("job", "Failed")]
    clock.now += 60
    await running.run([work])
    assert work.finished
    assert told(peer) == [("job", "Failed")], "once"


async def test_a_plugin_is_told_that_an_attempt_is_out_of_time_and_asked_for_the_next(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer, clock = await plugin({"template.execute": RUNS, "template.stop": {}}), Clock()
    running = await engine(peer, clock=clock)
    work = workflow(plugin_template() | {"activeDeadlineSeconds": 30, "retryStrategy": {"limit": 1}})
    await running.reconcile(work)
    peer.answers["template.execute"] = EXECUTED
    clock.now += 31
    await running.run([work])
    assert work.phase == "Succeeded"
    assert [args["node"]["attempt"] for args in peer.args("template.execute")] == [0, 1]
    assert [args["node"]["attempt"] for args in peer.args("template.stop")] == [0]


async def test_a_plugin_is_told_that_another_one_has_ended_its_job(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": {}})
    cache = await plugin({"node.preExecute": {}})
    running, work = await engine(cache, peer), workflow(plugin_template())
    await running.reconcile(work)
    cache.answers["node.preExecute"] = {"node": {"phase": "Succeeded"}}
    await running.reconcile(work)
    assert work.phase == "Succeeded"
    assert told(peer) == [("work", "Succeeded")]


@pytest.mark.parametrize("method", ["workflow.preOperate", "workflow.postOperate"])
async def test_a_plugin_is_told_that_another_one_has_ended_the_workflow(
    method: str, plugin: StartPlugin, engine: StartEngine
) -> None:
    peer, judge = await plugin({"template.execute": RUNS, "template.stop": {}}), await plugin({method: {}})
    running, work = await engine(judge, peer), two()
    await running.reconcile(work)
    judge.answers[method] = {"workflow": {"status": {"phase": "Failed", "message": "enough"}}}
    await running.reconcile(work)
    assert (work.phase, work.message) == ("Failed", "enough")
    assert told(peer) == [("job", "Failed")]


@pytest.mark.parametrize("method", ["workflow.preOperate", "workflow.postOperate"])
async def test_a_plugin_is_told_that_a_failure_has_ended_the_workflow(
    method: str, plugin: StartPlugin, engine: StartEngine
) -> None:
    peer, broken = await plugin({"template.execute": RUNS, "template.stop": {}}), await plugin({method: {}})
    running, work = await engine(broken, peer), two()
    await running.reconcile(work)
    broken.answers[method] = 500
    await running.reconcile(work)
    assert work.phase == "Error"
    assert [name for name, _ in told(peer)] == ["job"]


async def test_a_plugin_is_told_that_its_job_was_cut_off_with_its_dag(plugin: StartPlugin, engine: StartEngine) -> None:
    tasks = [{"name": "job", "template": "call"}, {"name": "bad", "template": "leaf"}]
    inner = {"name": "inner", "failFast": True, "dag": {"failFast": True, "tasks": tasks}}
    peer, leaves = await plugin({"template.execute": RUNS, "template.stop": {}}), Recorder()
    running = await engine(peer, executor=leaves)
    outer = {"name": "main", "dag": {"tasks": [{"name": "in", "template": "inner"}, {"name": "b", "template": "leaf"}]}}
    work = workflow(outer, inner, plugin_template("call"), container("leaf"))
    await running.reconcile(work)
    running.report(work, leaves.started["bad"], Result("Failed"))
    await running.reconcile(work)
    assert not work.finished
    assert [name for name, _ in told(peer)] == ["job"]
    running.terminate(work)
    await running.reconcile(work)
    assert len(told(peer)) == 1


async def test_a_plugin_that_takes_a_job_in_a_pass_that_fails_is_told_that_it_is_none(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": {}})
    broken = await plugin({"workflow.postOperate": 500})
    running, work = await engine(peer, broken), two()
    await running.reconcile(work)
    assert work.phase == "Error"
    assert [name for name, _ in told(peer)] == ["job"]


async def test_a_plugin_that_took_a_job_in_a_pass_that_was_aborted_is_told(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": {}})
    busy = await plugin({"workflow.postOperate": 503})
    running, work = await engine(peer, (busy, ONCE)), two()
    assert (await running.reconcile(work)).aborted is not None
    busy.answers["workflow.postOperate"] = {}
    running.terminate(work)
    await running.reconcile(work)
    assert work.phase == "Failed"
    assert [name for name, _ in told(peer)] == ["job"]


async def test_a_pass_is_made_again_until_the_plugin_was_told(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": 503})
    running, work = await engine((peer, ONCE)), two()
    await running.reconcile(work)
    running.terminate(work)
    assert (await running.reconcile(work)).aborted is not None
    assert not work.finished
    peer.answers["template.stop"] = {}
    await running.reconcile(work)
    assert work.phase == "Failed"
    assert len(told(peer)) == 2


async def test_a_plugin_whose_failures_are_ignored_holds_up_no_end(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": 503})
    running, work = await engine((peer, {**ONCE, "failure_policy": "ignore"})), two()
    await running.reconcile(work)
    running.terminate(work)
    await running.reconcile(work)
    assert work.phase == "Failed"


@pytest.mark.parametrize("answer", [500, {"workflow": 1, "node": {"phase": "Running"}}])
async def test_what_a_plugin_says_when_it_is_told_changes_no_node(
    answer: Any, plugin: StartPlugin, engine: StartEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    peer = await plugin({"template.execute": RUNS, "template.stop": answer})
    running, work = await engine(peer), two()
    await running.reconcile(work)
    running.terminate(work)
    await running.reconcile(work)
    assert work.phase == "Failed"
    assert by_name(work)["job"].phase == "Failed"
    assert len(told(peer)) == 1
    if answer == 500:
        assert "plugin was not told to stop" in caplog.text
        assert "status 500" in caplog.text


async def test_a_plugin_that_does_not_want_to_know_is_asked_once(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": RUNS})
    running = await engine(peer)
    for name in ("first", "second"):
        work = workflow(plugin_template(), name=name)
        await running.reconcile(work)
        running.terminate(work)
        await running.reconcile(work)
        assert work.phase == "Failed"
    assert len([path for path in peer.paths if "Stop" in path or "stop" in path]) == 3, "in each spelling"


async def test_a_match_that_leaves_the_method_out_keeps_it_from_being_sent(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": {}})
    running = await engine((peer, {"match": MatchSettings(methods=("template.execute",))}))
    work = workflow(plugin_template())
    await running.reconcile(work)
    running.terminate(work)
    await running.reconcile(work)
    assert told(peer) == []


async def test_a_plugin_is_told_after_a_restart(plugin: StartPlugin, engine: StartEngine, tmp_path: Path) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": {}})
    idle = await plugin({"template.execute": {}, "template.stop": {}})
    work = workflow(plugin_template(slack={"text": "{{workflow.name}}"}) | {"retryStrategy": {"limit": 1}})
    first = await engine(idle, peer, store=SqliteStore(tmp_path / "oarlock.db"))
    handle = first.submit(work)
    await first.reconcile(handle.workflow)
    await first.__aexit__(None, None, None)
    second = await engine(idle, peer, store=SqliteStore(tmp_path / "oarlock.db"))
    (found,) = second.workflows
    second.terminate(found)
    await second.reconcile(found)
    assert found.phase == "Failed"
    (args,), (asked,) = peer.args("template.stop"), peer.args("template.execute")
    assert args["template"] == asked["template"]
    assert (args["node"]["id"], args["node"]["attempt"]) == (asked["node"]["id"], 0)
    assert idle.args("template.stop") == []


async def test_who_may_have_a_job_is_told_where_nobody_knows_who_has(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"template.execute": RUNS, "template.stop": {}})
    work = workflow(plugin_template(slack={"text": "{{workflow.name}}"}))
    await (await engine(peer)).reconcile(work)
    found = Workflow(work.to_dict())
    second: Engine = await engine(peer)
    second.terminate(found)
    await second.reconcile(found)
    assert found.phase == "Failed"
    (args,), (asked,) = peer.args("template.stop"), peer.args("template.execute")
    assert args["template"] == asked["template"]
    assert same(found).phase == "Failed"
