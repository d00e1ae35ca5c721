"""A failed workflow is retried: what runs again, what is kept, and when there is nothing to retry."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Engine, OperationError, Workflow
from tests.engine.graph.running import run
from tests.engine.operations.driving import Operation, drive, reloaded

FAILED = "{gen: {phase: Failed}}"


def retry(**options: Any) -> Operation:
    return lambda engine, work: engine.retry(work, **options)


def dag(*tasks: str, more: str = "") -> str:
    return f"templates: [{{name: main, dag: {{tasks: [{', '.join(tasks)}]}}}}{more}]"


class TestWhatRunsAgain:
    """Failed leaves and what comes after them."""

    def test_the_failed_step_and_those_after_it(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: leaf}], [{name: b, template: gen}, "
            "{name: c, template: leaf}], [{name: d, template: leaf}]]}]",
            (FAILED, "{}"),
            retry(),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["b", "d"]

    def test_the_failed_task_and_what_was_omitted_for_it(self) -> None:
        ran = drive(
            dag(
                "{name: a, template: leaf}",
                "{name: b, template: gen, depends: a}",
                "{name: c, template: leaf, depends: b}",
                "{name: d, template: leaf, depends: a}",
            ),
            (FAILED, "{}"),
            retry(),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["b", "c"]

    def test_the_failed_turns_of_a_loop(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: leaf, withItems: [x, z, w]}]]}]",
            ("{'node:a(1:z)': {phase: Failed}}", "{}"),
            retry(),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["a(1:z)"]

    def test_what_a_retried_turn_gives_stands_at_its_place_in_the_list(self) -> None:
        ran = drive(
            dag(
                "{name: a, template: gen, withItems: [1, 2, 3]}",
                "{name: b, template: echo, depends: a, arguments: "
                "{parameters: [{name: text, value: '{{tasks.a.outputs.result}}'}]}}",
            ),
            (
                "{'node:a(0:1)': {result: 10}, 'node:a(1:2)': {phase: Failed}, 'node:a(2:3)': {result: 30}}",
                "{'node:a(1:2)': {result: 20}}",
            ),
            retry(),
        )
        assert ran.text("b") == "[10,20,30]"

    def test_only_what_failed_inside_a_nested_template(self) -> None:
        ran = drive(
            dag(
                "{name: n, template: inner}",
                "{name: after, template: leaf, depends: n}",
                more=", {name: inner, steps: [[{name: x, template: leaf}], [{name: b, template: gen}]]}",
            ),
            (FAILED, "{}"),
            retry(),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["b", "after"]

    def test_all_attempts_of_a_retried_leaf(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: again}]]}, "
            "{name: again, retryStrategy: {limit: 1}, container: {image: i}}]",
            ("{again: {phase: Failed}}", "{}"),
            retry(),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["a(0)"]
        assert ran.children("a") == ["a(0)"]

    def test_the_last_attempt_of_retried_steps(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: again}]]}, {name: again, retryStrategy: {limit: 1}, "
            "steps: [[{name: x, template: leaf}], [{name: b, template: inner}]]}, "
            "{name: inner, retryStrategy: {limit: 1}, container: {image: i}}]",
            ("{inner: {phase: Failed}}", "{}"),
            retry(),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["b(0)"]
        assert {name: ran[name].phase for name in ("a", "a(0)", "a(1)")} == {
            "a": "Succeeded",
            "a(0)": "Failed",
            "a(1)": "Succeeded",
        }
        assert "Running" not in {node.phase for node in ran.workflow.nodes.values()}

    def test_nothing_of_retried_steps_that_succeeded_in_the_end(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: again}], [{name: z, template: leaf}]]}, "
            "{name: again, retryStrategy: {limit: 1}, steps: [[{name: b, template: gen}]]}]",
            ("{gen: [{phase: Failed}, {}], leaf: {phase: Failed}}", "{}"),
            retry(),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["z"]
        assert (ran["a(0)"].phase, ran["a(1)"].phase) == ("Failed", "Succeeded")

    def test_the_pod_of_a_failed_container(self) -> None:
        spec = (
            "templates: [{name: main, steps: [[{name: p, template: set}]]}, "
            "{name: set, containerSet: {containers: [{name: one, image: i}, {name: two, image: i}]}}]"
        )
        ran = drive(spec, ("{'node:two': {phase: Failed}}", "{}"), retry())
        assert ran.phase == "Succeeded"
        assert ran.started == ["p"]
        assert {ran["one"].phase, ran["two"].phase} == {"Succeeded"}

    def test_a_stopped_suspend(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: wait}]]}]",
            "{}",
            lambda engine, work: engine.stop(work),
            retry(),
            lambda engine, work: engine.resume(work),
        )
        assert ran.phase == "Succeeded"

    def test_a_step_whose_condition_could_not_be_decided(self) -> None:
        work = run("templates: [{name: main, steps: [[{name: a, template: leaf, when: '{{x}}'}]]}]").workflow
        assert work.phase in ("Failed", "Error")
        ran = drive(reloaded(work), "{}", retry())
        assert ran.phase == work.phase, "it fails again, but it is tried"

    def test_the_exit_handler(self) -> None:
        ran = drive(
            "onExit: leaf\ntemplates: [{name: main, steps: [[{name: a, template: gen}]]}]", (FAILED, "{}"), retry()
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["a", "wf.onExit"]

    def test_the_exit_handler_alone_where_that_failed(self) -> None:
        ran = drive("onExit: gen\ntemplates: [{name: main, steps: [[{name: a, template: leaf}]]}]",
                    (FAILED, "{}"), retry())  # fmt: skip
        assert ran.phase == "Succeeded"
        assert ran.started == ["wf.onExit"]

    def test_no_step_that_is_only_called_like_the_exit_handler(self) -> None:
        ran = drive(
            "onExit: leaf\n" + dag("{name: onExit-not, template: leaf}", "{name: a, template: gen}"),
            (FAILED, "{}"),
            retry(),
        )
        assert sorted(ran.started) == ["a", "wf.onExit"]

    def test_a_failed_leaf_whose_own_exit_handler_succeeded(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: gen, onExit: leaf}]]}]", (FAILED, "{}"), retry()
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["a", "a.onExit"]

    def test_a_workflow_that_a_plugin_had_ended_goes_on(self) -> None:
        """Its nodes are as they were: nothing failed, and nothing is over."""
        work = drive("templates: [{name: main, steps: [[{name: a, template: wait}]]}]", "{}").workflow
        work.document["status"] |= {"phase": "Error", "message": "plugin 'sick': status 500"}
        ran = drive(reloaded(work), "{}", retry(), lambda engine, work: engine.resume(work))
        assert ran.phase == "Succeeded"

    def test_an_invalid_workflow_is_looked_at_again(self) -> None:
        spec = "arguments: {parameters: [{name: p}]}\ntemplates: [{name: main, steps: [[{name: a, template: leaf}]]}]"
        ran = drive(spec, "{}", retry(parameters={"p": "1"}))
        assert ran.phase == "Succeeded"


class TestWhatIsKept:
    def test_a_failure_that_something_after_it_handled(self) -> None:
        ran = drive(
            dag(
                "{name: a, template: gen}",
                "{name: rescue, template: leaf, depends: a.Failed}",
                "{name: b, template: file}",
            ),
            ("{gen: {phase: Failed}, file: {phase: Failed}}", "{}"),
            retry(),
        )
        assert ran.started == ["b"]
        assert ran["a"].phase == "Failed"
        assert ran.phase == "Succeeded"

    def test_a_succeeded_dag_before_the_failed_task_is_not_touched(self) -> None:
        spec = dag(
            "{name: n, template: inner}",
            "{name: b, template: gen, depends: n}",
            more=", {name: inner, dag: {tasks: [{name: x, template: leaf}]}}",
        )
        before = drive(spec, FAILED)["n"]
        ran = drive(spec, (FAILED, "{}"), retry())
        assert ran["n"] == before
        assert ran.children("x") == ["b"]

    def test_outputs_and_the_times_of_what_succeeded(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: gen}], [{name: w, template: pause}], "
            "[{name: b, template: echo, arguments: {parameters: [{name: text, "
            "value: '{{steps.a.outputs.result}}'}]}}]]}, {name: pause, suspend: {duration: 1m}}]",
            ("{gen: {result: kept}, echo: {phase: Failed}}", "{}"),
            retry(),
        )
        assert ran.text("b") == "kept"
        assert (ran["a"].started_at, ran["b"].started_at) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")


class TestTheWorkflow:
    def test_runs_and_says_no_more_that_it_is_over(self) -> None:
        """As Argo's createNewRetryWorkflow leaves it."""
        work = drive("templates: [{name: main, steps: [[{name: a, template: gen}]]}]", FAILED).workflow
        status = work.document["status"]
        assert status["phase"] == "Failed"
        Engine().retry(work)
        status, labels = work.document["status"], work.document["metadata"]["labels"]
        assert (work.phase, work.message, "finishedAt" in status) == ("Running", "", False)
        assert labels == {"workflows.argoproj.io/phase": "Running", "workflows.argoproj.io/completed": "false"}
        assert {"type": "Completed", "status": "False"} in status["conditions"]
        assert {node.display_name: node.phase for node in work.nodes.values()} == {"wf": "Running", "[0]": "Running"}

    def test_may_have_been_stopped(self) -> None:
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: gen}]]}]",
            ("{gen: {duration: 100h}}", "{}", "{}"),
            lambda engine, work: engine.stop(work),
            retry(),
            timeout=1,
        )
        assert ran.phase == "Succeeded"
        assert "shutdown" not in ran.workflow.document["spec"]

    def test_has_the_whole_of_its_deadline_again(self) -> None:
        ran = drive(
            "activeDeadlineSeconds: 60\ntemplates: [{name: main, steps: [[{name: a, template: gen}]]}]",
            ("{gen: {duration: 2m}}", "{gen: {duration: 50s}}"),
            retry(),
        )
        assert ran.phase == "Succeeded"

    def test_goes_on_in_another_process(self) -> None:
        spec = "templates: [{name: main, steps: [[{name: a, template: leaf}], [{name: b, template: gen}]]}]"
        ran = drive(reloaded(drive(spec, FAILED).workflow), "{}", retry())
        assert (ran.phase, ran.started) == ("Succeeded", ["b"])

    def test_can_be_retried_again_and_again(self) -> None:
        spec = "templates: [{name: main, steps: [[{name: a, template: gen}]]}]"
        ran = drive(spec, (FAILED, FAILED, FAILED, "{}"), retry(), retry(), retry())
        assert (ran.phase, ran.started) == ("Succeeded", ["a"])

    def test_is_retried_while_others_run(self) -> None:
        """What happens between two passes of `run` happens to it, too."""
        ran = drive(
            "templates: [{name: main, steps: [[{name: a, template: gen}]]}]", (FAILED, "{gen: {duration: 1h}}"), retry()
        )
        assert ran.phase == "Succeeded"


