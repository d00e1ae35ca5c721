"""What keeps nodes from running: parallelism, failFast, time limits, recursion."""

from __future__ import annotations

from collections import deque

import msgspec
import pytest

from engine.graph.nodes import MAX_TEXT, NodeStore, TooManyNodes
from engine.substitution.variables import parse_time
from tests.engine.graph.running import START, Ran, run


def seconds(ran: Ran, *names: str) -> list[int]:
    """When nodes began, in seconds since the workflow did."""
    return [int(parse_time(ran[name].started_at or "").timestamp() - START) for name in names]


class TestParallelism:
    LOOP = "templates: [{name: main, FIELDS steps: [[{name: s, template: leaf, withSequence: {count: 5}}]]}]"
    ENDS = "{leaf: {duration: 10s}}"
    NAMES = tuple(f"s({n}:{n})" for n in range(5))

    def test_of_the_workflow(self) -> None:
        ran = run("parallelism: 2\n" + self.LOOP.replace("FIELDS", ""), self.ENDS)
        assert seconds(ran, *self.NAMES) == [0, 0, 10, 10, 20]

    def test_of_a_template(self) -> None:
        ran = run(self.LOOP.replace("FIELDS", "parallelism: 3,"), self.ENDS)
        assert seconds(ran, *self.NAMES) == [0, 0, 0, 10, 10]

    @pytest.mark.parametrize("none", ["0", "-1"])
    def test_none_or_less_of_a_template_is_no_limit(self, none: str) -> None:  # HasParallelism
        ran = run(self.LOOP.replace("FIELDS", f"parallelism: {none},"), self.ENDS)
        assert seconds(ran, *self.NAMES) == [0, 0, 0, 0, 0]

    def test_both(self) -> None:
        ran = run("parallelism: 2\n" + self.LOOP.replace("FIELDS", "parallelism: 1,"), self.ENDS)
        assert seconds(ran, *self.NAMES) == [0, 10, 20, 30, 40]

    def test_steps_and_dags_inside_count_and_those_inside_them_do_not(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, parallelism: 1, steps: [[{name: a, template: inner}, {name: b, template: inner}]]}
            - {name: inner, steps: [[{name: x, template: leaf}, {name: y, template: leaf}]]}
            """,
            self.ENDS,
        )
        assert seconds(ran, "a", "b") == [0, 10]

    def test_of_the_workflow_counts_attempts(self) -> None:
        ran = run(
            "parallelism: 1\ntemplates: [{name: main, steps: [[{name: s, template: r, withSequence: {count: 2}}]]},"
            " {name: r, retryStrategy: {limit: 1}, container: {image: i}}]",
            "{r: [{phase: Failed, duration: 10s}, {duration: 10s}]}",
        )
        assert sorted(seconds(ran, *(name for name in ran.nodes if name.endswith(("(0)", "(1)"))))) == [0, 10, 20, 30]

    def test_workflows_with_it_do_not_hold_each_other_up(self) -> None:
        spec = (
            "parallelism: 1\ntemplates: [{name: main, dag: {tasks: [{name: a, template: leaf}, "
            "{name: b, template: leaf}]}}]"
        )
        assert run(spec, "{'node:a': {phase: Failed}}").phases == {"wf": "Failed", "a": "Failed", "b": "Succeeded"}


class TestFailFast:
    SPEC = (
        "templates: [{name: main, failFast: true, parallelism: 1, steps: [[{name: s, "
        "template: leaf, withItems: [1, 2, 3]}]]}]"
    )
    MESSAGE = "template has failed or errored children and failFast enabled"

    def test_nothing_more_begins_after_a_failure(self) -> None:
        ran = run(self.SPEC, "{'node:s(0:1)': {phase: Failed}}")
        assert (ran.phase, ran.message) == ("Failed", self.MESSAGE)
        assert (ran["[0]"].phase, ran["[0]"].message) == ("Failed", self.MESSAGE)
        assert set(ran.nodes) == {"wf", "[0]", "s(0:1)"}

    def test_what_runs_is_waited_for(self) -> None:
        ran = run(
            (
                "templates: [{name: main, failFast: true, dag: {tasks: [{name: a, template: leaf}, "
                "{name: b, template: gen}, {name: c, template: leaf, depends: b}]}}]"
            ),
            "{leaf: {phase: Failed}, gen: {duration: 1m}}",
        )
        assert (ran["b"].phase, ran.phase, ran.message) == ("Succeeded", "Failed", self.MESSAGE)
        assert "c" not in ran.nodes

    def test_a_failed_attempt_counts(self) -> None:
        ran = run(
            (
                "templates: [{name: main, failFast: true, steps: [[{name: a, template: r}]]}, {name: r, "
                "retryStrategy: {limit: 3}, container: {image: i}}]"
            ),
            "{r: [{phase: Failed}, {}]}",
        )
        assert ran.message == self.MESSAGE
        assert "a(1)" not in ran.nodes

    def test_an_attempt_ends_so_where_something_is_to_begin_and_else_by_what_failed(self) -> None:
        tasks = "{name: a, template: leaf}, {name: b, template: gen}"
        spec = (
            "templates: [{name: main, failFast: true, retryStrategy: {limit: 0}, dag: {failFast: false, tasks: [%s]}}]"
        )
        ends = "{leaf: {phase: Failed}, gen: {duration: 1m}}"
        ran = run(spec % tasks, ends)
        assert (ran["b"].phase, ran["wf(0)"].phase, ran["wf(0)"].message) == ("Succeeded", "Failed", "")
        ran = run(spec % (tasks + ", {name: c, template: leaf, depends: b}"), ends)
        assert (ran["wf(0)"].message, ran["b"].phase, "c" in ran.nodes) == (self.MESSAGE, "Succeeded", False)
        ran = run(self.SPEC.replace("parallelism", "retryStrategy: {limit: 0}, parallelism"), "{leaf: {phase: Failed}}")
        assert (ran["wf(0)"].message, ran["[0]"].phase) == (self.MESSAGE, "Failed")
        spec = (
            "templates: [{name: main, failFast: true, retryStrategy: {limit: 0}, steps: [[{name: a, template: leaf}]]}]"
        )
        ran = run(spec, "{leaf: {phase: Failed}}")
        assert ran["wf(0)"].message == f"child '{ran['a'].id}' failed"

    def test_what_is_inside_others_stays_as_it_is(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, failFast: true, dag: {tasks: [{name: a, template: leaf}, {name: b, template: inner}]}}
            - {name: inner, steps: [[{name: x, template: gen}]]}
            """,
            "{leaf: {phase: Failed, duration: 1s}, gen: {duration: 1m}}",
        )
        assert (ran.phase, ran["b"].phase, ran["x"].phase) == ("Failed", "Running", "Running")
        assert ran.executor.stopped == ["x"]

    def test_steps_inside_that_failed_are_forgiven_where_nothing_comes_after_them(self) -> None:
        ran = run(
            "templates: [{name: main, failFast: true, steps: [[{name: a, template: inner,"
            " continueOn: {failed: true}}]]}, {name: inner, steps: [[{name: x, template: leaf}]]}]",
            "{leaf: {phase: Failed}}",
        )
        assert (ran["a"].phase, ran.phase) == ("Failed", "Succeeded")

    def test_nothing_begins_after_steps_inside_that_failed(self) -> None:
        ran = run(
            "templates: [{name: main, failFast: true, steps: [[{name: a, template: inner, continueOn: {failed: true}}],"
            " [{name: b, template: leaf}]]}, {name: inner, steps: [[{name: x, template: leaf}]]}]",
            "{leaf: {phase: Failed}}",
        )
        assert (ran.phases["[1]"], ran.phase, ran.message) == ("Failed", "Failed", self.MESSAGE)
        assert "b" not in ran.nodes

    def test_a_dag_inside_that_erred_gives_its_phase(self) -> None:
        ran = run(
            "templates: [{name: main, failFast: true, dag: {tasks: [{name: a, template: inner}]}},"
            " {name: inner, dag: {tasks: [{name: x, template: leaf}]}}]",
            "{leaf: {phase: Error}}",
        )
        assert (ran["a"].phase, ran.phase) == ("Error", "Error")

    def test_a_task_that_never_ran_is_no_failure(self) -> None:
        ran = run(
            "templates: [{name: main, failFast: true, dag: {tasks: [{name: a, template: leaf, when: '1 +'},"
            " {name: b, template: leaf}, {name: c, template: leaf, depends: b}]}}]"
        )
        assert (ran["a"].phase, ran["c"].phase, ran.phase) == ("Error", "Succeeded", "Error")


