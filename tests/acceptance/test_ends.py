"""Ends of workflows: plugins that bring them about, and plugins that want to hear of every one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import Engine, PendingExecutor, Result, Workflow
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, loop, steps, workflow
from tests.acceptance.peer import Answer, Peer
from tests.acceptance.test_reports import Recorder

REFUSAL = {"workflow": {"status": {"phase": "Failed", "message": "no image may be called latest"}}}


def heard(notifier: Peer) -> list[tuple[str, str]]:
    """Phase and message of the workflow, as often as the notifier was told of them."""
    told = [args["new"]["status"] for args in notifier.args("workflow.postOperate")]
    return [(status["phase"], status.get("message", "")) for status in told]


async def test_a_plugin_refuses_a_workflow(plugin: StartPlugin, engine: StartEngine) -> None:
    validator = await plugin({"workflow.preOperate": REFUSAL})
    notifier = await plugin({"workflow.preOperate": {}, "workflow.postOperate": {}})
    leaves = Recorder()
    running = await engine(validator, notifier, executor=leaves)
    work = workflow(container("main"))
    await running.run([work])
    assert (work.phase, work.message) == ("Failed", "no image may be called latest")
    assert work.document["status"]["finishedAt"]
    assert not work.nodes
    assert not leaves.started
    assert not notifier.args("workflow.preOperate"), "it is over by then"
    assert heard(notifier) == [("Failed", "no image may be called latest")]


@pytest.mark.parametrize("method", ["workflow.preOperate", "workflow.postOperate"])
@pytest.mark.parametrize("phase", ["Failed", "Error", "Succeeded"])
async def test_a_plugin_ends_a_workflow_that_runs(
    method: str, phase: str, plugin: StartPlugin, engine: StartEngine
) -> None:
    judge, notifier = await plugin({method: {}}), await plugin({"workflow.postOperate": {}})
    leaves = Recorder()
    running = await engine(judge, notifier, executor=leaves)
    wait = {"name": "wait", "suspend": {}}
    retry = container("again", retryStrategy={"limit": 2, "backoff": {"duration": "1h"}})
    tasks = [{"name": "a", "template": "many"}, {"name": "b", "template": "wait"}, {"name": "c", "template": "again"}]
    tasks.append({"name": "d", "template": "leaf", "depends": "a.Succeeded"})
    dag = {"name": "main", "dag": {"tasks": tasks}}
    exit_handler = container("bye")
    work = workflow(
        dag, loop(3, name="many"), steps("x", name="unused"), container("leaf"), wait, retry, exit_handler, onExit="bye"
    )
    await running.reconcile(work)
    assert len(leaves.started) == 4
    running.report(work, leaves.started["c(0)"], Result("Failed"))
    judge.answers[method] = {"workflow": {"status": {"phase": phase, "message": "enough"}}}
    await running.reconcile(work)
    assert (work.phase, work.message) == (phase, "enough")
    assert not [(node.name, node.phase) for node in work.nodes.values() if not (node.fulfilled and node.finished_at)]
    assert len(leaves.started) == 4, "nothing is started any more, no exit handler either"
    assert heard(notifier)[-1] == (phase, "enough")
    assert work.document["status"]["finishedAt"]


async def test_what_runs_is_stopped_with_a_workflow_that_a_plugin_ends(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    judge = await plugin({"workflow.preOperate": {}})
    leaves = Recorder()
    running = await engine(judge, executor=leaves)
    work = workflow(loop(3), container("leaf"))
    await running.reconcile(work)
    judge.answers["workflow.preOperate"] = REFUSAL
    await running.reconcile(work)
    assert sorted(leaves.stopped) == sorted(leaves.started)


async def test_a_phase_that_there_is_not_is_an_error_of_the_plugin(plugin: StartPlugin, engine: StartEngine) -> None:
    validator = await plugin({"workflow.preOperate": {"workflow": {"status": {"phase": "Refused"}}}})
    leaves = Recorder()
    running = await engine(validator, executor=leaves)
    work = workflow(container("main"))
    await running.run([work])
    assert work.phase == "Error"
    assert work.message == (
        "plugin 'plugin-1', workflow.preOperate: status.phase may not be changed from 'Running' to 'Refused'"
    )
    assert not leaves.started


ENDS: list[tuple[str, Callable[[], Workflow], dict[str, Answer], str]] = [
    ("invalid", lambda: workflow(container("main"), entrypoint="nowhere"), {}, "invalid spec"),
    (
        "parameter",
        lambda: workflow(container("main"), arguments={"parameters": [{"name": "p"}]}),
        {},
        "p",
    ),
    ("pre", lambda: workflow(container("main")), {"workflow.preOperate": 403}, "workflow.preOperate: status 403"),
    ("add", lambda: workflow(container("main")), {"parameters.add": 500}, "parameters.add: status 500"),
    ("post", lambda: workflow(container("main")), {"workflow.postOperate": 500}, "workflow.postOperate: status 500"),
    ("good", lambda: workflow(container("main")), {}, ""),
]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("make", "answers", "reason"), [it[1:] for it in ENDS], ids=[it[0] for it in ENDS])
async def test_whoever_wants_to_hear_of_every_end_does(
    first: bool,
    make: Callable[[], Workflow],
    answers: dict[str, Answer],
    reason: str,
    plugin: StartPlugin,
    engine: StartEngine,
) -> None:
    notifier, other = await plugin({"workflow.postOperate": {}}), await plugin(answers)
    running = await engine(*((notifier, other) if first else (other, notifier)))
    work = make()
    await running.run([work])
    assert reason in work.message
    assert heard(notifier)[-1] == (work.phase, work.message)
    assert work.phase == ("Failed" if reason in ("invalid spec", "p") else "Error" if reason else "Succeeded")


async def test_a_notifier_that_is_away_hears_of_the_end_when_it_is_back(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    notifier, other = await plugin({"workflow.postOperate": 503}), await plugin({"workflow.preOperate": 403})
    running = await engine(other, notifier)
    work = workflow(container("main"))
    assert (await running.reconcile(work)).aborted is not None
    assert not work.finished
    notifier.answers["workflow.postOperate"] = {}
    await running.reconcile(work)
    assert work.phase == "Error"
    assert heard(notifier)[-1] == ("Error", work.message)


async def test_a_mistake_of_ours_is_an_end_to_be_told_of(
    plugin: StartPlugin, engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await plugin({"workflow.postOperate": 500})
    notifier = await plugin({"workflow.postOperate": {"workflow": {"metadata": {"labels": {"told": "yes"}}}}})

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    running: Engine = await engine(broken, notifier, executor=PendingExecutor())
    monkeypatch.setattr("engine.reconciling.walking.Walk.catch_up", fail)
    work = workflow(container("main"))
    await running.run([work])
    assert (work.phase, work.message) == ("Error", "internal error: ZeroDivisionError: ")
    assert heard(notifier) == [("Error", work.message)]
    assert work.document["metadata"]["labels"]["told"] == "yes"