class TestParameters:
    SPEC = (
        "arguments: {parameters: [{name: p, value: '[1, 2]'}, {name: q, value: old}]}\n"
        "templates: [{name: main, steps: [[{name: first, template: leaf}], "
        "[{name: a, template: echo, withParam: '{{workflow.parameters.p}}', arguments: "
        "{parameters: [{name: text, value: '{{workflow.parameters.q}}'}]}}]]}]"
    )

    def test_override_the_arguments(self) -> None:
        ran = drive(self.SPEC, ("{'node:a(1:2)': {phase: Failed}}", "{}"), retry(parameters={"q": "new"}))
        assert ran.text("a(1:2)") == "new"
        parameters = ran.workflow.document["spec"]["arguments"]["parameters"]
        assert parameters == [{"name": "q", "value": "new"}, {"name": "p", "value": "[1, 2]"}]

    def test_make_the_turns_of_a_failed_loop_anew(self) -> None:
        ran = drive(self.SPEC, ("{'node:a(1:2)': {phase: Failed}}", "{}"), retry(parameters={"p": "[7]"}))
        assert ran.phase == "Succeeded"
        assert ran.started == ["a(0:7)"]
        assert "a(1:2)" not in ran.nodes

    def test_of_another_kind_than_text_are_not_needed(self) -> None:
        ran = drive(self.SPEC, ("{'node:a(1:2)': {phase: Failed}}", "{}"), retry(parameters={}))
        assert ran.started == ["a(1:2)"]


