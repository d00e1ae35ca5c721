"""The variables of docs/variables.md, each where it is to be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.engine.graph.running import run, workflow

HEAD = """
    arguments: {parameters: [{name: p, value: "1"}, {name: q, value: "{{workflow.parameters.p}}+<&>"}]}
    priority: 3
    serviceAccountName: somebody
    """


def test_a_cron_workflow_was_scheduled_when_it_is_run_by_hand() -> None:
    labels = {"workflows.argoproj.io/cron-workflow": "nightly"}
    spec = "templates: [{name: main, container: {image: i, args: ['{{workflow.scheduledTime}}']}}]"
    assert run(workflow(spec, labels=labels)).text("wf") == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5", "5"),
        ("1.50", "1.5"),
        ("2.0e+6", "2000000"),
        ("2.0200219e+07", "20200219"),
        ("1.0e-7", "0.0000001"),
        ("true", "true"),
        ("'007'", "007"),
        ("9007199254740993", "9007199254740992"),
        ("[a, b]", ""),
        ("{a: b}", ""),
        ("[]", ""),
        ("'[a, b]'", "[a, b]"),
    ],
)
def test_values_of_parameters_are_text(value: str, text: str) -> None:  # anystring.go
    spec = f"""
        arguments: {{parameters: [{{name: p, value: {value}}}]}}
        templates: [{{name: main, container: {{image: i, args: ['{{{{workflow.parameters.p}}}}']}}}}]
        """
    assert run(spec).text("wf") == text


class TestOfTheWorkflow:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("workflow.name", "wf"),
            ("workflow.namespace", "default"),
            ("workflow.mainEntrypoint", "main"),
            ("workflow.serviceAccountName", "somebody"),
            ("workflow.uid", "u-1"),
            ("workflow.priority", "3"),
            ("workflow.parameters.p", "1"),
            ("workflow.parameters.q", "1+<&>"),
            ("workflow.labels.l", "x"),
            ("workflow.annotations.a", "y"),
            ("workflow.annotations.json", '{"a":"y","workflows.argoproj.io/scheduled-time":"2023-01-01T00:00:00Z"}'),
            ("workflow.creationTimestamp", "2023-11-14T10:00:00Z"),
            ("workflow.creationTimestamp.RFC3339", "2023-11-14T10:00:00Z"),
            ("workflow.creationTimestamp.s", "1699956000"),
            ("workflow.creationTimestamp.Y", "2023"),
            ("workflow.creationTimestamp.L", ".000"),
            ("workflow.creationTimestamp.z", "+0000"),
            ("workflow.creationTimestamp.j", "{{workflow.creationTimestamp.j}}"),
            ("workflow.scheduledTime", "2023-01-01T00:00:00Z"),
            ("workflow.status", "Running"),
            ("=workflow.parameters.p + '!'", "1!"),
        ],
    )
    def test_each(self, name: str, value: str) -> None:
        metadata: dict[str, Any] = {
            "uid": "u-1",
            "labels": {"l": "x"},
            "annotations": {"a": "y", "workflows.argoproj.io/scheduled-time": "2023-01-01T00:00:00Z"},
            "creationTimestamp": "2023-11-14T10:00:00Z",
        }
        spec = f'{HEAD}\n    templates: [{{name: main, container: {{image: i, args: ["{{{{{name}}}}}"]}}}}]'
        assert run(workflow(spec, **metadata)).text("wf") == value

    def test_no_parameters_are_null(self) -> None:
        ran = run("templates: [{name: main, container: {image: i, args: ['{{inputs.parameters}}']}}]")
        assert ran.text("wf") == "null"

    def test_no_parameters_beside_artifacts_are_null(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: file}], [{name: b, template: c, arguments: {artifacts: [
                {name: a, from: "{{steps.a.outputs.artifacts.a}}"}]}}]]}
            - name: c
              inputs: {artifacts: [{name: a, path: /a}]}
              container: {image: i, args: ["{{inputs.parameters}}"]}
            """
        )
        assert ran.text("b") == "null"

    def test_all_inputs(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: b, arguments: {parameters: [{name: x, value: 1.0}]}}]]}
            - name: b
              inputs: {parameters: [{name: x, enum: [1, 2.0]}, {name: y, default: true}]}
              container: {image: i, args: ["{{inputs.parameters}}"]}
            """
        )
        assert json.loads(ran.text("a")) == [
            {"name": "x", "value": "1", "enum": ["1", "2"]},
            {"name": "y", "default": "true", "value": "true"},
        ]

    @pytest.mark.parametrize(
        ("own", "names"),
        [
            ("[]", "a b c"),
            ("[{name: b, value: x}]", "a b c"),
            ("[{name: c, value: x}, {name: a, value: y}]", "b c a"),
            ("[{name: d, value: x}]", "d a b c"),
            ("[{name: c, value: x}, {name: d, value: y}]", "a b c d"),
        ],
    )
    def test_parameters_stand_in_the_order_of_the_workflow_template(self, own: str, names: str) -> None:
        template = {
            "spec": {
                "entrypoint": "main",
                "arguments": {"parameters": [{"name": n, "value": n, "description": "d"} for n in "abc"]},
                "templates": [{"name": "main", "container": {"image": "i", "args": ["{{workflow.parameters}}"]}}],
            },
        }
        spec = f"{{workflowTemplateRef: {{name: t}}, arguments: {{parameters: {own}}}}}"
        ran = run(workflow(spec), workflow_templates={"t": template})
        found = json.loads(ran.text("wf"))
        assert [each["name"] for each in found] == names.split()
        given = {each["name"]: each for each in yaml.load(own, yaml.CSafeLoader)}
        assert all(each == given.get(each["name"], {"description": "d", **each}) for each in found)

    def test_a_parameter_with_a_value_is_the_workflows_as_a_whole(self) -> None:  # JoinWorkflowSpec
        source = {"configMapKeyRef": {"name": "c", "key": "k"}}
        template = {
            "spec": {
                "entrypoint": "main",
                "arguments": {
                    "parameters": [{"name": "a", "value": "1", "enum": ["1"]}, {"name": "b", "valueFrom": source}]
                },
                "templates": [{"name": "main", "container": {"image": "i", "args": ["{{workflow.parameters}}"]}}],
            },
        }
        own = [{"name": "a", "valueFrom": source}, {"name": "b", "value": "2"}]
        spec = f"{{workflowTemplateRef: {{name: t}}, arguments: {{parameters: {own}}}}}"
        ran = run(workflow(spec), workflow_templates={"t": template}, config_maps={"c": {"data": {"k": "v"}}})
        assert json.loads(ran.text("wf")) == own

    def test_a_parameter_of_the_workflow_template_may_be_emptied(self) -> None:
        template = {
            "spec": {
                "entrypoint": "main",
                "arguments": {"parameters": [{"name": "a", "value": "1"}]},
                "templates": [{"name": "main", "container": {"image": "i", "args": ["<{{workflow.parameters.a}}>"]}}],
            },
        }
        own = "{workflowTemplateRef: {name: t}, arguments: {parameters: [{name: a, value: ''}]}}"
        assert run(workflow(own), workflow_templates={"t": template}).text("wf") == "<>"

    def test_all_parameters(self) -> None:
        ran = run(
            f"{HEAD}\n    templates: [{{name: main, container: {{image: i, args: ['{{{{workflow.parameters}}}}']}}}}]"
        )
        assert json.loads(ran.text("wf")) == [
            {"name": "p", "value": "1"},
            {"name": "q", "value": "{{workflow.parameters.p}}+<&>"},
        ]
        assert "\\u003c" in ran.text("wf"), "as Go escapes it"


class TestOfTemplates:
    def test_inputs(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: t, arguments: {parameters: [{name: x, value: 1}],
                artifacts: [{name: f, raw: {data: d}}]}}]]}
            - name: t
              inputs: {parameters: [{name: x}, {name: y, default: "d-{{workflow.name}}"}], artifacts: [{name: f,
                path: /in}]}
              outputs: {artifacts: [{name: o, path: /out}], parameters: [{name: p, valueFrom: {path: /par}}]}
              container: {image: i,
                args: ["{{inputs.parameters.x}} {{ inputs.parameters.y }} {{inputs.artifacts.f.path}}
                  {{outputs.artifacts.o.path}} {{outputs.parameters.p.path}}"]}
            """
        )
        assert ran.text("a") == "1 d-wf /in /out /par"
        assert ran.inputs("a") == {"x": "1", "y": "d-wf"}

    def test_all_inputs(self) -> None:
        ran = run(
            "templates: [{name: main, inputs: {parameters: [{name: x, value: 1}, {name: y, "
            "value: z}]}, container: {image: i, args: ['{{inputs.parameters}}']}}]"
        )
        assert json.loads(ran.text("wf")) == [{"name": "x", "value": "1"}, {"name": "y", "value": "z"}]

    def test_names_of_nodes(self) -> None:
        ran = run(
            "templates: [{name: main, steps: [[{name: a, template: t, withItems: [x]}]]}, {name: t, "
            "container: {image: i, args: ['{{pod.name}} {{node.name}} {{steps.name}}']}}]"
        )
        name = "a(0:x)"
        assert ran.text(name) == f"wf-t-{ran[name].id.removeprefix('wf-')} wf[0].{name} {name}"

    def test_a_template_has_the_name_of_a_step_or_of_a_task(self) -> None:  # executeTemplate sets one of them
        ran = run(
            """
            hooks: {h: {template: t, expression: workflow.status == 'Running'}}
            templates:
            - {name: main, dag: {tasks: [{name: a, template: t}, {name: b, template: r, withItems: [x]},
                {name: c, template: inner}]}}
            - {name: inner, steps: [[{name: d, template: t}, {name: e, template: echo,
                arguments: {parameters: [{name: text, value: "{{steps.name}} {{tasks.name}}"}]}}]]}
            - {name: t, container: {image: i, args: ["{{steps.name}} {{tasks.name}}"]}}
            - {name: r, retryStrategy: {limit: 1}, container: {image: i, args: ["{{steps.name}} {{tasks.name}}"]}}
            """
        )
        assert ran.text("a") == "{{steps.name}} a"
        assert ran.text("b(0:x)(0)") == "{{steps.name}} b(0:x)"
        assert ran.text("d") == "d {{tasks.name}}"
        assert ran.text("e") == "{{steps.name}} c"
        assert ran.text("wf.hooks.h") == " {{tasks.name}}"
        assert ran.phase == "Succeeded"

    def test_inputs_may_be_made_of_one_another_and_of_what_the_node_is(self) -> None:  # SubstituteParams
        ran = run(
            """
            arguments: {parameters: [{name: g, value: G}]}
            templates:
            - name: main
              steps: [[{name: a, template: t, arguments: {parameters: [{name: x, value: "1"}, {name: z,
                value: "{{workflow.name}}"}]}}]]
            - name: t
              inputs: {parameters: [{name: x}, {name: y, default: "{{inputs.parameters.x}}-{{steps.name}}"},
                {name: z, default: "{{inputs.parameters.x}}"},
                {name: e, value: "{{=inputs.parameters.y + workflow.parameters.g}} {{hello}}"}]}
              container: {image: i, args: ["{{inputs.parameters.e}}"]}
            """
        )
        assert ran.text("a") == "1-aG {{hello}}"
        assert ran.inputs("a") == {"x": "1", "y": "1-a", "z": "wf", "e": "1-aG {{hello}}"}

    def test_inputs_that_are_made_of_one_another_do_not_fill_the_memory(self) -> None:
        more = ", ".join(f"{{name: x{n}, value: '{'{{inputs.parameters.x}}' * 100}'}}" for n in range(10))
        ran = run(
            f"""
            templates:
            - {{name: main, steps: [[{{name: a, template: gen}}], [{{name: b, template: t, arguments: {{parameters: [
                {{name: x, value: "{{{{steps.a.outputs.result}}}}"}}]}}}}]]}}
            - {{name: t, inputs: {{parameters: [{{name: x}}, {more}]}}, container: {{image: i}}}}
            """,
            f"gen: {{result: {'x' * 20_000}}}",
        )
        assert (ran["b"].phase, ran["b"].message) == ("Error", "what the inputs stand for is too large")

    def test_paths_may_be_made_of_inputs(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              inputs: {parameters: [{name: x, value: a}], artifacts: [{name: f, path: "/{{workflow.name}}",
                raw: {data: d}}]}
              outputs: {artifacts: [{name: o, path: "/{{inputs.parameters.x}}"}],
                parameters: [{name: p, valueFrom: {path: "/{{=inputs.parameters.x + 'b'}}"}}]}
              container: {image: i, args: ["{{inputs.artifacts.f.path}} {{outputs.artifacts.o.path}}
                {{outputs.parameters.p.path}}"]}
            """
        )
        assert ran.text("wf") == "/wf /a /ab"

    def test_what_somebody_else_gives_is_not_looked_into(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: gen}], [{name: b, template: t, arguments: {parameters: [
                {name: x, value: "{{steps.a.outputs.result}}"}]}}]]}
            - name: t
              inputs: {parameters: [{name: x, default: "{{node.name}}"}, {name: y, default: "{{node.name}}"}]}
              container: {image: i}
            """,
            "gen: {result: '{{node.name}}'}",
        )
        assert ran.inputs("b") == {"x": "{{node.name}}", "y": "wf[1].b"}

    def test_inputs_of_attempts(self) -> None:
        """What is the same for all attempts is the retried node's, such as its name."""
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: t}]]}
            - name: t
              retryStrategy: {limit: 1}
              inputs: {parameters: [{name: x, value: "{{retries}} {{node.name}} {{steps.name}}"},
                {name: pod, value: "{{pod.name}}"}]}
              container: {image: i, args: ["{{inputs.parameters.x}} {{node.name}} {{steps.name}}"]}
            """,
            "t: {phase: Failed}",
        )
        assert ran.inputs("a") == {"x": "{{retries}} wf[0].a a", "pod": "{{pod.name}}"}
        for number in ("0", "1"):
            name = f"a({number})"
            assert ran.inputs(name) == {
                "x": f"{number} wf[0].a a",
                "pod": f"wf-t-{ran[name].id.removeprefix('wf-')}",
            }
            assert ran.text(name) == f"{number} wf[0].a a wf[0].a a"

    def test_an_input_from_a_config_map(self) -> None:
        spec = (
            "templates: [{name: main, inputs: {parameters: [{name: x, "
            "valueFrom: {configMapKeyRef: {name: c, key: k}DEFAULT}}]}, container: {image: i, "
            "args: ['{{inputs.parameters.x}}']}}]"
        )
        assert run(spec.replace("DEFAULT", ""), config_maps={"c": {"data": {"k": "v"}}}).text("wf") == "v"
        assert run(spec.replace("DEFAULT", ", default: d")).text("wf") == "d"
        assert run(spec.replace("DEFAULT", "")).phase == "Error"

    def test_what_nobody_knows_stays_as_it_is(self) -> None:
        """It may be a plugin's to add, or no variable at all."""
        ran = run(
            "templates: [{name: main, container: {image: i, args: ['{{hello}} {{=hello.world}} {{- range .items }}']}}]"
        )
        assert ran.text("wf") == "{{hello}} {{=hello.world}} {{- range .items }}"


