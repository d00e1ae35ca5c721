"""Where templates come from: other documents, defaults, and steps that bring their own."""

from __future__ import annotations

from typing import Any

import yaml

from tests.engine.graph.running import run


def shared(text: str, name: str = "lib") -> dict[str, Any]:
    return {name: {"metadata": {"name": name}, "spec": yaml.load(text, yaml.CSafeLoader)}}


LIB = """
    templateDefaults: {timeout: 9s}
    templates:
    - {name: outer, steps: [[{name: x, template: inner}]]}
    - {name: inner, container: {image: from-lib, args: ["{{workflow.name}}"]}}
    """


class TestTemplateRef:
    SPEC = (
        "templates: [{name: main, steps: [[{name: a, templateRef: {name: lib, "
        "template: outer}}]]}, {name: inner, container: {image: own}}]"
    )

    def test_names_inside_it_are_its_own(self) -> None:
        ran = run(self.SPEC, workflow_templates=shared(LIB))
        assert ran.executor.started["x"]["container"] == {"image": "from-lib", "args": ["wf"]}
        assert ran["a"].template_ref == {"name": "lib", "template": "outer"}
        assert (ran["a"].template_scope, ran["x"].template_scope) == ("local/wf", "namespaced/lib")

    def test_of_the_whole_cluster(self) -> None:
        ran = run(
            self.SPEC.replace("name: lib,", "name: lib, clusterScope: true,"), cluster_workflow_templates=shared(LIB)
        )
        assert ran["x"].template_scope == "cluster/lib"

    def test_its_own_defaults_do_not_count_and_those_of_the_workflow_do(self) -> None:
        ran = run(self.SPEC, workflow_templates=shared(LIB))
        assert "timeout" not in ran.executor.started["x"]
        ran = run(
            "templateDefaults: {timeout: 5s}\n" + self.SPEC.replace("outer", "inner"), workflow_templates=shared(LIB)
        )
        assert ran.executor.started["a"]["timeout"] == "5s"

    def test_one_that_is_only_known_at_runtime(self) -> None:
        spec = "arguments: {parameters: [{name: t, value: NAME}]}\n" + self.SPEC.replace(
            "template: outer", "template: '{{workflow.parameters.t}}'"
        )
        assert run(spec.replace("NAME", "inner"), workflow_templates=shared(LIB)).phase == "Succeeded"
        ran = run(spec.replace("NAME", "nowhere"), workflow_templates=shared(LIB))
        assert "template reference lib.nowhere not found: template name 'nowhere' undefined" in ran.message


class TestWorkflowTemplateRef:
    TEMPLATE = """
        entrypoint: main
        arguments: {parameters: [{name: a, value: theirs}, {name: b, value: theirs}]}
        onExit: bye
        templates:
        - {name: main, container: {image: i, args: ["{{workflow.parameters.a}} {{workflow.parameters.b}}"]}}
        - {name: other, container: {image: i, args: ["other {{workflow.mainEntrypoint}}"]}}
        - {name: bye, container: {image: i, args: ["bye"]}}
        """

    def test_the_workflow_is_the_template_with_its_own_arguments(self) -> None:
        ran = run(
            "workflowTemplateRef: {name: lib}\narguments: {parameters: [{name: b, value: mine}]}",
            workflow_templates=shared(self.TEMPLATE),
        )
        assert ran.text("wf") == "theirs mine"
        assert ran.text("wf.onExit") == "bye"
        assert ran["wf"].template_scope == "local/wf"

    def test_the_workflows_own_fields_win(self) -> None:
        ran = run("workflowTemplateRef: {name: lib}\nentrypoint: other", workflow_templates=shared(self.TEMPLATE))
        assert ran.text("wf") == "other other"

    def test_one_that_is_not_there_is_an_error(self) -> None:  # setStoredWfSpec of operator.go
        ran = run("workflowTemplateRef: {name: nowhere}", workflow_templates=shared(self.TEMPLATE))
        assert (ran.phase, ran.message) == ("Error", 'workflowtemplates.argoproj.io "nowhere" not found')


class TestDefaults:
    def test_what_a_template_leaves_open_it_takes_from_them(self) -> None:
        ran = run(
            """
            templateDefaults: {retryStrategy: {limit: 1}, container: {image: default, env: [{name: A, value: d},
              {name: B, value: d}]}}
            templates:
            - {name: main, steps: [[{name: a, template: t}]], retryStrategy: {limit: 0}}
            - {name: t, container: {command: [x], env: [{name: B, value: own}]}}
            """,
            "{t: {phase: Failed}}",
        )
        assert len(ran.children("a")) == 2
        assert ran.children("wf") == ["wf(0)"]
        container = ran.executor.started["a(0)"]["container"]
        assert container == {
            "image": "default",
            "command": ["x"],
            "env": [{"name": "A", "value": "d"}, {"name": "B", "value": "own"}],
        }


def test_a_step_may_bring_its_template_along() -> None:
    ran = run(
        """
        templates:
        - name: main
          steps:
          - - {name: a, withItems: [x, y], inline: {container: {image: i, args: ["{{item}}"]}}}
            - name: b
              arguments: {parameters: [{name: text, value: z}]}
              inline: {inputs: {parameters: [{name: text}]}, container: {image: i,
                args: ["{{inputs.parameters.text}}"]}}
        """
    )
    assert (ran.text("a(0:x)"), ran.text("a(1:y)"), ran.text("b")) == ("x", "y", "z")


def test_a_template_may_say_what_its_nodes_are_called() -> None:
    ran = run(
        """
        templates:
        - {name: main, steps: [[{name: a, template: t, arguments: {parameters: [{name: n, value: one}]}}], [{name: b,
            template: t, arguments: {parameters: [{name: n, value: "-"}]}}]]}
        - name: t
          annotations: {workflows.argoproj.io/display-name: "{{inputs.parameters.n}}"}
          inputs: {parameters: [{name: n}]}
          container: {image: i}
        """
    )
    assert ran["one"].name == "wf[0].a"
    assert ran["b"].name == "wf[1].b", "what makes no name is not taken for one"
