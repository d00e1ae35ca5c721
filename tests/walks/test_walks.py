"""A pass that is aborted or cancelled is as if it had not been, and a walk made anew is the one that was dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest
import yaml

from engine import AlreadySubmitted, Engine, Node, Result, Workflow
from registry import Config, EngineSettings, Seconds
from rpc import Method, TransientError
from rpc.batches import CallBatch
from rpc.replies import decode
from rpc.window import Outcomes
from tests.walks.comparing import compare
from tests.walks.doubles import Client, Registry, Time, plugin

LEAVES = """
- {name: leaf, container: {image: i}}
- {name: call, http: {url: "http://nowhere"}}
- {name: up, daemon: true, container: {image: i}}
- {name: locked, container: {image: i}, synchronization: {mutexes: [{name: one}]}}
"""

Answer = Callable[[Method, Mapping[str, Any]], dict[str, Any] | None]


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_a_disturbed_run_ends_as_the_undisturbed_one(first: int) -> None:
    assert sum(compare(seed) for seed in range(first, first + 25)) > 25


def test_what_waits_for_a_lock_in_what_is_over_does_not_begin() -> None:
    compare(121_151)


class Told:
    """An executor that writes down what it is told."""

    def __init__(self, *, at_once: bool = False, fails: Exception | None = None) -> None:
        self.told: list[str] = []
        self.at_once = at_once
        self.fails = fails

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        self.told.append(f"+{node.display_name}")
        if template.get("daemon"):
            return Result("Running", pod_ip="10.0.0.1")
        return Result("Succeeded") if self.at_once else None

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.told.append(f"-{node.display_name}")
        if self.fails is not None:
            raise self.fails


class Double(Client):
    """A plugin that answers as the test says; None is a 503."""

    def __init__(self, answer: Answer, methods: set[Method]) -> None:
        super().__init__("p", 0, Time(), lambda plugin, method: 0)
        self.methods = methods
        self.reply = answer

    async def ask(self, method: Method, batch: CallBatch, outcomes: Outcomes, **_: Any) -> None:
        for place, call in enumerate(batch.calls):
            said = self.reply(method, orjson.loads(call.body))
            if said is None:
                raise TransientError("p", method, "503")
            outcomes[place] = decode(method, orjson.dumps(said))[0]


class Stage:
    """One workflow, an engine with at most one plugin, and an executor, in a time that stands still."""

    def __init__(self, templates: str, answer: Answer | None = None, *methods: str, **spec: Any) -> None:
        self.work = load(templates, **spec)
        self.executor = Told()
        self.time = Time()
        self.methods = {Method(method) for method in methods}
        self.engine = self._engine(answer)

    def _engine(self, answer: Answer | None) -> Engine:
        registry: Any = Registry(0, self.time, lambda plugin, method: 0)
        double: Any = Double(answer or (lambda method, args: {}), self.methods)
        registry.plugins = (plugin("p", double),)
        registry.config = Config(engine=EngineSettings(enabled=True))
        return Engine(registry, executor=self.executor, clock=self.time)

    def named(self, name: str) -> Node:
        return next(node for node in self.work.nodes.values() if node.display_name == name)

    async def report(self, name: str, phase: str = "Succeeded") -> None:
        self.engine.report(self.work, self.named(name).id, Result(phase))
        await self.to_rest()

    async def to_rest(self) -> None:
        """Passes while there is something to do at once; one that is aborted is made again at once."""
        for _ in range(20):
            result = await self.engine.reconcile(self.work)
            if result.aborted is None and result.requeue_after != 0.0:
                return
        raise AssertionError("it never comes to rest")


def load(templates: str, **spec: Any) -> Workflow:
    document = {"entrypoint": "main", **spec, "templates": yaml.load(templates + LEAVES, yaml.CSafeLoader)}
    return Workflow({"kind": "Workflow", "metadata": {"name": "w"}, "spec": document})


def once(refuse: Callable[[Method, Mapping[str, Any]], bool], answer: Answer) -> Answer:
    """The same answers, but for a 503 the first time that `refuse` holds."""
    left = [True]

    def reply(method: Method, args: Mapping[str, Any]) -> dict[str, Any] | None:
        if left and refuse(method, args):
            left.clear()
            return None
        return answer(method, args)

    return reply


@pytest.mark.parametrize("disturbed", [False, True])
@pytest.mark.parametrize("second", ["leaf", "call"])
async def test_leaves_of_steps_that_a_plugin_ends_in_an_aborted_pass_are_not_started_again(
    second: str, disturbed: bool
) -> None:
    ends = [False]

    def answer(method: Method, args: Mapping[str, Any]) -> dict[str, Any]:
        node = args.get("node") or {}
        over = method is Method.NODE_PRE_EXECUTE and ends[0] and node["displayName"] == "inner"
        return {"node": {"phase": "Succeeded"}} if over else {}

    def refuse(method: Method, args: Mapping[str, Any]) -> bool:
        return disturbed and ends[0] and method is Method.WORKFLOW_POST_OPERATE

    inner = f"""
