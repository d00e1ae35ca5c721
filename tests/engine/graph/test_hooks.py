"""Lifecycle hooks and exit handlers: of steps, of tasks, of the workflow."""

from __future__ import annotations

import json

import pytest

from tests.engine.graph.running import run

STEP = "templates: [{name: main, steps: [[{name: a, template: gen, HOOKS}], [{name: b, template: leaf}]]}]"
TASK = (
    "templates: [{name: main, dag: {tasks: [{name: a, template: gen, HOOKS}, {name: b, template: leaf, depends: a}]}}]"
)
BOTH = pytest.mark.parametrize("spec", [STEP, TASK], ids=["step", "task"])


class TestExitHandlers:
    @BOTH
    @pytest.mark.parametrize("hook", ["onExit: leaf", "hooks: {exit: {template: leaf}}"])
    def test_it_runs_after_the_node_whatever_became_of_it(self, spec: str, hook: str) -> None:
        ran = run(spec.replace("HOOKS", hook))
        assert ran["a.onExit"].phase == "Succeeded"
        assert ran["a.onExit"].node_flag == {"hooked": True}
        assert "a.onExit" in ran.children("a")
        assert ran.phase == "Succeeded"
        ran = run(spec.replace("HOOKS", hook), "{gen: {phase: Failed}}")
        assert (ran["a.onExit"].phase, ran.phase) == ("Succeeded", "Failed")

    @BOTH
    def test_what_becomes_of_itself_changes_nothing(self, spec: str) -> None:
        ran = run(
            spec.replace("HOOKS", "onExit: echo-x").replace(
                "templates: [", "templates: [{name: echo-x, container: {image: i}}, "
            ),
            "{echo-x: {phase: Failed}}",
        )
        assert (ran["a.onExit"].phase, ran["b"].phase, ran.phase) == ("Failed", "Succeeded", "Succeeded")

    @BOTH
    def test_what_follows_waits_for_it(self, spec: str) -> None:
        ran = run(spec.replace("HOOKS", "onExit: wait"))
        assert ran["a"].phase == "Succeeded"
        assert "b" not in ran.nodes
        assert ran.phase == "Running"

    @BOTH
    def test_it_does_not_run_after_what_was_skipped(self, spec: str) -> None:
        ran = run(spec.replace("HOOKS", "onExit: leaf, when: 'false'"))
        assert "a.onExit" not in ran.nodes

    @BOTH
    def test_it_reads_what_the_node_left(self, spec: str) -> None:
        prefix = "steps" if "steps" in spec else "tasks"
        arguments = f"{{parameters: [{{name: text, value: '{{{{{prefix}.a.outputs.result}}}}'}}]}}"
        ran = run(
            spec.replace("HOOKS", f"hooks: {{exit: {{template: echo, arguments: {arguments}}}}}"),
            "{gen: {result: done}}",
        )
        assert ran.text("a.onExit") == "done"

    @BOTH
    def test_it_may_have_a_condition(self, spec: str) -> None:
        prefix = "steps" if "steps" in spec else "tasks"
        hook = f"hooks: {{exit: {{template: leaf, expression: '{prefix}.a.status == \"Failed\"'}}}}"
        assert "a.onExit" not in run(spec.replace("HOOKS", hook)).nodes
        assert "a.onExit" in run(spec.replace("HOOKS", hook), "{gen: {phase: Failed}}").nodes

    def test_it_has_the_workflows_arguments_where_it_has_none(self) -> None:
        ran = run("arguments: {parameters: [{name: text, value: global}]}\n" + STEP.replace("HOOKS", "onExit: echo"))
        assert ran.text("a.onExit") == "global"

    def test_it_runs_after_every_turn_of_a_loop_and_of_tasks_after_the_group_too(self) -> None:
        ran = run(STEP.replace("HOOKS", "withItems: [1, 2], onExit: leaf"))
        assert {"a(0:1).onExit", "a(1:2).onExit"} <= set(ran.nodes)
        assert "a.onExit" not in ran.nodes
        ran = run(TASK.replace("HOOKS", "withItems: [1, 2], onExit: leaf"))
        assert {"a(0:1).onExit", "a(1:2).onExit", "a.onExit"} <= set(ran.nodes)

    ERRING = """
        templates:
        - {name: main, BODY}
        - {name: memo, memoize: {key: "no key", cache: {configMap: {name: c}}}, container: {image: i}}
        """

    def test_it_runs_after_a_task_that_could_not_be_executed(self) -> None:
        body = "dag: {tasks: [{name: a, template: memo, onExit: leaf}, {name: b, template: leaf, depends: a.Errored}]}"
        ran = run(self.ERRING.replace("BODY", body))
        assert (ran["a"].phase, ran["a"].message) == ("Error", "task 'wf.a' errored: invalid cache key 'no key'")
        assert (ran["a.onExit"].phase, ran["b"].phase, ran.phase) == ("Succeeded", "Succeeded", "Succeeded")

    def test_it_runs_after_a_task_that_could_not_be_made_a_call_of(self) -> None:
        ran = run(
            TASK.replace("HOOKS", "onExit: leaf, withParam: 'no list'").replace("depends: a", "depends: a.Errored")
        )
        assert (ran["a"].type, ran["a"].phase, ran["a.onExit"].phase) == ("Skipped", "Error", "Succeeded")
        assert ran["b"].phase == "Succeeded"

    def test_it_does_not_run_after_a_step_that_could_not_be_executed(self) -> None:
        ran = run(self.ERRING.replace("BODY", "steps: [[{name: a, template: memo, onExit: leaf}]]"))
        assert (ran["[0]"].phase, ran.phase) == ("Error", "Failed")
        assert "a.onExit" not in ran.nodes

    @pytest.mark.parametrize(("target", "phase"), [("a", "Error"), ("b", "Succeeded")])
    def test_one_that_cannot_be_called_fails_the_dag_where_it_is_that_of_a_target(
        self, target: str, phase: str
    ) -> None:
        hooks = "hooks: {exit: {template: leaf, expression: '1 +'}}"
        ran = run(TASK.replace("HOOKS", hooks).replace("dag: {", f"dag: {{target: {target}, "))
        assert ran["wf"].phase == phase