class TestDeadlines:
    def test_of_the_workflow(self) -> None:
        ran = run(
            (
                "activeDeadlineSeconds: 60\nonExit: gen\ntemplates: [{name: main, steps: [[{name: a, "
                "template: leaf}], [{name: b, template: leaf}]]}]"
            ),
            "{leaf: {duration: 40s}, gen: {duration: 1h}}",
        )
        assert (ran["a"].phase, ran["b"].phase, ran["b"].message) == (
            "Succeeded",
            "Failed",
            "Step exceeded its deadline",
        )
        assert ran["wf.onExit"].phase == "Succeeded", "exit handlers have no deadline"
        assert ran.phase == "Failed"
        assert ran.executor.stopped == ["b"]

    def test_of_the_workflow_ends_suspends_and_retries(self) -> None:
        ran = run("activeDeadlineSeconds: 60\ntemplates: [{name: main, suspend: {}}]")
        assert (ran.phase, ran.message) == ("Failed", "Step exceeded its deadline")
        ran = run(
            (
                "activeDeadlineSeconds: 60\ntemplates: [{name: main, retryStrategy: {limit: 9, "
                "backoff: {duration: 1h}}, container: {image: i}}]"
            ),
            "{main: {phase: Failed}}",
        )
        assert ran.message == "retry exceeded workflow deadline 2023-11-14 22:14:20 +0000 UTC"

    @pytest.mark.parametrize(
        ("limit", "message"),
        [
            ("timeout: 60s", "Pod was active on the node longer than the specified deadline"),
            ("activeDeadlineSeconds: 60", "Pod was active on the node longer than the specified deadline"),
            (
                "activeDeadlineSeconds: '{{inputs.parameters.n}}'",
                "Pod was active on the node longer than the specified deadline",
            ),
        ],
    )
    def test_of_a_template(self, limit: str, message: str) -> None:
        spec = (
            f"templates: [{{name: main, inputs: {{parameters: [{{name: n, value: 60}}]}}, {limit}, "
            f"container: {{image: i}}}}]"
        )
        assert run(spec, "{main: {duration: 59s}}").phase == "Succeeded"
        ran = run(spec, "{main: {duration: 61s}}")
        assert (ran.phase, ran.message) == ("Failed", message)
        assert ran.executor.stopped == ["wf"]

    def test_every_attempt_has_its_own(self) -> None:
        ran = run(
            "templates: [{name: main, timeout: 60s, retryStrategy: {limit: 1}, container: {image: i}}]",
            "{main: [{duration: 61s}, {duration: 59s}]}",
        )
        assert (ran["wf(0)"].phase, ran["wf(1)"].phase) == ("Failed", "Succeeded")

    def test_no_pod_is_made_for_a_timeout_that_is_all_but_over(self) -> None:
        ran = run("templates: [{name: main, timeout: 2s, container: {image: i}}]")
        assert (ran["wf"].phase, ran["wf"].message) == ("Error", "wf exceeded its deadline")
        assert ran.executor.started == {}
        assert run("templates: [{name: main, timeout: 3s, container: {image: i}}]").phase == "Succeeded"

    def test_what_has_no_pod_of_its_own_times_out_as_if_it_waited(self) -> None:
        spec = (
            "templates: [{name: main, steps: [[{name: a, template: get}]]}, {name: get, timeout: 5s, http: {url: x}}]"
        )
        ran = run(spec, "{get: {duration: 1m}}")
        assert (ran["a"].phase, ran["a"].message, ran["[0]"].message) == ("Failed", "timeout", "timeout")
        assert ran.executor.stopped == ["a"]

    @pytest.mark.parametrize(
        ("limit", "body"),
        [
            ("timeout: 5s", "suspend: {duration: 1m}"),
            ("activeDeadlineSeconds: 5", "suspend: {duration: 1m}"),
            ("activeDeadlineSeconds: 5", "http: {url: x}"),
        ],
    )
    def test_a_suspend_has_none_and_only_a_pod_has_an_active_deadline(self, limit: str, body: str) -> None:
        ran = run(
            f"templateDefaults: {{{limit}}}\ntemplates: [{{name: main, {body}}}]",
            "{main: {duration: 1m}}" if "http" in body else "",
        )
        assert (ran.phase, ran["wf"].finished_at) == ("Succeeded", "2023-11-14T22:14:20Z")

    def test_what_is_no_duration_is_an_error(self) -> None:
        ran = run("templates: [{name: main, timeout: '{{workflow.name}}', container: {image: i}}]")
        assert ran.phase == "Error"