- {{name: main, steps: [[{{name: inner, template: inner}}], [{{name: later, template: leaf}}]]}}
- {{name: inner, steps: [[{{name: a, template: leaf}}, {{name: b, template: {second}}}]]}}
"""
    stage = Stage(inner, once(refuse, answer), "node.preExecute", "workflow.postOperate")
    await stage.to_rest()
    ends[0] = True
    await stage.to_rest()
    assert stage.executor.told == ["+a", "+b", "-b", "-a", "+later"]


@pytest.mark.parametrize("disturbed", [False, True])
async def test_what_fails_fast_beside_a_leaf_without_a_pod_is_not_begun_again(disturbed: bool) -> None:
    failed = [False]

    def refuse(method: Method, args: Mapping[str, Any]) -> bool:
        return disturbed and failed[0]

    body = "- {name: main, failFast: true, steps: [[{name: a, template: leaf}, {name: b, template: call}]]}"
    stage = Stage(body, once(refuse, lambda method, args: {}), "workflow.postOperate")
    await stage.to_rest()
    failed[0] = True
    await stage.report("a", "Failed")
    assert stage.work.phase == "Failed"
    assert stage.executor.told == ["+a", "+b", "-b"]


@pytest.mark.parametrize("refused", range(5))
async def test_a_daemon_beside_a_dag_with_an_exit_handler_is_stopped_whichever_pass_is_aborted(refused: int) -> None:
    passes = [0]

    def answer(method: Method, args: Mapping[str, Any]) -> dict[str, Any] | None:
        if method is not Method.WORKFLOW_POST_OPERATE:
            return {}
        passes[0] += 1
        return None if passes[0] == refused else {}

    bodies = """
