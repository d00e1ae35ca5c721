"""DAG templates: what tasks depend on, what the DAG comes to, and how its nodes hang together."""

from __future__ import annotations

import pytest

from tests.engine.graph.running import run


def dag(*tasks: str, fields: str = "") -> str:
    return f"templates: [{{name: main, dag: {{{fields} tasks: [{', '.join('{' + task + '}' for task in tasks)}]}}}}]"


def test_tasks_run_when_what_they_depend_on_is_done() -> None:
    ran = run(
        dag(
            "name: a, template: leaf",
            "name: b, template: leaf, dependencies: [a]",
            "name: c, template: leaf, dependencies: [a]",
            "name: d, template: leaf, dependencies: [b, c]",
        )
    )
    assert set(ran.phases.values()) == {"Succeeded"}
    assert ran.children("wf") == ["a"]
    assert ran.children("a") == ["b", "c"]
    assert ran.children("b") == ["d"] == ran.children("c")
    assert ran["wf"].outbound_nodes == (ran["d"].id,)


@pytest.mark.parametrize(
    ("second", "phase"),
    [
        ("name: b, template: leaf, depends: '{{workflow.parameters.a}}'", "Succeeded"),
        ("name: b, template: leaf, depends: '{{workflow.parameters.a}}.Failed'", "Omitted"),
        ("name: b, template: leaf, dependencies: ['{{workflow.parameters.a}}']", "Succeeded"),
        ("name: '{{workflow.parameters.b}}', template: leaf, depends: a", "Succeeded"),
    ],
)
def test_what_tasks_are_called_and_depend_on_may_be_the_workflows_parameters(second: str, phase: str) -> None:
    arguments = "arguments: {parameters: [{name: a, value: a}, {name: b, value: b}]}\n"
    ran = run(arguments + dag("name: a, template: leaf", second), "{leaf: {duration: 1s}}")
    assert (ran["b"].phase, ran.executor.begun.get("b", 1), ran.phase) == (phase, 1, "Succeeded")
    assert ran.children("a") == ["b"]


class TestDepends:
    @pytest.mark.parametrize(
        ("depends", "phase", "runs"),
        [
            ("a", "Succeeded", True),
            ("a", "Failed", False),
            ("a", "Skipped", True),
            ("a.Succeeded", "Skipped", False),
            ("a.Failed", "Failed", True),
            ("a.Errored", "Failed", False),
            ("a.Errored", "Error", True),
            ("!a.Succeeded", "Failed", True),
            ("a.Failed || a.Succeeded", "Failed", True),
            ("a.Skipped", "Skipped", True),
        ],
    )
    def test_results(self, depends: str, phase: str, runs: bool) -> None:
        when = ", when: 'false'" if phase == "Skipped" else ""
        ran = run(
            dag(f"name: a, template: gen{when}", f"name: b, template: leaf, depends: '{depends}'"),
            f"{{gen: {{phase: {phase if phase != 'Skipped' else 'Succeeded'}}}}}",
        )
        assert ran["b"].phase == ("Succeeded" if runs else "Omitted")

    def test_an_omitted_task_omits_those_after_it(self) -> None:
        ran = run(
            dag(
                "name: a, template: leaf",
                "name: b, template: leaf, depends: a.Failed",
                "name: c, template: leaf, depends: b",
            ),
        )
        assert ran.phases == {"wf": "Succeeded", "a": "Succeeded", "b": "Omitted", "c": "Omitted"}
        assert ran["b"].message == "omitted: depends condition not met"

    def test_loops(self) -> None:
        tasks = (
            "name: a, template: leaf, withItems: [1, 2]",
            "name: some, template: leaf, depends: a.AnySucceeded",
            "name: none, template: leaf, depends: a.AllFailed",
        )
        ran = run(dag(*tasks), "{'node:a(0:1)': {phase: Failed}}")
        assert (ran["some"].phase, ran["none"].phase) == ("Succeeded", "Omitted")
        ran = run(dag(*tasks), "{'node:a(0:1)': {phase: Failed}, 'node:a(1:2)': {phase: Failed}}")
        assert (ran["some"].phase, ran["none"].phase) == ("Omitted", "Succeeded")

    def test_a_broken_one_is_an_error_of_the_task_when_it_is_its_turn(self) -> None:
        ran = run(dag("name: a, template: leaf", "name: b, template: leaf, depends: 'a &&'"))
        assert (ran["a"].phase, ran["b"].phase, ran.phase) == ("Succeeded", "Error", "Error")