def test_templates_that_call_each_other_for_ever_end_somewhere() -> None:
    ran = run("templates: [{name: main, steps: [[{name: again, template: main}]]}]")
    assert (ran.phase, len([n for n in ran.workflow.nodes.values() if n.type == "Steps"])) == ("Failed", 99)
    deepest = max(ran.workflow.nodes.values(), key=lambda node: len(node.name))
    assert deepest.phase == "Error"
    assert deepest.message.startswith("Maximum recursion depth exceeded")


def test_recursion_that_ends_by_itself() -> None:
    ran = run(
        """
        templates:
        - {name: main, steps: [[{name: count, template: down, arguments: {parameters: [{name: n, value: 5}]}}]]}
        - name: down
          inputs: {parameters: [{name: n}]}
          steps:
          - - {name: again, template: down, when: "{{inputs.parameters.n}} > 0",
               arguments: {parameters: [{name: n, value: "{{=asInt(inputs.parameters.n) - 1}}"}]}}
        """
    )
    assert ran.phase == "Succeeded"
    assert len([n for n in ran.workflow.nodes.values() if n.type == "Steps"]) == 7


def doubling(where: str, last: int) -> str:
    """Parameters p0 to `last`, each twice the one before it; ``where`` they are variables of."""
    tag = f"{{{{{where}.parameters.p%d}}}}"
    given = ["{name: p0, value: x}", *(f"{{name: p{n}, value: '{(tag % (n - 1)) * 2}'}}" for n in range(1, last + 1))]
    return f"{{parameters: [{', '.join(given)}]}}"


