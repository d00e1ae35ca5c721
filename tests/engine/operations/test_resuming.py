"""A workflow is suspended and resumed, as a whole or at its suspended nodes, which may be given what they ask for."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Engine, OperationError, Workflow
from engine.model.clock import SimulatedClock
from tests.engine.graph.running import run
from tests.engine.operations.driving import Operation, drive, reloaded


def resume(**options: Any) -> Operation:
    return lambda engine, work: engine.resume(work, **options)


def suspend(engine: Engine, work: Workflow) -> None:
    engine.suspend(work)


def later(engine: Engine, work: Workflow) -> None:
    """Two hours go by."""
    assert isinstance(engine.clock, SimulatedClock)
    engine.clock.jump(engine.clock() + 7200)


class TestTheWholeWorkflow:
    SPEC = "templates: [{name: main, steps: [[{name: a, template: gen}], [{name: b, template: leaf}]]}]"

    def test_nothing_begins_while_it_is_suspended(self) -> None:
        ran = drive(self.SPEC, "{gen: {duration: 1h}}", suspend, lambda engine, work: None, timeout=60)
        assert (ran.phase, ran.waiting_for) == ("Running", "the workflow is suspended")
        assert ran["a"].phase == "Running"
        assert ran.workflow.document["spec"]["suspend"] is True

    def test_it_goes_on_where_it_was(self) -> None:
        ran = drive(self.SPEC, "{gen: {duration: 1h}}", suspend, later, resume(), timeout=60)
        assert (ran.phase, ran.started) == ("Succeeded", ["b"])
        assert "suspend" not in ran.workflow.document["spec"]

    def test_time_passes_meanwhile(self) -> None:
        spec = "templates: [{name: main, suspend: {duration: 1h}}]"
        assert drive(spec, "{}", suspend, timeout=60).waiting_for == "the workflow is suspended"
        ran = drive(spec, "{}", suspend, later, resume(), timeout=60)
        assert ran.phase == "Succeeded"

    def test_it_may_begin_suspended(self) -> None:
        ran = drive("suspend: true\n" + self.SPEC, "{}", resume())
        assert (ran.phase, ran.started) == ("Succeeded", ["a", "b"])

    def test_resuming_what_is_not_suspended_changes_nothing(self) -> None:
        ran = drive(self.SPEC, "{gen: {duration: 1h}}", resume(), timeout=60)
        assert (ran.phase, ran["a"].phase, ran.started) == ("Running", "Running", [])


class TestSuspendedNodes:
    SPEC = "templates: [{name: main, dag: {tasks: [{name: a, template: wait}, {name: b, template: wait}]}}]"

    def test_all_go_on(self) -> None:
        assert drive(self.SPEC, "{}", resume()).phase == "Succeeded"

    def test_those_that_match_go_on(self) -> None:
        ran = drive(self.SPEC, "{}", resume(node_field_selector="displayName=a"))
        assert (ran["a"].phase, ran["b"].phase) == ("Succeeded", "Running")
        ran = drive(self.SPEC, "{}", resume(node_field_selector="templateName=wait"))
        assert ran.phase == "Succeeded"

    def test_they_go_on_in_another_process(self) -> None:
        work = reloaded(run(self.SPEC).workflow)
        ran = drive(work, "{}", resume(node_field_selector="displayName=a"), resume())
        assert ran.phase == "Succeeded"

    def test_a_node_with_a_duration_is_resumed_before_its_time(self) -> None:
        spec = "templates: [{name: main, steps: [[{name: a, template: nap}]]}, {name: nap, suspend: {duration: 1h}}]"
        ran = drive(spec, "{}", resume(), timeout=60)
        assert ran.phase == "Succeeded"
        assert ran["a"].finished_at == "2023-11-14T22:13:20Z"

    def test_what_the_outcomes_say_of_it_later_is_not_heard(self) -> None:
        """It begins anew under the same id, and is not to be ended by what was meant for it before."""
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: wait}], [{name: b, template: gen}]]}]",
            ("{wait: {duration: 1h}, gen: {phase: Failed}}", "{gen: {phase: Failed}}", "{}"),
            resume(),
            lambda engine, work: engine.retry(work, restart_successful=True, node_field_selector="displayName=a"),
            timeout=1800,
        )
        assert (ran.phase, ran.waiting_for) == ("Running", "1 suspended (a)")

    @pytest.mark.parametrize(
        ("selector", "reason"),
        [
            ("displayName=c", "no suspended node matches 'displayName=c'; suspended: a, b"),
            ("phase=Succeeded", "no suspended node matches 'phase=Succeeded'; suspended: a, b"),
            ("a", "node field selector 'a': expected FIELD=VALUE or FIELD!=VALUE, got 'a'"),
        ],
    )
    def test_one_must_match(self, selector: str, reason: str) -> None:
        work = run(self.SPEC).workflow
        before = work.encode()
        with pytest.raises(OperationError) as caught:
            Engine().resume(work, node_field_selector=selector)
        assert str(caught.value) == reason
        assert work.encode() == before

    def test_of_a_suspended_workflow_cannot_be_resumed_alone(self) -> None:
        with pytest.raises(OperationError, match="suspended as a whole: resume it without a node field selector"):
            drive(self.SPEC, "{}", suspend, resume(node_field_selector="displayName=a"))


class TestSuppliedParameters:
    SPEC = """
    templates:
    - name: main
      steps:
      - - {name: ask, template: ask}
        - {name: other, template: wait}
      - - name: say
          template: echo
          arguments: {parameters: [{name: text, value: "{{steps.ask.outputs.parameters.answer}}"}]}
    - name: ask
      suspend: {}
      outputs: {parameters: [{name: answer, globalName: said, valueFrom: {supplied: {}DEFAULT}}]}
    """
    ASKING = SPEC.replace("DEFAULT", "")
    OFFERING = SPEC.replace("DEFAULT", ", default: maybe")

    def test_are_given_to_the_nodes_that_expect_them(self) -> None:
        ran = drive(self.ASKING, "{}", resume(parameters={"answer": "yes"}))
        assert (ran.phase, ran.text("say")) == ("Succeeded", "yes")
        assert ran.status["outputs"]["parameters"] == [{"name": "said", "value": "yes"}]
        ran = drive(
            self.ASKING, "{}", resume(node_field_selector="displayName=ask", parameters={"answer": "no"}), resume()
        )
        assert (ran.phase, ran.text("say")) == ("Succeeded", "no")

    def test_may_have_a_default(self) -> None:
        assert drive(self.OFFERING, "{}", resume()).text("say") == "maybe"
        assert drive(self.OFFERING, "{}", resume(parameters={"answer": "yes"})).text("say") == "yes"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, "node 'ask': raw output parameter 'answer' has not been set and does not have a default value"),
            ({"parameters": {"anser": "yes"}}, "node 'ask' is not expecting output parameter 'anser'"),
            (
                {"parameters": {"answer": "yes"}, "node_field_selector": "phase=Running"},
                "node 'other' is not expecting output parameter 'answer'",
            ),
        ],
    )
    def test_must_be_the_right_ones(self, options: dict[str, Any], reason: str) -> None:
        work = run(self.ASKING).workflow
        before = work.encode()
        with pytest.raises(OperationError) as caught:
            Engine().resume(work, **options)
        assert str(caught.value) == reason
        assert work.encode() == before

    def test_are_for_somebody(self) -> None:
        work = run("suspend: true\ntemplates: [{name: main, steps: [[{name: a, template: leaf}]]}]").workflow
        with pytest.raises(OperationError, match="no node is suspended that could be given 'answer'"):
            Engine().resume(work, parameters={"answer": "yes"})

    TWICE = """
    templates:
    - name: main
      steps:
      - - {name: ask, template: ask}
      - - name: say
          template: echo
          arguments:
            parameters:
            - {name: text, value: "{{steps.ask.outputs.parameters.a}}{{steps.ask.outputs.parameters.b}}"}
    - name: ask
      suspend: {}
      outputs: {parameters: [{name: a, valueFrom: {supplied: {}}}, {name: b, valueFrom: {supplied: {}}}]}
    """

    def test_are_kept_whatever_else_is_said_before_a_pass_has_taken_them_up(self) -> None:
        def operate(engine: Engine, work: Workflow) -> None:
            engine.set(work, node_field_selector="displayName=ask", parameters={"a": "o"}, message="first")
            engine.set(work, node_field_selector="displayName=ask", parameters={"b": "ar"})
            engine.resume(work, node_field_selector="displayName=ask")

        ran = drive(self.TWICE, "{}", operate)
        assert (ran.phase, ran.text("say"), ran["ask"].message) == ("Succeeded", "oar", "first")

    def test_are_shown_as_what_they_are_once_given(self) -> None:
        def give(engine: Engine, work: Workflow) -> None:
            engine.set(work, node_field_selector="displayName=ask", parameters={"a": "o"})

        ran = drive(self.TWICE, "{}", give)
        asked = ran["ask"].outputs
        assert asked == {"parameters": [{"name": "a", "value": "o"}, {"name": "b", "valueFrom": {"supplied": {}}}]}

    def test_are_given_once(self) -> None:
        def give(engine: Engine, work: Workflow) -> None:
            engine.set(work, node_field_selector="displayName=ask", parameters={"a": "o"})

        def give_twice(engine: Engine, work: Workflow) -> None:
            give(engine, work)
            give(engine, work)

        for operations in ((give_twice,), (give, give)):  # before a pass, and after one
            with pytest.raises(OperationError, match="node 'ask' was given output parameter 'a' already"):
                drive(self.TWICE, "{}", *operations)

    def test_a_node_that_was_told_to_end_is_suspended_no_more(self) -> None:
        def operate(engine: Engine, work: Workflow) -> None:
            engine.resume(work, node_field_selector="displayName=a")
            engine.stop(work, node_field_selector="displayName=a")

        with pytest.raises(OperationError, match="no suspended node matches 'displayName=a'; suspended: b"):
            drive(TestSuspendedNodes.SPEC, "{}", operate)
