"""Steps templates: groups one after the other, what they define, and how they fail."""

from __future__ import annotations

import pytest

from tests.engine.graph.running import Ran, run


def test_groups_run_one_after_the_other_and_hang_under_one_another() -> None:
    ran = run(
        "templates: [{name: main, steps: [[{name: a, template: leaf}, {name: b, template: leaf}], "
        "[{name: c, template: leaf}]]}]"
    )
    assert ran.phase == "Succeeded"
    assert ran.children("wf") == ["[0]"]
    assert ran.children("[0]") == ["a", "b"]
    assert ran.children("a") == ["[1]"] == ran.children("b")
    assert ran.children("[1]") == ["c"]
    assert ran["wf"].outbound_nodes == (ran["c"].id,)
    assert ran["c"].boundary_id == ran["wf"].id
    assert ran["[1]"].type == "StepGroup"
    assert ran["[1]"].node_flag == {}
    assert ran["c"].node_flag is None


def test_an_empty_group_and_no_group_at_all() -> None:
    ran = run("templates: [{name: main, steps: [[], [{name: a, template: leaf}], []]}]")
    assert ran.phases == {
        "wf": "Succeeded",
        "[0]": "Succeeded",
        "[1]": "Succeeded",
        "a": "Succeeded",
        "[2]": "Succeeded",
    }
    assert ran.children("[0]") == ["[1]"]
    assert run("templates: [{name: main, steps: []}]").phases == {"wf": "Succeeded"}


def test_the_first_failed_child_fails_the_group_once_all_are_done() -> None:
    ran = run(
        "templates: [{name: main, steps: [[{name: a, template: leaf}, {name: b, template: leaf}, "
        "{name: c, template: leaf}],"
        " [{name: d, template: leaf}]]}]",
        "{'node:b': {phase: Error}, 'node:c': {phase: Failed}}",
    )
    assert ran["[0]"].message == f"child '{ran['b'].id}' failed"
    assert (ran["[0]"].phase, ran["wf"].phase, ran.phase) == ("Failed", "Failed", "Failed")
    assert ran.message == ran["[0]"].message
    assert "d" not in ran.nodes


def test_what_a_step_is_called_may_be_a_parameter_of_the_workflow() -> None:
    ran = run(
        """
        arguments: {parameters: [{name: n, value: a}]}
        templates:
        - name: main
          steps: [[{name: "{{workflow.parameters.n}}", template: gen}], [{name: b, template: echo,
            arguments: {parameters: [{name: text, value: "{{steps.a.outputs.result}}"}]}}]]
        """,
        "{gen: {result: hello}}",
    )
    assert (ran["a"].name, ran.text("b")) == ("wf[0].a", "hello")


def test_a_later_step_reads_what_an_earlier_one_left() -> None:
    ran = run(
        """
        templates:
        - name: main
          steps:
          - - {name: a, template: give}
            - {name: s, template: gen}
          - - name: b
              template: echo
              arguments: {parameters: [{name: text, value: "{{steps.a.outputs.parameters.v}} {{steps.s.outputs.result}}
                {{steps.a.status}} {{steps.s.exitCode}} {{steps.a.id}} {{= steps.a.outputs.parameters.v + '!' }}"}]}
        """,
        "{give: {parameters: {v: 7}}, gen: {result: hello}}",
    )
    assert ran.text("b") == f"7 hello Succeeded 0 {ran['a'].id} 7!"