def test_parameters_that_double_are_an_error_of_the_manifest() -> None:
    ran = run(f"arguments: {doubling('workflow', 28)}\ntemplates: [{{name: main, container: {{image: i}}}}]")
    assert ran.phase == "Failed"
    assert ran.message == (
        "failed to set global parameters: parameter p25: what the tags stand for has more than 16 MiB in all"
    )


def test_arguments_that_double_from_call_to_call_are_an_error_of_the_call() -> None:
    twice = "{{inputs.parameters.x}}" * 2
    called = "".join(
        f"- {{name: t{n}, inputs: {{parameters: [{{name: x}}]}}, steps: [[{{name: s, template: t{n + 1}, "
        f"arguments: {{parameters: [{{name: x, value: '{twice}'}}]}}}}]]}}\n"
        for n in range(28)
    )
    ran = run(
        f"entrypoint: t0\narguments: {{parameters: [{{name: x, value: x}}]}}\ntemplates:\n{called}"
        "- {name: t28, inputs: {parameters: [{name: x}]}, container: {image: i}}"
    )
    assert ran.phase == "Failed"
    assert "what the tags stand for has more than 16 MiB in all" in {node.message for node in ran.nodes.values()}


def test_a_leaf_that_would_be_too_large_is_an_error_and_is_never_started() -> None:
    often = "{{inputs.parameters.x}}" * 17
    ran = run(
        "templates:\n- {name: main, steps: [[{name: a, template: give}], [{name: b, template: large, "
        'arguments: {parameters: [{name: x, value: "{{steps.a.outputs.parameters.v}}"}]}}]]}\n'
        f"- {{name: large, inputs: {{parameters: [{{name: x}}]}}, container: {{image: i, args: ['{often}']}}}}",
        f"give: {{parameters: {{v: {'x' * (1 << 20)}}}}}",
    )
    assert (ran.phase, [*ran.executor.started]) == ("Failed", ["a"])
    assert (ran["b"].phase, ran["b"].message) == ("Error", "what the tags stand for has more than 16 MiB in all")


