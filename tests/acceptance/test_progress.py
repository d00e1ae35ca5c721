"""How far nodes are: said by plugins and executors, told to plugins."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine import Result
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, steps, workflow
from tests.acceptance.peer import Peer
from tests.acceptance.test_execution import Clock, plugin_template
from tests.acceptance.test_reports import Recorder

MALFORMED: list[Any] = ["50%", "5/3", "1/0", "-1/2", "1/2/3", "half", " 1/2", 5]


def told(watcher: Peer) -> list[tuple[str, str, str]]:
    """Phase, and progress before and after, as often as the watcher was told of a leaf."""
    calls = [args for args in watcher.args("node.postExecute") if args["new"]["type"] in ("Pod", "Plugin")]
    return [(args["new"]["phase"], args["old"]["progress"], args["new"]["progress"]) for args in calls]


async def test_plugins_are_told_of_the_progress_that_an_executor_reports(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    watcher, leaves = await plugin({"node.postExecute": {}}), Recorder()
    running = await engine(watcher, executor=leaves)
    work = workflow(steps("a"), container("leaf"))
    await running.reconcile(work)
    for progress in ("1/4", "1/4", "3/4"):
        running.report(work, leaves.started["a"], Result("Running", progress=progress))
        await running.reconcile(work)
        assert (by_name(work)["a"].progress, work.document["status"]["progress"]) == (progress, progress)
    running.report(work, leaves.started["a"], Result("Succeeded", progress="3/4"))
    await running.reconcile(work)
    assert told(watcher) == [
        ("Running", "0/1", "0/1"),
        ("Running", "0/1", "1/4"),
        ("Running", "1/4", "3/4"),
        ("Succeeded", "3/4", "4/4"),
    ]
    assert work.document["status"]["progress"] == "4/4"


async def test_a_leaf_that_fails_stays_as_far_as_it_was(plugin: StartPlugin, engine: StartEngine) -> None:
    watcher, leaves = await plugin({"node.postExecute": {}}), Recorder()
    running = await engine(watcher, executor=leaves)
    work = workflow(container("leaf"))
    await running.reconcile(work)
    running.report(work, leaves.started["work"], Result("Failed", progress="2/5"))
    await running.reconcile(work)
    assert told(watcher)[-1] == ("Failed", "0/1", "2/5")
    assert work.document["status"]["progress"] == "2/5"


async def test_a_daemon_says_how_far_it_is(engine: StartEngine) -> None:
    leaves = Recorder()
    running = await engine(executor=leaves)
    wait = {"name": "wait", "suspend": {}}
    tasks = [{"name": "a", "template": "leaf"}, {"name": "b", "template": "wait", "depends": "a"}]
    work = workflow({"name": "main", "dag": {"tasks": tasks}}, container("leaf", daemon=True), wait)
    await running.reconcile(work)
    for progress in ("1/3", "2/3"):
        running.report(work, leaves.started["a"], Result("Running", progress=progress))
        await running.reconcile(work)
        assert by_name(work)["a"].progress == progress


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
@pytest.mark.parametrize("progress", MALFORMED)
async def test_an_executor_that_reports_what_is_no_progress_makes_an_error(
    progress: Any, phase: str, engine: StartEngine
) -> None:
    leaves = Recorder()
    running = await engine(executor=leaves)
    work = workflow(container("leaf"))
    await running.reconcile(work)
    running.report(work, leaves.started["work"], Result(phase, progress=progress))
    await running.reconcile(work)
    node = by_name(work)["work"]
    assert (node.phase, node.progress) == ("Error", "0/1")
    assert node.message.startswith(f"the executor reported the progress {progress!r}, expected two whole numbers")
    assert leaves.stopped == (["work"] if phase == "Running" else [])


@pytest.mark.parametrize("method", ["node.preExecute", "node.postExecute", "template.execute"])
@pytest.mark.parametrize("progress", MALFORMED)
async def test_a_plugin_that_replies_what_is_no_progress_makes_an_error(
    progress: Any, method: str, plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({method: {"node": {"progress": progress}}})
    work = workflow(plugin_template() if method == "template.execute" else container("leaf"))
    await (await engine(peer)).run([work])
    assert work.phase == "Error"
    assert re.search(rf"'plugin-1', {method}: illegal reply: .*\$\.node\.progress", by_name(work)["work"].message)


async def test_what_a_plugin_says_of_progress_is_told_to_all(plugin: StartPlugin, engine: StartEngine) -> None:
    worker = await plugin({"template.execute": {"node": {"phase": "Running", "progress": "1/2"}, "requeue": "1m"}})
    watcher, clock = await plugin({"node.postExecute": {}}), Clock()
    running = await engine(worker, watcher, clock=clock)
    work = workflow(plugin_template())
    await running.reconcile(work)
    worker.answers["template.execute"] = {"node": {"phase": "Running", "progress": "2/3"}, "requeue": "1m"}
    clock.now += 60
    await running.reconcile(work)
    worker.answers["template.execute"] = {"node": {"phase": "Succeeded"}}
    clock.now += 60
    await running.reconcile(work)
    assert told(watcher) == [("Running", "0/1", "1/2"), ("Running", "1/2", "2/3"), ("Succeeded", "2/3", "3/3")]


@pytest.mark.parametrize("first", [{"phase": "Succeeded"}, {"phase": "Failed"}, {"phase": "Running"}])
async def test_what_plugins_execute_has_its_times_when_plugins_are_told(
    first: dict[str, Any], plugin: StartPlugin, engine: StartEngine
) -> None:
    worker = await plugin({"template.execute": {"node": first, "requeue": "1m"}})
    watcher, clock = await plugin({"node.postExecute": {}}), Clock()
    running = await engine(worker, watcher, clock=clock)
    work = workflow(plugin_template())
    await running.reconcile(work)
    worker.answers["template.execute"] = {"node": {"phase": "Succeeded"}}
    clock.now += 60
    await running.run([work])
    calls = watcher.args("node.postExecute")
    assert [args["new"]["phase"] for args in calls] == list(dict.fromkeys([first["phase"], work.phase]))
    for args in calls:
        assert args["new"]["startedAt"] == "2023-11-14T22:13:20Z"
        assert ("finishedAt" in args["new"]) == (args["new"]["phase"] != "Running")
    assert calls[-1]["new"]["finishedAt"] == f"2023-11-14T22:1{3 + (first['phase'] == 'Running')}:20Z"
    node = by_name(work)["work"]
    assert [calls[-1]["new"][field] for field in ("startedAt", "finishedAt")] == [node.started_at, node.finished_at]
