"""A workflow is stopped or terminated: what ends how, and what still runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine import Engine, OperationError, Workflow
from tests.engine.graph.running import Recorder, outcomes, workflow
from tests.engine.operations.driving import Operation, drive, reloaded

SPEC = (
    "onExit: leaf\n"
    "templates: [{name: main, steps: [[{name: done, template: leaf}], [{name: a, template: gen}, "
    "{name: w, template: wait, onExit: leaf}, {name: nested, template: inner}], [{name: never, template: leaf}]]}, "
    "{name: inner, dag: {tasks: [{name: x, template: gen}]}}]"
)
LONG = "{gen: {duration: 100h}}"


def stop(**options: Any) -> Operation:
    return lambda engine, work: engine.stop(work, **options)


def terminate(**options: Any) -> Operation:
    return lambda engine, work: engine.terminate(work, **options)


def test_stop_ends_what_runs_and_runs_the_exit_handlers() -> None:
    ran = drive(SPEC, LONG, stop(), timeout=1)
    assert (ran.phase, ran.message) == ("Failed", "Stopped with strategy 'Stop'")
    assert {name: ran[name].phase for name in ("done", "a", "w", "nested", "x", "wf.onExit", "w.onExit")} == {
        "done": "Succeeded",
        "a": "Failed",
        "w": "Failed",
        "nested": "Failed",
        "x": "Failed",
        "wf.onExit": "Succeeded",
        "w.onExit": "Succeeded",
    }
    assert sorted(ran.executor.stopped) == ["a", "w", "x"]
    assert "never" not in ran.nodes
    assert sorted(ran.started) == ["w.onExit", "wf.onExit"]


def test_terminate_runs_no_exit_handler() -> None:
    ran = drive(SPEC, LONG, terminate(), timeout=1)
    assert (ran.phase, ran.message) == ("Failed", "Stopped with strategy 'Terminate'")
    assert ran.started == []
    assert "wf.onExit" not in ran.nodes
    assert sorted(ran.executor.stopped) == ["a", "w", "x"]


def test_the_message_is_that_of_what_is_ended() -> None:
    ran = drive(SPEC, LONG, stop(message="enough"), timeout=1)
    assert ran["a"].message == "workflow shutdown with strategy:  Stop: enough"
    assert ran["w"].message == "Stopped with strategy 'Stop': enough"
    assert ran.message == "Stopped with strategy 'Stop': enough"
    assert drive(SPEC, LONG, terminate(message="now"), timeout=1).message == "Stopped with strategy 'Terminate': now"


def test_what_is_stopped_can_be_terminated() -> None:
    spec = SPEC.replace("onExit: leaf\n", "onExit: gen\n")
    ran = drive(spec, LONG, stop(), terminate(), timeout=1)
    assert (ran.phase, ran["wf.onExit"].phase) == ("Failed", "Failed")
    assert ran.executor.stopped == ["wf.onExit"]
    work = drive(spec, LONG, stop(), timeout=1).workflow
    ran = drive(reloaded(work), LONG, terminate(), timeout=1)
    assert (ran.phase, ran["wf.onExit"].phase) == ("Failed", "Failed")


def test_a_suspended_workflow_can_be_stopped() -> None:
    ran = drive(SPEC, LONG, lambda engine, work: engine.suspend(work), stop(), timeout=1)
    assert ran.phase == "Failed"


def test_a_workflow_can_be_stopped_before_it_begins() -> None:
    work = drive("suspend: true\ntemplates: [{name: main, steps: [[{name: a, template: leaf}]]}]", "{}").workflow
    ran = drive(reloaded(work), "{}", stop())
    assert (ran.phase, ran["a"].phase, ran.started) == ("Failed", "Failed", [])


def test_another_process_can_stop_it() -> None:
    work = drive(SPEC, LONG, timeout=1).workflow
    saved = reloaded(work)
    engine = Engine()
    engine.stop(saved)
    assert saved.document["spec"]["shutdown"] == "Stop"
    ran = drive(saved, LONG)
    assert (ran.phase, ran["a"].phase, ran["wf.onExit"].phase) == ("Failed", "Failed", "Succeeded")
    assert sorted(ran.started) == ["w.onExit", "wf.onExit"]


@pytest.mark.parametrize("operation", ["stop", "terminate", "suspend", "resume"])
def test_a_finished_workflow_is_refused(operation: str) -> None:
    work = drive("templates: [{name: main, steps: []}]", "{}").workflow
    before = work.encode()
    with pytest.raises(OperationError) as caught:
        getattr(Engine(), operation)(work)
    assert str(caught.value) == f"default/wf: expected a workflow that is not finished, this one is {work.phase}"
    assert work.encode() == before


class TestOneSuspendedNode:
    SPEC = (
        "templates: [{name: main, dag: {tasks: [{name: a, template: wait}, {name: b, template: wait}, "
        "{name: c, template: leaf, depends: a.Failed}, {name: d, template: leaf, depends: b}]}}]"
    )

    def test_is_failed_with_the_message(self) -> None:
        ran = drive(self.SPEC, "{}", stop(node_field_selector="displayName=a", message="rejected"))
        assert (ran["a"].phase, ran["a"].message, ran["c"].phase) == ("Failed", "rejected", "Succeeded")
        assert (ran.phase, ran.waiting_for) == ("Running", "1 suspended (b)")

    def test_must_be_there(self) -> None:
        work = drive(self.SPEC, "{}").workflow
        with pytest.raises(OperationError) as caught:
            Engine().stop(work, node_field_selector="displayName=c")
        assert str(caught.value) == "no suspended node matches 'displayName=c'; suspended: a, b"


def test_what_waits_for_a_lock_is_ended_too() -> None:
    ran = drive(
        "templates: [{name: main, steps: [[{name: a, template: only, withItems: [0, 1]}]]}, "
        "{name: only, synchronization: {mutexes: [{name: one}]}, container: {image: i}}]",
        "{only: {duration: 100h}}",
        stop(),
        timeout=1,
    )
    assert ran.phases == {"wf": "Failed", "[0]": "Failed", "a(0:0)": "Failed", "a(1:1)": "Failed"}


def test_other_workflows_go_on() -> None:
    first, second = (
        Workflow(
            {
                "metadata": {"name": name},
                "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {"duration": "1h"}}]},
            }
        )
        for name in ("first", "second")
    )

    def stop_second(engine: Engine, _: Workflow) -> None:
        engine.submit(second)
        engine.stop(second)

    drive(first, "{}", stop_second, timeout=1)
    assert second.phase == "Failed"
    assert first.phase == "Running"


LOCKED = (
    "templates: [{name: main, dag: {tasks: [{name: first, template: gen}, {name: s, template: steps}, "
    "{name: d, template: dag}, {name: r, template: again}, {name: p, template: pod}]}}, "
    "{name: gen, synchronization: LOCK, script: {image: i, source: x}}, "
    "{name: steps, synchronization: LOCK, steps: [[{name: x, template: leaf}]]}, "
    "{name: dag, synchronization: LOCK, dag: {tasks: [{name: x, template: leaf}]}}, "
    "{name: again, synchronization: LOCK, retryStrategy: {limit: 2}, steps: [[{name: x, template: leaf}]]}, "
    "{name: pod, synchronization: LOCK, container: {image: i}}]"
).replace("LOCK", "{mutex: {name: m}}")


@pytest.mark.parametrize("how", [stop(), terminate()])
def test_all_that_waits_for_a_lock_ends_at_once(how: Operation) -> None:
    for again in (False, True):
        spec = reloaded(drive(LOCKED, LONG, timeout=1).workflow) if again else LOCKED
        ran = drive(spec, LONG, how, timeout=1)
        assert ran.phase == "Failed"
        assert {ran[name].phase for name in ("first", "s", "d", "r", "p")} == {"Failed"}
        assert ran["s"].message.startswith("Stopped with strategy")
        assert ran.executor.stopped.count("first") == 1
        assert "x" not in ran.nodes


def test_the_deadline_ends_what_waits_for_a_lock() -> None:
    ran = drive("activeDeadlineSeconds: 60\n" + LOCKED, LONG)
    assert ran.phase == "Failed"
    assert {ran[name].phase for name in ("first", "s", "d", "r", "p")} == {"Failed"}
    assert ran["s"].message == "Step exceeded its deadline"
    assert "x" not in ran.nodes


class TestAWorkflowThatWaitsForItsLock:
    SPEC = "synchronization: {mutex: {name: m}}\ntemplates: [{name: main, steps: [[{name: a, template: gen}]]}]"

    def ended(self, *operations: Operation, timeout: float = 1.0) -> list[Workflow]:
        works = [workflow(self.SPEC, name) for name in ("holds", "waits")]
        executor = Recorder(outcomes(LONG))

        async def run() -> None:
            async with Engine(executor=executor) as engine:
                await engine.run(works, timeout=timeout)
                assert works[1].phase == "Pending"
                for operation in operations:
                    operation(engine, works[1])
                await engine.run([], timeout=timeout)

        asyncio.run(run())
        return works

    @pytest.mark.parametrize("how", [stop(message="enough"), terminate(message="enough")])
    def test_it_fails_as_soon_as_it_is_told_to_end(self, how: Operation) -> None:
        holds, waits = self.ended(how)
        assert (holds.phase, waits.phase) == ("Running", "Failed")
        assert waits.document["status"]["message"].endswith(": enough")
        assert not waits.nodes


@pytest.mark.parametrize("how", [stop(), terminate()])
@pytest.mark.parametrize("more", ["", "[{name: b, template: gen, continueOn: {failed: true}}]"])
def test_what_is_forgiven_its_failures_has_failed_all_the_same(how: Operation, more: str) -> None:
    spec = (
        "templates: [{name: main, steps: [[{name: a, template: inner, continueOn: {failed: true}}]MORE]}, "
        "{name: inner, steps: [[{name: x, template: gen, continueOn: {failed: true}}]]}]"
    ).replace("MORE", f", {more}" if more else "")
    ran = drive(spec, LONG, how, timeout=1)
    assert (ran["x"].phase, ran["a"].phase, ran.phase) == ("Failed", "Failed", "Failed")
    assert ran.message.startswith("Stopped with strategy")


def test_an_exit_handler_may_forgive_what_it_likes() -> None:
    spec = (
        "onExit: bye\ntemplates: [{name: main, steps: [[{name: a, template: gen}]]}, "
        "{name: bye, steps: [[{name: x, template: leaf, continueOn: {failed: true}}]]}]"
    )
    ran = drive(spec, LONG.replace("}}", "}, leaf: {phase: Failed}}"), stop(), timeout=1)
    assert (ran.phase, ran["wf.onExit"].phase) == ("Failed", "Succeeded")


class TestWhatWaitsForWhatWillNeverCome:
    STEPS = (
        "[[{name: a, template: give}, {name: b, template: echo, "
        "arguments: {parameters: [{name: text, value: '{{steps.a.outputs.parameters.v}}'}]}}]]"
    )
    SPECS = (
        f"templates: [{{name: main, steps: {STEPS}}}]",
        "templates: [{name: main, dag: {tasks: [{name: q, template: inner}, {name: r, template: gen}]}}, "
        f"{{name: inner, steps: {STEPS}}}]",
    )

    @pytest.mark.parametrize("spec", SPECS)
    @pytest.mark.parametrize("how", [stop(), terminate()])
    def test_it_ends_when_the_workflow_is_told_to(self, spec: str, how: Operation) -> None:
        saved = drive(spec, LONG, timeout=1).workflow
        for work in (spec, reloaded(saved)):
            ran = drive(work, LONG, how, timeout=1)
            assert set(ran.phases.values()) == {"Failed"}
            assert ran.message.startswith("Stopped with strategy")

    @pytest.mark.parametrize("spec", SPECS)
    def test_it_ends_with_the_time_of_the_workflow(self, spec: str) -> None:
        ran = drive(f"activeDeadlineSeconds: 60\n{spec}", LONG)
        assert set(ran.phases.values()) == {"Failed"}