class TestNodes:
    """However templates call each other, the workflow has an end."""

    MESSAGE = "the workflow would have more than 5000 nodes"

    @pytest.mark.parametrize(
        "calls",
        [
            "[[{name: a, template: main}, {name: b, template: main}]]",
            "[[{name: a, template: leaf, onExit: main}, {name: b, template: leaf, onExit: main}]]",
            "[[{name: a, template: leaf, hooks: {x: {expression: 'true', template: main},"
            " y: {expression: 'true', template: main}}}]]",
            "[[{name: a, template: main, withSequence: {count: 50}}]]",
        ],
        ids=["calls", "exit handlers", "hooks", "loops"],
    )
    def test_what_calls_itself_twice_is_an_error_of_the_workflow(self, calls: str) -> None:
        ran = run(f"templates: [{{name: main, steps: {calls}}}]", max_nodes=5000)
        assert (ran.phase, ran.message) == ("Error", self.MESSAGE)

    def test_exit_handlers_of_the_workflow_count_too(self) -> None:
        twice = "[[{name: a, template: main}, {name: b, template: main}]]"
        ran = run(f"entrypoint: leaf\nonExit: main\ntemplates: [{{name: main, steps: {twice}}}]", max_nodes=5000)
        assert (ran.phase, ran.message) == ("Error", self.MESSAGE)

    def test_as_many_as_may_be_are_fine(self) -> None:
        spec = "templates: [{name: main, steps: [[{name: s, template: leaf, withSequence: {count: 98}}]]}]"
        assert run(spec, max_nodes=100).phase == "Succeeded"
        assert run(spec, max_nodes=99).phase == "Failed"

    @pytest.mark.parametrize("where", ["steps: [[{}]]", "dag: {{tasks: [{}]}}"])
    def test_a_loop_for_which_there_is_no_room_is_refused_before_it_begins(self, where: str) -> None:
        for items in ("withParam: '[1, 2, 3, 4, 5, 6, 7, 8, 9]'", "withItems: [1, 2, 3, 4, 5, 6, 7, 8, 9]"):
            loop = where.format(f"{{name: s, template: leaf, {items}}}")
            ran = run(f"templates: [{{name: main, {loop}}}]", max_nodes=9)
            assert ran.phase == "Failed" if "steps" in where else "Error"
            said = [node.message for node in ran.workflow.nodes.values() if "has room for" in node.message]
            assert said
            assert "expands to 9 items, and the workflow has room for" in said[0]

    def test_what_is_there_already_needs_no_room(self) -> None:
        store = NodeStore("wf", {}, limit=3)
        for name in "abc":
            store.create(name, "Pod", "Pending", None)
        with pytest.raises(TooManyNodes):
            store.create("d", "Pod", "Pending", None)
        store.commit()
        again = NodeStore("wf", store.nodes, limit=3)
        assert again.room == 3
        again.adopt("a")
        assert again.room == 2

    def test_names_and_inputs_have_a_bound_in_all(self) -> None:
        store = NodeStore("wf", {})
        quarter = msgspec.Raw(b"x" * (MAX_TEXT // 4 - 1))
        for name in "abcd":
            store.create(name, "Pod", "Pending", None, inputs=quarter)
        with pytest.raises(TooManyNodes, match="more than 512 MiB"):
            store.create("e", "Pod", "Pending", None)
        deque(store.rollback(), maxlen=0)
        store.create("e", "Pod", "Pending", None)