class TestOfTheWorkflowsArguments:
    def test_from_a_config_map(self) -> None:
        spec = (
            "arguments: {parameters: [{name: p, valueFrom: {configMapKeyRef: {name: c, "
            "key: k}}}]}\ntemplates: [{name: main, container: {image: i, "
            "args: ['{{workflow.parameters.p}}']}}]"
        )
        assert run(spec, config_maps={"c": {"data": {"k": "v"}}}).text("wf") == "v"
        ran = run(spec)
        assert (ran.phase, ran.phases) == ("Failed", {})
        assert ran.message == (
            "failed to set global parameters: failed to set global parameter p from configmap with name c and key k:"
            " ConfigMap 'c' does not exist among the given documents"
        )

    def test_they_are_the_entrypoints(self) -> None:
        ran = run(
            "arguments: {parameters: [{name: p, value: v}]}\ntemplates: [{name: main, "
            "inputs: {parameters: [{name: p}]}, container: {image: i}}]"
        )
        assert ran.inputs("wf") == {"p": "v"}


def test_how_long_the_workflow_has_run() -> None:
    ran = run(
        """
        templates:
        - {name: main, steps: [[{name: a, template: leaf}], [{name: b, template: echo,
            arguments: {parameters: [{name: text, value: "{{workflow.duration}}"}]}}]]}
        """,
        "{leaf: {duration: 75s}}",
    )
    assert ran.text("b") == "75.000000"