class TestThePhase:
    def test_a_failure_that_somebody_handles_is_none(self) -> None:
        ran = run(
            dag("name: a, template: leaf", "name: b, template: gen, depends: a.Failed"), "{leaf: {phase: Failed}}"
        )
        assert (ran["b"].phase, ran.phase) == ("Succeeded", "Succeeded")

    def test_where_the_last_task_did_not_run_those_before_it_count(self) -> None:
        ran = run(dag("name: a, template: leaf", "name: b, template: gen, depends: a"), "{leaf: {phase: Failed}}")
        assert (ran["b"].phase, ran.phase) == ("Omitted", "Failed")
        ran = run(dag("name: a, template: leaf", "name: b, template: gen, depends: a"), "{leaf: {phase: Error}}")
        assert ran.phase == "Error"

    @pytest.mark.parametrize(
        ("build", "phase"),
        [
            (  # a group that cannot begin has no children, and nothing hangs under it
                "steps: [[{name: look, template: gen}], "
                "[{name: paint, template: leaf, when: '{{steps.look.outputs.result}} == red'}]]",
                "Failed",
            ),
            ("steps: [[{name: paint, template: leaf, when: ' == red'}]]", "Failed"),
            (
                "steps: [[{name: look, template: gen}], "
                "[{name: paint, template: leaf, withParam: '{{steps.look.outputs.result}}x'}]]",
                "Failed",
            ),
            (
                "dag: {tasks: [{name: look, template: gen}, {name: paint, template: leaf, depends: look, "
                "when: '{{tasks.look.outputs.result}} == red'}]}",
                "Error",
            ),
            (
                "dag: {tasks: [{name: look, template: gen}]}, "
                "outputs: {parameters: [{name: o, valueFrom: {expression: 'fromJSON(tasks.look.outputs.result).x'}}]}",
                "Error",
            ),
            (
                "steps: [[{name: look, template: gen}]], "
                "outputs: {parameters: [{name: o, valueFrom: {expression: 'fromJSON(steps.look.outputs.result).x'}}]}",
                "Error",
            ),
        ],
    )
    @pytest.mark.parametrize("between", [False, True])
    def test_what_was_never_connected_to_a_failure_does_not_succeed(
        self, build: str, phase: str, between: bool
    ) -> None:
        tasks = ["name: build, template: build", "name: ship, template: leaf, depends: build"]
        if between:
            tasks += ["name: sail, template: leaf, depends: ship"]
        ran = run(dag(*tasks).removesuffix("]") + f", {{name: build, {build}}}]", "{gen: {result: ''}}")
        assert (ran["build"].phase, ran["ship"].phase, ran.phase) == (phase, "Omitted", phase)

    def test_an_error_counts_as_the_last_one_of_its_branch(self) -> None:
        tasks = ("name: build, template: build", "name: ship, template: gen, depends: build")
        build = "{name: build, steps: [[{name: look, template: leaf}]]}"
        ran = run(dag(*tasks).removesuffix("]") + f", {build}]", "{leaf: {phase: Error}}")
        assert (ran["build"].phase, ran.phase) == ("Failed", "Error")

    def test_an_errored_task_makes_the_dag_error(self) -> None:
        assert run(dag("name: a, template: leaf"), "{leaf: {phase: Error}}").phase == "Error"

    def test_continue_on(self) -> None:
        ran = run(
            dag("name: a, template: leaf, continueOn: {failed: true}", "name: b, template: gen, dependencies: [a]"),
            "{leaf: {phase: Failed}}",
        )
        assert (ran["b"].phase, ran.phase) == ("Succeeded", "Succeeded")

    def test_fail_fast_decides_which_of_two_failures_counts(self) -> None:
        tasks = ("name: a, template: leaf", "name: b, template: gen")
        ends = "{leaf: {phase: Failed}, gen: {phase: Error}}"
        assert run(dag(*tasks), ends).phase == "Failed"
        assert run(dag(*tasks, fields="failFast: false,"), ends).phase == "Error"

    def test_tasks_beside_a_failed_one_run_to_their_end(self) -> None:
        ran = run(
            dag("name: a, template: leaf", "name: b, template: gen", "name: c, template: gen, depends: b"),
            "{leaf: {phase: Failed}, gen: {duration: 1m}}",
        )
        assert ran["c"].phase == "Succeeded"
        assert ran.phase == "Failed"