class TestLifecycleHooks:
    @pytest.mark.parametrize(("field", "phase"), [("when: 'false'", "Skipped"), ("depends: r.Failed", "Omitted")])
    def test_those_of_tasks_that_never_ran_run_all_the_same(self, field: str, phase: str) -> None:
        ran = run(
            "templates: [{name: main, dag: {tasks: [{name: r, template: leaf}, {name: a, template: leaf, FIELD, hooks: "
            '{x: {template: wait, expression: \'tasks.a.status in ["Skipped", "Omitted"]\'}}}, '
            "{name: b, template: leaf, depends: a || a.Omitted}]}}]".replace("FIELD", field)
        )
        assert (ran["a"].phase, ran["a.hooks.x"].phase) == (phase, "Running")
        assert "b" not in ran.nodes

    def test_those_of_a_step_that_never_ran_do_not(self) -> None:
        ran = run(STEP.replace("HOOKS", "when: 'false', hooks: {x: {template: leaf, expression: 'true'}}"))
        assert "a.hooks.x" not in ran.nodes

    @BOTH
    def test_it_runs_when_its_condition_holds(self, spec: str) -> None:
        prefix = "steps" if "steps" in spec else "tasks"
        hook = (
            f"hooks: {{r: {{template: leaf, expression: '{prefix}.a.status == \"Running\"'}}, "
            f"f: {{template: leaf, expression: '{prefix}.a.status == \"Failed\"'}}}}"
        )
        ran = run(spec.replace("HOOKS", hook))
        assert ran["a.hooks.r"].phase == "Succeeded"
        assert "a.hooks.f" not in ran.nodes
        assert ran.phase == "Succeeded"

    @BOTH
    def test_what_follows_waits_for_it(self, spec: str) -> None:
        prefix = "steps" if "steps" in spec else "tasks"
        hook = f"hooks: {{r: {{template: wait, expression: '{prefix}.a.status == \"Running\"'}}}}"
        ran = run(spec.replace("HOOKS", hook))
        assert (ran["a"].phase, ran["a.hooks.r"].phase) == ("Succeeded", "Running")
        assert "b" not in ran.nodes

    @pytest.mark.parametrize("wanted", ["Succeeded", "Failed"])
    def test_tags_in_its_condition_are_filled_in_first(self, wanted: str) -> None:
        ran = run(
            f"""
            arguments: {{parameters: [{{name: g, value: {wanted}}}]}}
            hooks:
              w: {{template: leaf, expression: "workflow.status == '{{{{workflow.parameters.g}}}}'"}}
              s: {{template: leaf, expression: "'{{{{workflow.status}}}}' == 'Succeeded'"}}
            templates:
            - {{name: main, steps: [[{{name: d, template: d}}], [{{name: s, template: s, arguments: {{parameters: [
                {{name: i, value: {wanted}}}]}}}}]]}}
            - name: s
              inputs: {{parameters: [{{name: i}}]}}
              steps:
              - - {{name: p, template: gen}}
              - - name: a
                  template: leaf
                  hooks:
                    inputs: {{template: leaf, expression: "steps.a.status == '{{{{inputs.parameters.i}}}}'"}}
                    before: {{template: leaf, expression: "steps.a.status == '{{{{steps.p.outputs.result}}}}'"}}
                    itself: {{template: leaf, expression: "'{{{{steps.a.status}}}}' == 'Succeeded'"}}
                    exit: {{template: leaf, expression: "steps.a.status == '{{{{=inputs.parameters.i}}}}'"}}
            - name: d
              dag:
                tasks:
                - {{name: p, template: gen}}
                - name: b
                  depends: p
                  template: leaf
                  hooks:
                    global: {{template: leaf, expression: "tasks.b.status == '{{{{workflow.parameters.g}}}}'"}}
                    before: {{template: leaf, expression: "tasks.b.status == '{{{{tasks.p.outputs.result}}}}'"}}
            """,
            f"{{gen: {{result: {wanted}}}}}",
        )
        found = {name for name in ran.nodes if ".hooks." in name or name.endswith(".onExit")}
        assert found == (
            {"a.hooks.inputs", "a.hooks.before", "a.onExit", "b.hooks.global", "wf.hooks.w"}
            if wanted == "Succeeded"
            else set()
        )

    def test_that_of_a_step_reads_how_far_those_before_it_in_its_group_are(self) -> None:  # executeStepGroup
        spec = """
            templates:
            - name: main
              steps:
              - - {name: a, template: FIRST}
                - name: b
                  template: leaf
                  hooks:
                    h: {template: gen, expression: "steps.a.status == 'Succeeded' && steps.b.status == 'Running'"}
                - {name: c, template: leaf}
            """
        ends = "{give: {duration: 5s}, leaf: {duration: 9s}}"
        assert run(spec.replace("FIRST", "give"), ends).executor.begun["b.hooks.h"] == 5
        ran = run(spec.replace("FIRST", "give").replace("steps.a", "steps.c"), ends)
        assert (ran["[0]"].phase, ran.phase) == ("Error", "Failed")

    def test_a_condition_that_cannot_be_evaluated(self) -> None:
        ran = run(STEP.replace("HOOKS", "hooks: {r: {template: leaf, expression: '1 +'}}"))
        assert (ran["[0]"].phase, ran["wf"].phase) == ("Error", "Failed")
        ran = run(TASK.replace("HOOKS", "hooks: {r: {template: leaf, expression: '1 +'}}"))
        assert ran["wf"].phase == "Error"

    def test_nothing_follows_a_task_whose_hook_has_ended_the_dag(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              dag: {tasks: [{name: b, template: leaf, depends: a}, {name: a, template: leaf,
                hooks: {h: {expression: 'tasks.a.status == "Succeeded"', template: hurried}}}]}
            - {name: hurried, timeout: 1s, container: {image: i}}
            """
        )
        assert ran.phases == {"wf": "Error", "a": "Succeeded", "a.hooks.h": "Error"}
        assert ran.message == "error in entry template execution: wf.a.hooks.h exceeded its deadline"

    def test_a_turn_of_a_steps_loop_goes_by_its_own_name(self) -> None:
        loop = "withItems: [1], hooks: {r: {template: leaf, expression: 'EXPRESSION == \"Running\"'}}"
        ran = run(STEP.replace("HOOKS", loop.replace("EXPRESSION", 'steps["a(0:1)"].status')))
        assert (ran["a(0:1).hooks.r"].phase, ran.phase) == ("Succeeded", "Succeeded")
        ran = run(STEP.replace("HOOKS", loop.replace("EXPRESSION", "steps.a.status")))
        assert (ran["[0]"].phase, ran.phase) == ("Error", "Failed")

    def test_a_task_whose_hook_has_no_condition(self) -> None:
        ran = run(TASK.replace("HOOKS", "hooks: {r: {template: leaf}}"))
        assert ran["wf"].phase == "Error"
        assert "a.hooks.r" not in ran.nodes


class TestOfTheWorkflow:
    def test_it_reads_how_long_the_workflow_has_run_and_what_failed(self) -> None:
        ran = run(
            """
            hooks:
              bad:
                template: tell
                expression: workflow.status == "Failed"
                arguments: {parameters: [{name: text, value: "{{workflow.duration}} {{workflow.failures}}"}]}
            templates:
            - name: main
              steps: [[{name: a, templateRef: {name: lib, template: bad}}]]
            - name: tell
              inputs: {parameters: [{name: text}]}
              container: {image: i, args: ["{{inputs.parameters.text}}"]}
            """,
            "{bad: {phase: Failed, duration: 90s}}",
            workflow_templates={"lib": {"spec": {"templates": [{"name": "bad", "container": {"image": "i"}}]}}},
        )
        duration, failures = ran.text("wf.hooks.bad").split(" ", 1)
        assert duration == "90.000000"
        failed = {each["displayName"]: each for each in json.loads(json.loads(failures))}
        assert set(failed) == {"wf", "[0]", "a"}
        assert (failed["a"]["templateName"], failed["a"]["podName"][:7]) == ("bad", "wf-bad-")

    SPEC = "HOOKS\ntemplates: [{name: main, steps: [[{name: a, template: gen}]]}]"

    @pytest.mark.parametrize("hook", ["onExit: leaf", "hooks: {exit: {template: leaf}}"])
    def test_its_exit_handler_runs_in_the_end(self, hook: str) -> None:
        ran = run(self.SPEC.replace("HOOKS", hook))
        assert ran["wf.onExit"].phase == "Succeeded"
        assert ran["wf.onExit"].node_flag == {"hooked": True}
        assert "wf.onExit" not in ran.children("wf")

    def test_its_failure_is_the_workflows(self) -> None:
        ran = run(self.SPEC.replace("HOOKS", "onExit: leaf"), "{leaf: {phase: Failed, message: sorry}}")
        assert (ran.phase, ran.message) == ("Failed", "sorry")

    def test_but_not_where_the_entrypoint_failed(self) -> None:
        ran = run(self.SPEC.replace("HOOKS", "onExit: leaf"), "{leaf: {phase: Error}, gen: {phase: Failed}}")
        assert ran.phase == "Failed"

    def test_it_reads_how_the_workflow_ended(self) -> None:
        spec = """
            onExit: report
            templates:
            - {name: main, steps: [[{name: a, template: gen}]]}
            - name: report
              container: {image: i, args: ["{{workflow.status}}", "{{workflow.duration}}", "{{workflow.failures}}"]}
            """
        ran = run(spec)
        assert ran.executor.started["wf.onExit"]["container"]["args"] == ["Succeeded", "0.000000", '"null"']
        ran = run(spec, "{gen: {phase: Failed, message: 'exit <1>', duration: 90s}}")
        status, duration, failures = ran.executor.started["wf.onExit"]["container"]["args"]
        assert (status, duration) == ("Failed", "90.000000")
        found = {each["displayName"]: each for each in json.loads(json.loads(failures))}
        assert set(found) == {"a", "[0]", "wf"}
        assert found["a"]["message"] == "exit <1>"
        assert found["a"]["templateName"] == "gen"
        assert found["a"]["podName"] == f"wf-gen-{ran['a'].id.removeprefix('wf-')}"
        assert "\\\\u003c1\\\\u003e" in failures

    def test_lifecycle_hooks_hang_under_the_root_and_come_before_the_exit_handler(self) -> None:
        hooks = (
            "hooks: {exit: {template: leaf}, running: {template: gen, "
            'expression: workflow.status == "Running"}, failed: {template: leaf, '
            'expression: workflow.status == "Failed"}}'
        )
        ran = run(self.SPEC.replace("HOOKS", hooks))
        assert ran["wf.hooks.running"].phase == "Succeeded"
        assert "wf.hooks.running" in ran.children("wf")
        assert "wf.hooks.failed" not in ran.nodes
        ran = run(self.SPEC.replace("HOOKS", hooks), "{'node:a': {phase: Failed}}")
        assert ran["wf.hooks.failed"].phase == "Succeeded"
        ran = run(self.SPEC.replace("HOOKS", hooks.replace("template: gen", "template: wait")))
        assert ran["wf"].phase == "Succeeded"
        assert "wf.onExit" not in ran.nodes

    def test_a_hook_that_cannot_be_called_ends_the_entrypoint(self) -> None:
        ran = run(self.SPEC.replace("HOOKS", "hooks: {bad: {template: leaf, expression: 'workflow.status +'}}"))
        assert (ran["wf"].phase, ran.phase) == ("Error", "Error")

    def test_they_take_no_artifacts_of_others_as_those_inside_templates_do(self) -> None:  # executeWfLifeCycleHook
        ran = run(
            """
            hooks:
              exit: {template: read, arguments: {artifacts: [{name: a, from: "{{workflow.outputs.artifacts.g}}"}]}}
            templates:
            - name: main
              steps:
              - - name: x
                  template: left
                  hooks:
                    exit: {template: read, arguments: {artifacts: [{name: a, from: "{{steps.x.outputs.artifacts.a}}"}]}}
            - {name: left, container: {image: i}, outputs: {artifacts: [{name: a, path: /a, globalName: g}]}}
            """
        )
        assert (ran["x.onExit"].phase, ran["wf.onExit"].phase, ran.phase) == ("Succeeded", "Error", "Error")
        assert ran["wf.onExit"].message == "inputs.artifacts.a missing location information"

    def test_an_exit_handler_that_cannot_be_called(self) -> None:
        ran = run(self.SPEC.replace("HOOKS", "hooks: {exit: {template: nowhere}}"))
        assert ran.phase == "Error"
        assert ran.message == "error in exit template execution : template name 'nowhere' undefined"
        assert ran["wf"].phase == "Succeeded"


def test_an_entrypoint_that_cannot_be_called_is_an_error_and_no_exit_handler_runs() -> None:
    ran = run(
        "onExit: leaf\narguments: {parameters: [{name: c, value: missing}]}\n"
        "templates: [{name: main, inputs: {parameters: [{name: x, "
        "valueFrom: {configMapKeyRef: {name: '{{workflow.parameters.c}}', key: k}}}]}, "
        "container: {image: i}}]"
    )
    assert ran.phase == "Error"
    assert ran.message.startswith(
        "error in entry template execution: unable to retrieve inputs.parameters.x from ConfigMap"
    )
    assert set(ran.phases) == {"wf"}