class TestRestartSuccessful:
    SPEC = (
        "templates: [{name: main, steps: [[{name: a, template: leaf}], [{name: b, template: leaf}], "
        "[{name: c, template: leaf}]]}]"
    )

    def test_of_a_succeeded_workflow_runs_the_node_and_all_after_it(self) -> None:
        ran = drive(self.SPEC, "{}", retry(restart_successful=True, node_field_selector="displayName=b"))
        assert ran.started == ["b", "c"]

    def test_of_a_failed_one_runs_what_failed_as_well(self) -> None:
        spec = dag("{name: a, template: leaf}", "{name: b, template: leaf}", "{name: c, template: gen}")
        ran = drive(spec, (FAILED, "{}"), retry(restart_successful=True, node_field_selector="displayName=a"))
        assert sorted(ran.started) == ["a", "c"]

    def test_of_the_root_runs_everything(self) -> None:
        ran = drive(self.SPEC, "{}", retry(restart_successful=True, node_field_selector="name=wf"))
        assert ran.started == ["a", "b", "c"]

    def test_of_one_attempt_runs_that_and_those_after_it(self) -> None:
        ran = drive(
            "templates: [{name: main, retryStrategy: {limit: 5}, container: {image: i}}]",
            ("{main: [{phase: Failed}, {}]}", "{}"),
            retry(restart_successful=True, node_field_selector="displayName=wf(1)"),
        )
        assert ran.phase == "Succeeded"
        assert ran.started == ["wf(0)"], "the failed attempt before it is retried, too"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({}, "to retry a succeeded workflow, set the options"),
            ({"restart_successful": True}, "restart-successful says nothing without node field selector"),
            ({"node_field_selector": "id=x"}, "node field selector says nothing without restart-successful"),
            ({"restart_successful": True, "node_field_selector": "id=x"}, "no node matches 'id=x'"),
            ({"restart_successful": True, "node_field_selector": "nme=x"}, "there is no field 'nme'"),
        ],
    )
    def test_misused(self, options: dict[str, Any], reason: str) -> None:
        work = drive(self.SPEC, "{}").workflow
        before = work.encode()
        with pytest.raises(OperationError, match=reason):
            Engine().retry(work, **options)
        assert work.encode() == before


class TestRefused:
    def refused(self, work: Workflow) -> str:
        before = work.encode()
        with pytest.raises(OperationError) as caught:
            Engine().retry(work)
        assert work.encode() == before
        return str(caught.value)

    def test_before_the_workflow_began(self) -> None:
        work = Workflow({"metadata": {"name": "new"}, "spec": {}})
        assert self.refused(work) == "default/new: cannot retry a workflow in phase Pending"

    def test_while_it_runs(self) -> None:
        work = drive("templates: [{name: main, suspend: {}}]", "{}").workflow
        assert self.refused(work) == "default/wf: cannot retry a workflow in phase Running"

    def test_where_every_failure_was_handled(self) -> None:
        ran = drive(
            "templates: [{name: main, dag: {target: a rescue, tasks: [{name: a, template: gen}, "
            "{name: rescue, template: leaf, depends: a.Failed}]}}]",
            FAILED,
        )
        assert "each failure was handled by a node that succeeded after it" in self.refused(ran.workflow)