- {name: main, steps: [[{name: d, template: up}, {name: x, template: inner}]]}
- {name: inner, dag: {tasks: [{name: t, template: leaf, hooks: {exit: {template: leaf}}}]}}
"""
    stage = Stage(bodies, answer, "node.postExecute", "workflow.postOperate")
    await stage.to_rest()
    await stage.report("t")
    await stage.report("t.onExit")
    assert stage.work.phase == "Succeeded"
    assert stage.executor.told == ["+d", "+t", "+t.onExit", "-d"]


async def test_a_pass_says_that_another_one_can_take_the_lock_that_it_gave_back() -> None:
    stage = Stage("- {name: main, steps: [[{name: a, template: locked}, {name: b, template: locked}]]}")
    await stage.to_rest()
    stage.engine.report(stage.work, stage.named("a").id, Result("Succeeded"))
    result = await stage.engine.reconcile(stage.work)
    assert result.requeue_after == 0.0
    await stage.engine.reconcile(stage.work)
    assert stage.executor.told == ["+a", "+b"]


async def test_a_pass_names_the_other_workflows_that_can_take_the_lock_that_it_gave_back() -> None:
    stage = Stage("- {name: main, steps: [[{name: a, template: locked}]]}")
    other = load("- {name: main, steps: [[{name: a, template: locked}]]}")
    other = Workflow({**other.document, "metadata": {"name": "other"}})
    await stage.to_rest()
    await stage.engine.reconcile(other)
    stage.engine.report(stage.work, stage.named("a").id, Result("Succeeded"))
    result = await stage.engine.reconcile(stage.work)
    assert result.woken == {"default/other"}


async def test_an_executor_that_cannot_stop_a_leaf_harms_nobody() -> None:
    stage = Stage("- {name: main, activeDeadlineSeconds: 5, container: {image: i}}")
    stage.executor.fails = OSError("gone")
    await stage.to_rest()
    stage.time.now += 5
    await stage.to_rest()
    assert stage.work.phase == "Failed"
    assert stage.executor.told == ["+w", "-w"]


@pytest.mark.parametrize("operation", ["stop", "terminate"])
async def test_leaves_that_ran_before_a_restart_are_stopped_where_the_first_pass_ends_them(operation: str) -> None:
    stage = Stage(
        "- {name: main, steps: [[{name: a, template: leaf}, {name: s, template: wait}]]}\n- {name: wait, suspend: {}}"
    )
    await stage.to_rest()
    work, executor = Workflow(stage.work.to_dict()), Told()
    engine = Engine(executor=executor, clock=stage.time)
    getattr(engine, operation)(work)
    await engine.reconcile(work)
    assert work.phase == "Failed"
    assert executor.told == ["-a"]


async def test_a_late_report_says_nothing_of_a_later_workflow_of_the_same_name() -> None:
    stage = Stage("- {name: main, container: {image: i}}")
    old = stage.work
    await stage.to_rest()
    stage.engine.terminate(old)
    await stage.to_rest()
    stage.work = load("- {name: main, container: {image: i}}")
    await stage.to_rest()
    stage.engine.report(old, "w", Result("Failed"))
    await stage.to_rest()
    assert not stage.work.finished


async def test_a_workflow_submitted_while_the_last_pass_of_one_of_its_name_is_under_way_is_refused() -> None:
    later = load("- {name: main, container: {image: i}}")
    stages: list[Stage] = []
    refusals: list[str] = []

    def answer(method: Method, args: Mapping[str, Any]) -> dict[str, Any]:
        if stages[0].executor.told and not refusals:
            with pytest.raises(AlreadySubmitted) as refused:
                stages[0].engine.submit(later)
            refusals.append(str(refused.value))
        return {}

    stage = Stage("- {name: main, activeDeadlineSeconds: 0, container: {image: i}}", answer, "workflow.postOperate")
    stages.append(stage)
    stage.executor.at_once = True
    await stage.engine.run([stage.work], timeout=60)
    assert refusals == [
        f"{later.key}: there is an unfinished workflow of that name already, with the uid {stage.work.uid}"
    ]
    await stage.engine.run([later])
    assert (stage.work.phase, later.phase) == ("Succeeded", "Succeeded")


async def test_it_always_says_what_a_workflow_waits_for() -> None:
    bodies = (
        "- {name: main, steps: [[{name: a, template: inner}]]}\n- {name: inner, steps: [[{name: b, template: leaf}]]}"
    )
    stage = Stage(bodies, lambda method, args: {"requeue": "5s"}, "node.preExecute")
    await stage.engine.reconcile(stage.work)
    assert stage.engine.waiting_for(stage.work)


async def test_a_workflow_to_which_nothing_is_answered_in_time_ends_in_error_and_says_of_whom() -> None:
    class Hung(Double):
        async def ask(self, method: Method, batch: CallBatch, outcomes: Outcomes, **_: Any) -> None:
            await asyncio.Event().wait()

    stage = Stage("- {name: main, container: {image: i}}")
    registry: Any = stage.engine.registry
    hung: Any = Hung(lambda method, args: {}, {Method.NODE_PRE_EXECUTE})
    registry.plugins = (plugin("hung", hung),)
    registry.config = Config(engine=EngineSettings(enabled=True, loop_deadline=Seconds(0.01)))
    for _ in range(9):
        assert (await stage.engine.reconcile(stage.work)).aborted is not None
    await stage.engine.reconcile(stage.work)
    reason = "10 times in a row, and plugin 'hung' answered nothing meanwhile"
    assert stage.work.phase == "Error"
    assert stage.work.message == f"the pass took longer than loop_deadline, 0.01s, {reason}"