class TestTarget:
    def test_only_what_the_targets_need_runs(self) -> None:
        ran = run(
            dag(
                "name: a, template: leaf",
                "name: b, template: leaf, depends: a",
                "name: c, template: leaf",
                fields="target: b,",
            )
        )
        assert ran.phases == {"wf": "Succeeded", "a": "Succeeded", "b": "Succeeded"}

    def test_it_may_be_a_parameter(self) -> None:
        spec = """
            arguments: {parameters: [{name: target, value: a c}]}
            templates:
            - name: main
              dag:
                target: "{{workflow.parameters.target}}"
                tasks: [{name: a, template: leaf}, {name: b, template: leaf}, {name: c, template: leaf}]
            """
        assert set(run(spec).phases) == {"wf", "a", "c"}
        ran = run(spec.replace("value: a c", "value: a d"))
        assert ran.message == "invalid spec: templates.main.targets: target 'd' is not defined"


def test_a_task_reads_what_its_ancestors_left() -> None:
    ran = run(
        """
        templates:
        - name: main
          dag:
            tasks:
            - {name: a, template: give}
            - {name: b, template: leaf, depends: a}
            - name: c
              depends: b
              template: echo
              arguments: {parameters: [{name: text,
                value: "{{=tasks.a.outputs.parameters.v}} {{tasks.a.status}} {{tasks['b'].status}}"}]}
          outputs: {parameters: [{name: o, valueFrom: {parameter: "{{tasks.a.outputs.parameters.v}}"}}]}
        """,
        "{give: {parameters: {v: 1}}}",
    )
    assert ran.text("c").startswith("1 Succeeded ")
    assert ran.outputs("wf") == {"o": "1"}


def test_a_task_that_cannot_be_called_is_error_and_omits_those_after_it() -> None:
    ran = run(
        dag(
            (
                "name: a, template: echo, arguments: {parameters: [{name: text, "
                "valueFrom: {configMapKeyRef: {name: n, key: k}}}]}"
            ),
            "name: b, template: leaf, depends: a",
            "name: c, template: leaf",
        )
    )
    assert ran["a"].phase == "Error"
    assert ran["a"].message.startswith("task 'wf.a' errored: ")
    assert (ran["b"].phase, ran["c"].phase, ran.phase) == ("Omitted", "Succeeded", "Error")


def test_a_task_whose_condition_is_false_is_skipped() -> None:
    ran = run(dag("name: a, template: leaf, when: 'false'", "name: b, template: leaf, depends: a"))
    assert (ran["a"].phase, ran["b"].phase, ran.phase) == ("Skipped", "Succeeded", "Succeeded")


def test_a_dag_inside_a_dag() -> None:
    ran = run(
        """
        templates:
        - {name: main, dag: {tasks: [{name: a, template: inner}, {name: b, template: leaf, depends: a}]}}
        - {name: inner, dag: {tasks: [{name: x, template: leaf}, {name: y, template: leaf, depends: x}]}}
        """
    )
    assert ran.children("y") == ["b"], "b comes after what the inner one ends with"
    assert ran["a"].outbound_nodes == (ran["y"].id,)


def test_what_a_task_depends_on_may_be_as_much_as_is_written() -> None:
    names = [f"t{number:0100}" for number in range(1000)]
    last = f"name: last, template: leaf, dependencies: [{', '.join(names)}]"
    ran = run(dag(*(f"name: {name}, template: leaf" for name in names), last))
    assert (ran["last"].phase, ran.phase) == ("Succeeded", "Succeeded")


def test_ten_thousand_in_a_row() -> None:
    chain = [f"name: t{n}, template: leaf" + (f", depends: t{n - 1}" if n else "") for n in range(2000)]
    assert run(dag(*chain)).phase == "Succeeded"
