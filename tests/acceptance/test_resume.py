"""An aborted pass leaves no trace, and is not begun from zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from engine import Engine, Workflow
from registry import RetrySettings
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import container, loop, workflow

ONCE: dict[str, Any] = {"retry": RetrySettings(attempts=1), "concurrency": 4}
"""No retries within a pass, so that every failure aborts it."""


class Flaky:
    """Answers `reply`, but with 503 to every `period`-th call."""

    def __init__(self, period: int, reply: Any) -> None:
        self.period = period
        self.reply = reply
        self.calls = 0
        self.answered: Counter[str] = Counter()

    def __call__(self, args: dict[str, Any]) -> Any:
        self.calls += 1
        if self.calls % self.period == 0:
            return 503
        self.answered[args["node"]["name"]] += 1
        return self.reply


async def passes_until_committed(engine: Engine, work: Workflow) -> int:
    for number in range(1, 100):
        before = work.encode()
        result = await engine.reconcile(work)
        if result.aborted is None:
            return number
        assert work.encode() == before
    raise AssertionError("it never ends")


async def test_a_pass_that_fails_again_and_again_asks_hardly_anything_twice(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    silent, flaky = Flaky(10**9, {}), Flaky(60, {})
    peers = [await plugin({"node.preExecute": each}) for each in (silent, flaky)]
    oarlock = await engine(*((peer, ONCE) for peer in peers), workers=4)
    work = workflow(loop(300), container("leaf"))
    passes = await passes_until_committed(oarlock, work)
    aborts = passes - 1
    assert aborts >= 5
    # What is asked again is what was in flight at an abort: of one worker the failure itself, of the others one chain.
    assert silent.calls <= 301 + 4 * aborts
    assert flaky.calls <= 301 + 4 * aborts
    assert oarlock.stats.answers_resumed > 0


async def test_what_a_plugin_changed_before_the_abort_is_in_the_committed_workflow(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    flaky = Flaky(40, {"node": {"message": "seen"}})
    oarlock = await engine((await plugin({"node.preExecute": flaky}), ONCE), workers=4)
    disturbed, undisturbed = (workflow(loop(200), container("leaf")) for _ in range(2))
    assert await passes_until_committed(oarlock, disturbed) > 3
    calm = await engine(await plugin({"node.preExecute": {"node": {"message": "seen"}}}))
    await calm.reconcile(undisturbed)
    messages = [{node.name: node.message for node in work.nodes.values()} for work in (disturbed, undisturbed)]
    assert messages[0] == messages[1]
    assert max(flaky.answered.values()) <= 2


async def test_answers_to_workflow_hooks_and_parameters_are_kept_too(plugin: StartPlugin, engine: StartEngine) -> None:
    failures = iter([503, 503])
    peer = await plugin(
        {
            "workflow.preOperate": {"workflow": {"metadata": {"annotations": {"seen": "yes"}}}},
            "parameters.add": {"parameters": {"hello": "good morning"}},
            "node.preExecute": lambda args: next(failures, {}),
        }
    )
    oarlock = await engine((peer, ONCE))
    work = workflow(container("leaf", "echo", "{{hello}}"))
    assert await passes_until_committed(oarlock, work) == 3
    assert len(peer.args("workflow.preOperate")) == 1
    assert len(peer.args("parameters.add")) == 1
    assert work.document["metadata"]["annotations"] == {"seen": "yes"}


async def test_a_pass_that_completes_drops_what_it_was_told(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.preExecute": {}})
    oarlock = await engine(peer)
    work = workflow(container("leaf"))
    await oarlock.run([work])
    again = workflow(container("leaf"))
    await oarlock.run([again])
    assert len(peer.args("node.preExecute")) == 2
    assert oarlock.stats.answers_resumed == 0


async def test_another_list_of_plugins_is_asked_afresh(plugin: StartPlugin, engine: StartEngine) -> None:
    failures = iter([503])
    first = await plugin({"workflow.preOperate": {}, "node.preExecute": lambda args: next(failures, {})})
    oarlock = await engine((first, ONCE))
    work = workflow(container("leaf"))
    assert (await oarlock.reconcile(work)).aborted is not None
    second = await engine((first, ONCE))
    assert (await second.reconcile(work)).aborted is None
    assert len(first.args("workflow.preOperate")) == 2


async def test_expressions_read_the_same_time_in_the_pass_that_resumes(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    """Else its templates would be others, and all that was answered would have to be asked again."""
    moments: Counter[str] = Counter()

    def note(args: dict[str, Any]) -> Any:
        if args["node"]["type"] != "Pod":
            return {}
        (text,) = args["template"]["container"]["command"]
        moments[text] += 1
        return 503 if sum(moments.values()) == 3 else {}

    times = iter(range(1_700_000_000, 1_800_000_000, 60))
    oarlock = await engine((await plugin({"node.preExecute": note}), ONCE), workers=1, clock=lambda: float(next(times)))
    work = workflow(
        {"name": "main", "steps": [[{"name": name, "template": "leaf"} for name in "abcd"]]},
        container("leaf", "{{=now().Unix()}}"),
    )
    assert await passes_until_committed(oarlock, work) == 2
    assert len(moments) == 1
    assert oarlock.stats.answers_resumed > 0


async def test_where_there_is_no_room_for_answers_they_are_asked_for_again(
    plugin: StartPlugin, engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for answers about a few nodes of two workflows: what is kept is bounded, the end is the same."""
    monkeypatch.setattr("engine.plugins.memory.JOURNALS", 100_000)
    long = {"node": {"message": "x" * 10_000}}
    answers: Iterator[Any] = iter(())
    peer = await plugin({"node.preExecute": lambda args: next(answers, 503)})
    oarlock = await engine((peer, ONCE), workers=1)
    works = [workflow(loop(30), container("leaf"), name=name) for name in ("a", "b")]
    room = oarlock._surroundings.rooms.journals
    for work in works:
        answers = iter([long] * 20)
        assert (await oarlock.reconcile(work)).aborted is not None
        assert 80_000 < room.taken <= 100_000
    peer.answers["node.preExecute"] = long
    await oarlock.run(works)
    assert [work.phase for work in works] == ["Succeeded", "Succeeded"]
    leaves = [node for work in works for node in work.nodes.values() if node.type == "Pod"]
    assert {len(node.message) for node in leaves} == {10_000}
    assert room.taken == 0


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("method", ["node.preExecute", "node.postExecute"])
async def test_a_wrong_reply_is_not_asked_for_again_by_the_pass_that_goes_on(
    method: str, batched: bool, plugin: StartPlugin, engine: StartEngine
) -> None:
    """Else passes whose deadline goes by while wrong replies are refused would be aborted for ever."""
    last = "each(9:9)"
    asked: Counter[str] = Counter()

    def judge(args: dict[str, Any]) -> Any:
        name = (args.get("node") or args["new"])["displayName"]
        asked[name] += 1
        return 503 if name == last and asked[name] < 3 else {"node": {"phase": "Done"}} if "(" in name else {}

    peer = await plugin({method: judge})
    peer.batches = batched
    oarlock = await engine((peer, ONCE), workers=1)
    work = workflow(loop(10), container("leaf"))
    await passes_until_committed(oarlock, work)
    assert asked.pop(last) >= 3
    assert {count for name, count in asked.items() if "(" in name} == {1}
    assert "Invalid enum value 'Done'" in next(node.message for node in work.nodes.values() if node.type == "Pod")