class TestWhen:
    def test_a_step_whose_condition_is_false_is_skipped(self) -> None:
        ran = run("templates: [{name: main, steps: [[{name: a, template: leaf, when: '1 == 2'}]]}]")
        assert (ran["a"].phase, ran["a"].type) == ("Skipped", "Skipped")
        assert ran["a"].message == "when '1 == 2' evaluated false"
        assert (ran["[0]"].phase, ran.phase) == ("Succeeded", "Succeeded")

    def test_a_condition_that_cannot_be_evaluated_is_an_error_of_the_group(self) -> None:
        ran = run("templates: [{name: main, steps: [[{name: a, template: leaf, when: '1 == ='}]]}]")
        assert ran["[0]"].phase == "Error"
        assert "a" not in ran.nodes
        assert ran.phase == "Failed"

    def test_what_was_skipped_is_empty_with_its_defaults(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps:
              - - {name: a, template: give, when: "false"}
              - - {name: b, template: echo, arguments: {parameters: [{name: text, value: "{{steps.a.status}}"}]}}
                - {name: c, template: echo-default, arguments: {parameters: [{name: text,
                    value: "{{steps.a.outputs.parameters.v}}"}]}}
                - {name: d, template: leaf, when: "{{steps.a.status}} == Skipped"}
            - name: echo-default
              inputs: {parameters: [{name: text, default: none}]}
              container: {image: busybox, args: ["{{inputs.parameters.text}}"]}
            """
        )
        assert ran.text("b") == "Skipped"
        assert ran.text("c") == "none", "as if the argument were not there"
        assert ran["d"].phase == "Succeeded"

    def test_naming_what_was_skipped_and_has_no_default_fails(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps:
              - - {name: a, template: give, when: "false"}
              - - {name: b, template: echo, arguments: {parameters: [{name: text,
                    value: "{{steps.a.outputs.parameters.v}}"}]}}
            """
        )
        assert ran.phase == "Failed"
        assert "argument references an absent optional" in ran.message

    def test_inside_a_longer_text_it_is_an_error_of_the_group(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps:
              - - {name: a, template: give, when: "false"}
              - - {name: b, template: echo, arguments: {parameters: [{name: text,
                    value: "-{{steps.a.outputs.parameters.v}}"}]}}
            """
        )
        assert (ran.phase, ran["[1]"].phase) == ("Failed", "Error")


class TestRaisedErrors:
    """Argo tells a node that is Error from an error in executing its template, which ends the group at once."""

    UNDEFINED = """
        templates:
        - name: main
          steps:
          - - {name: a, template: leaf}
            - {name: b, template: echo, arguments: {parameters: [{name: text, valueFrom: {configMapKeyRef: {name: n,
                key: k}}}]}}
            - {name: c, template: leaf}
        """

    def test_the_group_is_error_and_the_steps_after_it_get_no_node(self) -> None:
        ran = run(self.UNDEFINED)
        assert ran["b"].phase == "Error"
        assert "ConfigMap 'n' does not exist" in ran["b"].message
        assert ran["[0]"].phase == "Error"
        assert ran["[0]"].message.startswith("step group deemed errored due to child wf[0].b error: ")
        assert (ran["wf"].phase, ran.phase) == ("Failed", "Failed")
        assert "c" not in ran.nodes

    def test_what_had_begun_stays_as_it_was(self) -> None:
        ran = run(self.UNDEFINED, "{leaf: {duration: 1h}}")
        assert ran["a"].phase == "Pending"
        assert ran.executor.started == {}

    def test_continue_on_error_does_not_help(self) -> None:
        spec = self.UNDEFINED.replace("name: b, template", "name: b, continueOn: {error: true}, template")
        assert run(spec).phase == "Failed"


class TestContinueOn:
    def test_a_failure_that_is_forgiven(self) -> None:
        spec = (
            "templates: [{name: main, steps: [[{name: a, template: leaf, continueOn: {failed: true}}], "
            "[{name: b, template: leaf}]]}]"
        )
        ran = run(spec, "{'node:a': {phase: Failed}}")
        assert (ran["a"].phase, ran["[0]"].phase, ran["b"].phase, ran.phase) == (
            "Failed",
            "Succeeded",
            "Succeeded",
            "Succeeded",
        )
        assert run(spec, "{'node:a': {phase: Error}}").phase == "Failed"

    def test_an_error_that_is_forgiven(self) -> None:
        spec = "templates: [{name: main, steps: [[{name: a, template: leaf, continueOn: {error: true}}]]}]"
        assert run(spec, "{'node:a': {phase: Error}}").phase == "Succeeded"
        assert run(spec, "{'node:a': {phase: Failed}}").phase == "Failed"


def test_what_no_step_has_left_is_waited_for_for_ever() -> None:
    """An output that a step of the same group is to leave passes Argo's validation, and then nothing happens."""
    ran = run(
        "templates: [{name: main, steps: [[{name: a, template: give}, {name: b, template: echo,"
        " arguments: {parameters: [{name: text, value: '{{steps.a.outputs.parameters.v}}'}]}}]]}]"
    )
    assert ran.phase == "Running"
    assert ran.waiting_for == "wf waits for {{steps.a.outputs.parameters.v}}, which no node has produced"
    assert ran.phases == {"wf": "Running", "[0]": "Running"}


def test_a_thousand_empty_groups_are_no_recursion() -> None:
    assert run(f"templates: [{{name: main, steps: [{'[],' * 3000}]}}]").phase == "Succeeded"


def test_steps_inside_steps_see_only_their_own() -> None:
    ran = run(
        """
        templates:
        - name: main
          steps: [[{name: a, template: inner}], [{name: b, template: echo, arguments: {parameters: [{name: text,
            value: "{{steps.a.outputs.parameters.o}}"}]}}]]
        - name: inner
          steps: [[{name: x, template: give}]]
          outputs: {parameters: [{name: o, valueFrom: {parameter: "{{steps.x.outputs.parameters.v}}"}}]}
        """,
        "{give: {parameters: {v: deep}}}",
    )
    assert ran.text("b") == "deep"
    assert ran.outputs("a") == {"o": "deep"}
    assert ran["x"].boundary_id == ran["a"].id


class TestExpressionsThatFail:
    """Filling in a template that is called is tolerant, filling in a step is not: each fails at its own level."""

    X = "\"{{=fromJSON(inputs.parameters.x)['k']}}\""
    OUTER = (
        "templates: [{name: main, BODY}, INNER, {name: echo, inputs: {parameters: [{name: text}]}, "
        "container: {image: i, args: ['{{inputs.parameters.text}}']}}]"
    )
    CALL = "template: inner, continueOn: {failed: true}, arguments: {parameters: [{name: x, value: nojson}]}"
    BODIES = (f"steps: [[{{name: out, {CALL}}}]]", f"dag: {{tasks: [{{name: out, {CALL}}}]}}")

    def ran(self, body: str, inner: str) -> Ran:
        inner = f"{{name: inner, inputs: {{parameters: [{{name: x}}]}}, {inner}}}"
        return run(self.OUTER.replace("BODY", body).replace("INNER", inner))

    @pytest.mark.parametrize("body", BODIES)
    def test_one_in_a_step_of_what_is_called_fails_that(self, body: str) -> None:
        step = f"name: p, template: echo, arguments: {{parameters: [{{name: text, value: {self.X}}}]}}"
        ran = self.ran(body, f"steps: [[{{{step}}}]]")
        assert (ran["out"].phase, ran.phase) == ("Failed", "Succeeded")
        ran = self.ran(body, f"dag: {{tasks: [{{{step}}}]}}")
        assert (ran["p"].phase, ran["out"].phase) == ("Error", "Error")

    @pytest.mark.parametrize("body", BODIES)
    @pytest.mark.parametrize(
        "inner",
        [
            "container: {image: i, args: [X]}",
            "script: {image: i, source: X}",
            "suspend: {}, metadata: {annotations: {a: X}}",
            "steps: [[{name: p, template: leaf}]], "
            "outputs: {parameters: [{name: o, valueFrom: {parameter: X, default: d}}]}",
        ],
    )
    def test_one_in_what_is_run_stays_as_it_is(self, body: str, inner: str) -> None:
        ends = "steps: [[{name: p" in inner
        ran = self.ran(body, inner.replace("suspend: {}", "suspend: {duration: 1}").replace("X", self.X))
        assert (ran["out"].phase, ran.phase) == ("Succeeded", "Succeeded")
        if ends:
            assert ran.outputs("out") == {"o": "d"}
        elif "suspend" not in inner:
            assert "{{=fromJSON(inputs.parameters.x)['k']}}" in str(ran.executor.started["out"])

    def test_one_in_a_step_itself_ends_its_group(self) -> None:
        call = f"name: out, template: inner, arguments: {{parameters: [{{name: x, value: {self.X}}}]}}"
        body = f"inputs: {{parameters: [{{name: x, value: nojson}}]}}, steps: [[{{{call}}}]]"
        ran = self.ran(body, "container: {image: i}")
        assert (ran["[0]"].phase, ran.phase) == ("Error", "Failed")
