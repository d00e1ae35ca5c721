"""Outputs of steps and DAGs, global outputs, and artifacts on their way."""

from __future__ import annotations

import pytest

from tests.engine.graph.running import Ran, run

ONE = """
    templates:
    - name: main
      steps: [[{name: a, template: give WHEN}], [{name: s, template: gen}]]
      outputs: {parameters: [{name: o, valueFrom: {SOURCE}}]}
    """


class TestParameters:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("parameter: '{{steps.a.outputs.parameters.v}}'", "7"),
            ("parameter: '{{steps.s.outputs.result}}'", "r"),
            ('expression: "asInt(steps.a.outputs.parameters.v) + 1"', "8"),
            ("expression: \"steps['a'].outputs.parameters.v == '7'\"", "true"),
            ("expression: \"{'k': [1, 2.5]}\"", "map[k:[1 2.5]]"),
            ("parameter: '{{steps.s.outputs.result}}', default: d", "r"),
        ],
    )
    def test_where_they_come_from(self, source: str, value: str) -> None:
        ran = run(ONE.replace("SOURCE", source).replace("WHEN", ""), "{give: {parameters: {v: 7}}, gen: {result: r}}")
        assert ran.outputs("wf") == {"o": value}
        assert ran["wf"].outputs == {"parameters": [{"name": "o", "value": value}]}

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("parameter: '{{workflow.name}}'", 'Unable to resolve: "wf"'),
            ("parameter: '{{inputs.parameters.x}}'", 'Unable to resolve: "X"'),
            ("parameter: workflow.name", 'Unable to resolve: "workflow.name"'),
            ("parameter: '{{=steps.s.outputs.result}}'", 'Unable to resolve: "=steps.s.outputs.result"'),
            ("parameter: '{{steps.s.outputs.result}}!'", 'Unable to resolve: "steps.s.outputs.result}}!"'),
            ("expression: workflow.name", "unknown name workflow (1:1)"),
        ],
    )
    def test_what_stands_in_no_scope_of_outputs(self, source: str, reason: str) -> None:  # scope.go
        spec = ONE.replace("WHEN", "").replace(
            "outputs:", "inputs: {parameters: [{name: x, value: X}]}\n      outputs:"
        )
        ran = run(spec.replace("SOURCE", source))
        assert (ran["wf"].phase, ran["wf"].message) == ("Error", reason)
        assert run(spec.replace("SOURCE", f"{source}, default: d")).outputs("wf") == {"o": "d"}

    @pytest.mark.parametrize(
        "source",
        [
            "parameter: '{{steps.s.outputs.{{inputs.parameters.x}}}}'",
            "parameter: 'steps.s.outputs.result'",
            "parameter: 'inputs.parameters.y'",
            "expression: \"inputs.parameters.x == 'result' ? inputs.parameters.y : '{{workflow.name}}'\"",
            "expression: \"'{{inputs.parameters.y}}'\"",
        ],
    )
    def test_inputs_may_be_part_of_it(self, source: str) -> None:
        inputs = "inputs: {parameters: [{name: x, value: result}, {name: y, value: r}]}\n      outputs:"
        ran = run(ONE.replace("WHEN", "").replace("outputs:", inputs).replace("SOURCE", source), "{gen: {result: r}}")
        assert ran.outputs("wf") == {"o": "r"}

    def test_the_default_counts_where_there_is_nothing(self) -> None:
        source = "parameter: '{{steps.a.outputs.parameters.v}}', default: '{{workflow.name}}'"
        ran = run(ONE.replace("SOURCE", source).replace("WHEN", ", when: 'false'"))
        assert ran.outputs("wf") == {"o": "wf"}
        source = "expression: 'nothing.at.all', default: d"
        assert run(ONE.replace("SOURCE", source).replace("WHEN", "")).outputs("wf") == {"o": "d"}

    def test_what_was_skipped_is_empty(self) -> None:
        ran = run(
            ONE.replace("SOURCE", "parameter: '{{steps.a.outputs.parameters.v}}'").replace("WHEN", ", when: 'false'")
        )
        assert ran.outputs("wf") == {"o": ""}

    def test_a_tag_may_complete_the_name_of_a_task(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              inputs: {parameters: [{name: w, value: a}]}
              dag:
                tasks:
                - {name: a, template: give}
                - {name: b, template: echo, depends: a, arguments: {parameters: [{name: text,
                    value: "{{tasks.{{inputs.parameters.w}}.outputs.parameters.v}}"}]}}
              outputs:
                parameters:
                - {name: o, valueFrom: {parameter: "{{tasks.{{inputs.parameters.w}}.outputs.parameters.v}}"}}
                - {name: p, valueFrom: {expression: "tasks['{{inputs.parameters.w}}'].outputs.parameters.v"}}
            """,
            "{give: {parameters: {v: 7}}}",
        )
        assert (ran.text("b"), ran.outputs("wf")) == ("7", {"o": "7", "p": "7"})

    def test_without_one_the_template_is_an_error(self) -> None:
        ran = run(ONE.replace("SOURCE", "expression: 'nothing.at.all'").replace("WHEN", ""))
        assert (ran["wf"].phase, ran.phase) == ("Error", "Error")

    def test_a_value_that_stands_there_is_no_output_of_steps(self) -> None:
        spec = (
            "templates: [{name: main, steps: [[{name: a, template: leaf}]], "
            "outputs: {parameters: [{name: o, value: x}]}}]"
        )
        assert run(spec)["wf"].message == "output parameters must have a valueFrom specified"

    def test_a_failed_dag_has_none(self) -> None:
        spec = (
            "templates: [{name: main, dag: {tasks: [{name: a, template: give}]}, "
            "outputs: {parameters: [{name: o, "
            "valueFrom: {parameter: '{{tasks.a.outputs.parameters.v}}'}}]}}]"
        )
        assert run(spec, "{give: {phase: Failed}}")["wf"].outputs is None


class TestGlobal:
    def test_a_parameter_of_a_leaf_is_the_workflows(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps: [[{name: a, template: g}], [{name: b, template: echo, arguments: {parameters: [{name: text,
                value: "{{workflow.outputs.parameters.shared}}"}]}}]]
            - name: g
              container: {image: i}
              outputs: {parameters: [{name: v, globalName: shared, valueFrom: {path: /v}}]}
            """,
            "{g: {parameters: {v: 7}}}",
        )
        assert ran.text("b") == "7"
        assert ran.status["outputs"] == {"parameters": [{"name": "shared", "value": "7"}]}

    def test_the_last_word_counts_and_names_may_be_made_of_inputs(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: g, arguments: {parameters: [{name: n, value: x}]}}],
                [{name: b, template: g, arguments: {parameters: [{name: n, value: y}]}}],
                [{name: c, template: g, arguments: {parameters: [{name: n, value: x}]}}]]}
            - name: g
              inputs: {parameters: [{name: n}]}
              container: {image: i}
              outputs: {parameters: [{name: v, globalName: "g-{{inputs.parameters.n}}", valueFrom: {path: /v}}]}
            """,
            "{'node:a': {parameters: {v: 1}}, 'node:b': {parameters: {v: 2}}, 'node:c': {parameters: {v: 3}}}",
        )
        assert ran.status["outputs"] == {"parameters": [{"name": "g-x", "value": "3"}, {"name": "g-y", "value": "2"}]}

    def test_artifacts_and_outputs_of_steps(self) -> None:
        ran = run(
            """
            onExit: show
            templates:
            - {name: main, steps: [[{name: inner, template: inner}]]}
            - name: inner
              steps: [[{name: a, template: file}]]
              outputs: {artifacts: [{name: o, globalName: result, from: "{{steps.a.outputs.artifacts.a}}"}]}
            - name: show
              steps:
              - - {name: r, template: read, arguments: {artifacts: [{name: a,
                    from: "{{workflow.outputs.artifacts.result}}"}]}}
            """
        )
        key = ran.artifacts("a")["a"]["s3"]["key"]
        assert ran.status["outputs"] == {"artifacts": [{"name": "result", "s3": {"key": key}}]}
        assert ran.artifacts("r", "inputs")["a"]["s3"]["key"] == key

    def test_outputs_of_a_dag_are_published_by_the_one_around_it_and_in_the_order_of_its_tasks(self) -> None:
        inner = (
            "- name: inner\n  dag: {tasks: [{name: g, template: give}]}\n  outputs: {parameters: "
            "[{name: o, globalName: og, valueFrom: {parameter: '{{tasks.g.outputs.parameters.v}}'}}]}"
        )
        ends = "{give: {parameters: {v: x}}}"
        ran = run(f"entrypoint: inner\ntemplates:\n{inner}", ends)
        assert "outputs" not in ran.status
        ran = run(f"templates:\n- {{name: main, dag: {{tasks: [{{name: d, template: inner}}]}}}}\n{inner}", ends)
        assert ran.status["outputs"]["parameters"] == [{"name": "og", "value": "x"}]
        ran = run(
            """
            templates:
            - {name: main, dag: {tasks: [{name: late, template: g, depends: soon}, {name: soon, template: g}]}}
            - name: g
              container: {image: i}
              outputs: {parameters: [{name: v, globalName: same, valueFrom: {path: /v}}]}
            """,
            "{'node:late': {parameters: {v: late}}, 'node:soon': {parameters: {v: soon}}}",
        )
        assert ran.status["outputs"]["parameters"] == [{"name": "same", "value": "soon"}]


class TestArtifacts:
    SPEC = """
        templates:
        - name: main
          dag:
            tasks:
            - {name: a, template: file WHEN}
            - {name: b, template: TEMPLATE, depends: a || a.Skipped, arguments: {artifacts: [{name: a, ARGUMENT}]}}
        """

    def ran(self, argument: str, when: str = "", template: str = "read") -> Ran:
        return run(self.SPEC.replace("ARGUMENT", argument).replace("WHEN", when).replace("TEMPLATE", template))

    def test_they_are_passed_on_by_where_they_lie(self) -> None:
        ran = self.ran("from: '{{tasks.a.outputs.artifacts.a}}'")
        assert ran.artifacts("b", "inputs")["a"] == {"name": "a", "path": "/a", "s3": ran.artifacts("a")["a"]["s3"]}

    def test_with_a_part_of_it(self) -> None:
        ran = self.ran("from: '{{tasks.a.outputs.artifacts.a}}', subPath: some/where")
        assert ran.artifacts("b", "inputs")["a"]["subPath"] == "some/where"

    def test_one_that_was_never_made(self) -> None:
        ran = self.ran("from: '{{tasks.a.outputs.artifacts.a}}'", ", when: 'false'")
        assert (ran["b"].phase, ran.phase) == ("Error", "Error")
        ran = self.ran("from: '{{tasks.a.outputs.artifacts.a}}', optional: true", ", when: 'false'", "maybe-read")
        assert ran.phase == "Succeeded"

    def test_an_expression_chooses(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps: [[{name: a, template: file, when: "false"}, {name: b, template: file}], [{name: r,
                template: read, arguments: {artifacts: [{name: a, raw: {data: x}}]}}]]
              outputs: {artifacts: [{name: o,
                fromExpression: "steps['a'].status == 'Succeeded' ? steps['a'].outputs.artifacts.a :
                  steps['b'].outputs.artifacts.a"}]}
            """
        )
        assert ran.artifacts("wf")["o"]["s3"] == ran.artifacts("b")["a"]["s3"]
        assert ran.artifacts("r", "inputs")["a"]["raw"] == {"data": "x"}

    def test_an_expression_in_from_makes_up_a_name_and_chooses_no_artifact(self) -> None:  # Argo's ResolveVar
        ran = self.ran("from: \"{{='tasks.' + 'a' + '.outputs.artifacts.a'}}\"")
        assert ran.artifacts("b", "inputs")["a"]["s3"] == ran.artifacts("a")["a"]["s3"]
        ran = self.ran("from: '{{=tasks.a.outputs.artifacts.a}}'")
        assert (ran.phase, ran["b"].phase) == ("Error", "Error")
        assert ran["b"].message == 'unable to resolve references: Unable to compile: "tasks.a.outputs.artifacts.a"'

    @pytest.mark.parametrize(
        ("source", "phase"),
        [
            ("from: '{{tasks.a.outputs.artifacts.a}}'", "Succeeded"),
            ("fromExpression: tasks.a.outputs.artifacts.b", "Error"),
            ("fromExpression: tasks.nobody.outputs", "Error"),
        ],
    )
    def test_an_optional_output_may_be_absent_and_not_wrong(self, source: str, phase: str) -> None:
        ran = run(
            "templates: [{name: main, dag: {tasks: [{name: a, template: file, when: 'false'}]},"
            f" outputs: {{artifacts: [{{name: o, optional: true, {source}}}]}}}}]"
        )
        assert ran.phase == phase

    @pytest.mark.parametrize("kind", ["steps", "tasks"])
    @pytest.mark.parametrize(
        "source",
        [
            """fromExpression: "'{{inputs.parameters.w}}' == 'b' ? K.b.outputs.artifacts.a : K.a.outputs\"""",
            "from: '{{K.{{inputs.parameters.w}}.outputs.artifacts.a}}'",
            "from: '{{inputs.parameters.r}}'",
            "from: K.b.outputs.artifacts.a",
        ],
    )
    def test_of_steps_and_dags_are_filled_in_before_they_are_looked_up(self, kind: str, source: str) -> None:
        source = source.replace("K.", f"{kind}.")
        part = "subPath: '{{inputs.parameters.w}}'"
        read = f"arguments: {{artifacts: [{{name: a, raw: {{data: x}}, {source}, {part}}}]}}"
        body = {
            "steps": f"steps: [[{{name: a, template: file}}, {{name: b, template: file}}],"
            f" [{{name: c, template: read, {read}}}]]",
            "tasks": "dag: {tasks: [{name: a, template: file}, {name: b, template: file},"
            f" {{name: c, depends: a && b, template: read, {read}}}]}}",
        }[kind]
        ran = run(
            "templates: [{name: main, inputs: {parameters: [{name: w, value: b}, {name: r, value:"
            f" '{{{{{kind}.b.outputs.artifacts.a}}}}'}}]}}, {body},"
            f" outputs: {{artifacts: [{{name: o, {source}, subPath: '{{{{inputs.parameters.w}}}}/x'}}]}}}}]"
        )
        where = ran.artifacts("b")["a"]["s3"]
        assert ran.artifacts("wf") == {"o": {"name": "o", "s3": where, "subPath": "b/x"}}
        taken = ran.artifacts("c", "inputs")["a"]
        assert (taken["s3"], taken["subPath"]) == (where, "b")

    def test_what_lies_somewhere_by_itself_is_no_output_of_steps(self) -> None:  # getTemplateOutputsFromScope
        ran = run(
            "templates: [{name: main, steps: [[{name: a, template: leaf}]],"
            " outputs: {artifacts: [{name: o, raw: {data: x}}]}}]"
        )
        assert (ran.phase, ran["wf"].outputs) == ("Succeeded", None)

    def test_where_an_input_lies_by_itself_is_filled_in(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: outer, withItems: [1, 2],
                arguments: {parameters: [{name: k, value: "{{item}}"}]}}]]}
            - name: outer
              inputs:
                parameters: [{name: k}]
                artifacts: [{name: f, s3: {key: "{{inputs.parameters.k}}/{{node.name}}/{{workflow.name}}"}}]
              steps: [[{name: b, template: read, arguments: {artifacts: [{name: a, from: "{{inputs.artifacts.f}}"}]}}]]
            """
        )
        outer = {name: ran.artifacts(name, "inputs")["f"]["s3"]["key"] for name in ("a(0:1)", "a(1:2)")}
        assert outer == {"a(0:1)": "1/wf[0].a(0:1)/wf", "a(1:2)": "2/wf[0].a(1:2)/wf"}
        assert ran.artifacts("b", "inputs")["a"]["s3"]["key"] == "2/wf[0].a(1:2)/wf"

    def test_to_a_tag_it_is_no_text(self) -> None:
        ran = run(
            "templates: [{name: main, steps: [[{name: a, template: t, arguments: {artifacts: [{name: f,"
            " raw: {data: x}}]}}]]}, {name: t, inputs: {artifacts: [{name: f, path: /f}]},"
            " container: {image: i, args: ['{{inputs.artifacts.f}} {{inputs.artifacts.f.path}}']}}]"
        )
        assert ran.text("a") == "{{inputs.artifacts.f}} /f"

    def test_an_input_that_nobody_supplies_has_its_own_place(self) -> None:
        spec = (
            "templates: [{name: main, steps: [[{name: r, template: t}]]}, {name: t, "
            "inputs: {artifacts: [{name: a, path: /a, http: {url: 'http://x'}}]}, "
            "container: {image: i}}]"
        )
        assert run(spec).artifacts("r", "inputs")["a"]["http"] == {"url": "http://x"}
