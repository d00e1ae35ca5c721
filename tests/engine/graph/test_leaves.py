"""Leaves of every kind: suspends, daemons, container sets, and what they leave behind."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from engine import Engine, Node, Result, Workflow
from engine.substitution.variables import parse_time
from tests.engine.graph.running import START, Ran, Recorder, outcomes, run, workflow


class TestSuspend:
    def test_it_goes_on_after_its_duration(self) -> None:
        for duration in ("90", "90s", "1m30s"):
            ran = run(f"templates: [{{name: main, suspend: {{duration: '{duration}'}}}}]")
            assert (ran.phase, ran["wf"].type) == ("Succeeded", "Suspend")
            assert parse_time(ran["wf"].finished_at or "").timestamp() - START == 90

    def test_without_one_it_waits(self) -> None:
        ran = run("templates: [{name: main, suspend: {}}]")
        assert (ran.phase, ran["wf"].phase) == ("Running", "Running")
        assert ran.waiting_for == "1 suspended (wf)"

    OUTPUTS = """
        templates:
        - {name: main, steps: [[{name: ask, template: ask}], [{name: b, template: echo,
            arguments: {parameters: [{name: text, value: "{{steps.ask.outputs.parameters.answer}}"}]}}]]}
        - {name: ask, suspend: {DURATION}, outputs: {parameters: [{name: answer, valueFrom: {supplied: {}DEFAULT}}]}}
        """

    def test_it_shows_what_it_is_to_be_given(self) -> None:
        ran = run(self.OUTPUTS.replace("DURATION", "").replace("DEFAULT", ""))
        assert ran["ask"].outputs == {"parameters": [{"name": "answer", "valueFrom": {"supplied": {}}}]}

    def test_what_is_not_given_has_its_default(self) -> None:
        ran = run(self.OUTPUTS.replace("DURATION", "duration: 1").replace("DEFAULT", ", default: 'yes'"))
        assert ran.text("b") == "yes"
        ran = run(self.OUTPUTS.replace("DURATION", "duration: 1").replace("DEFAULT", ", default: 1.0"))
        assert (ran.text("b"), ran.outputs("ask")) == ("1", {"answer": "1"})

    def test_the_default_of_an_input_of_the_same_name_is_none_of_it(self) -> None:  # Argo's addRawOutputFields
        fields = "duration: 1}, inputs: {parameters: [{name: answer, default: 'NO', enum: ['YES', 'NO']}]"
        ran = run(self.OUTPUTS.replace("DURATION", fields).replace("DEFAULT", ""))
        assert ran["ask"].phase == "Error"
        ran = run(self.OUTPUTS.replace("DURATION", fields).replace("DEFAULT", ", default: MAYBE"))
        assert (ran.text("b"), ran.outputs("ask")) == ("MAYBE", {"answer": "MAYBE"})

    @pytest.mark.parametrize(("duration", "phase"), [("duration: 1", "Error"), ("", "Failed")])
    def test_without_a_default_it_cannot_go_on(self, duration: str, phase: str) -> None:
        ran = run(self.OUTPUTS.replace("DURATION", duration).replace("DEFAULT", ""), "" if duration else "{ask: {}}")
        assert (ran.phase, ran["ask"].phase) == ("Failed", phase)
        assert ran["ask"].message == "raw output parameter 'answer' has not been set and does not have a default value"

    def test_an_input_may_say_what_there_is_to_choose_from(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              inputs: {parameters: [{name: a, value: '{"enum": ["yes", "no"]}'}, {name: b, value: enum}]}
              suspend: {}
            """
        )
        assert json.loads(bytes(ran["wf"].inputs or b""))["parameters"] == [
            {"name": "a", "value": '{"enum": ["yes", "no"]}', "enum": ["yes", "no"], "default": "yes"},
            {"name": "b", "value": "enum"},
        ]

    def test_the_outcomes_file_may_resume_it(self) -> None:
        ran = run(
            self.OUTPUTS.replace("DURATION", "").replace("DEFAULT", ""),
            "{ask: {parameters: {answer: 42}, duration: 1h}}",
        )
        assert ran.text("b") == "42"
        assert ran.outputs("ask") == {"answer": "42"}

    @pytest.mark.parametrize("duration", ["-5", "-5s", "0", "+0s"])
    def test_one_that_is_over_already(self, duration: str) -> None:
        ran = run(f"templates: [{{name: main, suspend: {{duration: '{duration}'}}}}]")
        assert (ran.phase, ran.executor.clock()) == ("Succeeded", START)

    def test_a_duration_that_is_none(self) -> None:
        ran = run("templates: [{name: main, suspend: {duration: soon}}]")
        assert ran.phase == "Error"


class TestDaemons:
    SPEC = """
        templates:
        - {name: main, steps: [[{name: d, template: daemon}], [{name: a, template: echo,
            arguments: {parameters: [{name: text, value: "{{steps.d.ip}}"}]}}]]}
        - {name: daemon, daemon: true, container: {image: i}FIELDS}
        """

    def test_the_next_step_runs_while_it_does_and_it_ends_with_its_boundary(self) -> None:
        ran = run(self.SPEC.replace("FIELDS", ""))
        assert ran.text("a") == "127.0.0.1"
        assert (ran["d"].phase, ran["d"].daemoned, ran.phase) == ("Succeeded", None, "Succeeded")
        assert ran.executor.stopped == ["d"]

    def test_one_that_ends_early_has_failed(self) -> None:
        ran = run(self.SPEC.replace("FIELDS", ""), "{daemon: {duration: 1s}}")
        assert (ran["d"].phase, ran["[0]"].phase, ran.phase) == ("Failed", "Failed", "Failed")

    def test_one_that_fails(self) -> None:
        assert run(self.SPEC.replace("FIELDS", ""), "{daemon: {phase: Failed}}").phase == "Failed"

    def test_a_retried_one(self) -> None:
        ran = run(self.SPEC.replace("FIELDS", ", retryStrategy: {limit: 2}"), "{daemon: [{phase: Failed}, {}]}")
        assert (ran["d"].type, ran["d"].phase, ran["d(1)"].phase, ran.phase) == (
            "Retry",
            "Succeeded",
            "Succeeded",
            "Succeeded",
        )

    def test_of_a_task(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, dag: {tasks: [{name: d, template: daemon}, {name: a, template: leaf, depends: d.Daemoned},
                {name: b, template: leaf, depends: d}]}}
            - {name: daemon, daemon: true, container: {image: i}}
            """
        )
        assert (ran["a"].phase, ran["b"].phase, ran.phase) == ("Succeeded", "Succeeded", "Succeeded")

    def test_at_the_top_it_ends_with_the_workflow(self) -> None:
        ran = run("templates: [{name: main, daemon: true, container: {image: i}}]")
        assert (ran.phase, ran["wf"].phase, ran.executor.stopped) == ("Succeeded", "Succeeded", ["wf"])


class TestContainerSets:
    SPEC = """
        templates:
        - name: main
          steps: [[{name: a, template: set}], [{name: b, template: echo, arguments: {parameters: [{name: text,
            value: "{{steps.a.outputs.result}}"}]}}]]
        - name: set
          containerSet: {containers: [{name: x, image: i}, {name: main, image: i, dependencies: [x]}]}
        """

    def test_its_containers_are_nodes(self) -> None:
        ran = run(self.SPEC, "{set: {result: out}}")
        assert (ran["x"].type, ran["x"].phase, ran["x"].boundary_id) == ("Container", "Succeeded", ran["a"].id)
        assert ran.children("a") == ["x"]
        assert ran.children("x") == ["main"]
        assert ran.children("main") == ["[1]"], "what follows hangs under the last container"
        assert ran.text("b") == "out"

    def test_they_may_be_named_by_a_parameter(self) -> None:
        tag = "'{{workflow.parameters.p}}'"
        names = self.SPEC.replace("name: x,", f"name: {tag},").replace("[x]", f"[{tag}]")
        ran = run("arguments: {parameters: [{name: p, value: x}]}\n" + textwrap.dedent(names))
        assert (ran.children("a"), ran.children("x")) == (["x"], ["main"])

    def test_a_failed_container_fails_it_and_what_waits_for_it_gives_up(self) -> None:
        ran = run(self.SPEC, "{'node:x': {phase: Failed, exitCode: 3}}")
        assert (ran["x"].phase, ran["a"].phase, ran.phase) == ("Failed", "Failed", "Failed")
        assert (ran["a"].message, ran["x"].message) == ("x: Error (exit code 3)", "x: Error (exit code 3): ")
        assert ran["main"].phase == "Error"
        assert ran["main"].message == ('main: Error (exit code 64): dependency "x" exited with non-zero code: 3')

    @pytest.mark.parametrize(
        ("retries", "limit", "phases"),
        [
            ("", "0", {"a": "Failed", "a(0)": "Failed"}),
            ("retryStrategy: {retries: 1}, ", "0", {"a": "Failed", "a(0)": "Failed"}),
            ("retryStrategy: {retries: '2', duration: 1s}, ", "0", {"a": "Succeeded", "a(0)": "Succeeded"}),
            ("", "2", {"a": "Succeeded", "a(0)": "Failed", "a(1)": "Failed", "a(2)": "Succeeded"}),
            ("retryStrategy: {retries: 1}, ", "1", {"a": "Succeeded", "a(0)": "Failed", "a(1)": "Succeeded"}),
        ],
    )
    def test_a_container_runs_again_in_its_pod_and_with_it(
        self, retries: str, limit: str, phases: dict[str, str]
    ) -> None:
        spec = self.SPEC.replace(
            "containerSet: {", f"retryStrategy: {{limit: {limit}}}\n          containerSet: {{{retries}"
        )
        ran = run(spec, "{'node:x': [{phase: Failed}, {phase: Failed}, {}]}")
        assert {name: phase for name, phase in ran.phases.items() if name.startswith("a")} == phases

    def test_only_the_main_container_has_an_exit_code_that_others_see(self) -> None:
        assert (run(self.SPEC)["a"].outputs or {})["exitCode"] == "0"
        ran = run("templates: [{name: main, containerSet: {containers: [{name: x, image: i}]}}]")
        assert ran["wf"].outputs is None


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ("container: {image: i}", "Pod"),
        ("script: {image: i, source: x}", "Pod"),
        ("resource: {action: get, manifest: ''}", "Pod"),
        ("data: {source: {artifactPaths: {}}, transformation: []}", "Pod"),
        ("containerSet: {containers: [{name: main, image: i}]}", "Pod"),
        ("http: {url: 'http://localhost'}", "HTTP"),
    ],
)
def test_the_kinds_of_leaves(body: str, type_: str) -> None:
    ran = run(f"templates: [{{name: main, {body}}}]")
    assert (ran.phase, ran["wf"].type) == ("Succeeded", type_)


class TestWhereAPodIs:
    SPEC = """
        templates:
        - {name: main, steps: [[{name: a, template: leaf}], [{name: b, template: echo,
            arguments: {parameters: [{name: text, value: "{{steps.a.hostNodeName}}"}]}}]]}
        """

    def test_it_is_here_where_its_executor_does_not_say(self) -> None:
        ran = run(self.SPEC)
        assert (ran.phase, ran.text("b"), ran["a"].host_node_name) == ("Succeeded", "localhost", "")

    async def test_its_executor_may_say_so(self) -> None:
        class Placed(Recorder):
            def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
                result = super().start(workflow, template, node)
                return msgspec.structs.replace(result, host_node_name="node-7") if result is not None else None

        work, executor = workflow(self.SPEC), Placed(outcomes(""))
        async with Engine(executor=executor) as engine:
            await engine.run([work])
        ran = Ran(work, executor, "")
        assert (ran.text("b"), ran["a"].host_node_name) == ("node-7", "node-7")


class TestOutputs:
    def test_a_pod_that_failed_has_those_with_a_default(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps: [[{name: a, template: bad, continueOn: {failed: true}}], [{name: b, template: echo,
                arguments: {parameters: [{name: text, value: "{{steps.a.outputs.parameters.p}}"}]}}]]
            - name: bad
              container: {image: i}
              outputs: {parameters: [{name: p, valueFrom: {path: /p, default: none}}, {name: q, valueFrom: {path: /q}}]}
            """,
            "{bad: {phase: Failed}}",
        )
        assert ran.outputs("a") == {"p": "none"}
        assert ran.text("b") == "none"
        assert ran["a"].message == "main: Error (exit code 1)"

    def test_declared_parameters_of_leaves(self) -> None:
        spec = """
            templates:
            - name: main
              container: {image: i}
              outputs: {parameters: [{name: a, valueFrom: {path: /a}}, {name: b, valueFrom: {path: /b,
                default: "{{workflow.name}}"}}, {name: c, value: fixed}]}
            """
        assert run(spec, "{main: {parameters: {a: 1}}}").outputs("wf") == {"a": "1", "b": "wf", "c": "fixed"}

    def test_an_artifact_lies_where_argo_puts_it(self) -> None:
        ran = run("templates: [{name: main, steps: [[{name: a, template: file}]]}]")
        key = ran.artifacts("a")["a"]["s3"]["key"]
        assert key == f"wf/wf-file-{ran['a'].id.removeprefix('wf-')}/a.tgz"

    def test_a_failed_leaf_leaves_only_what_it_reported(self) -> None:
        ran = run("templates: [{name: main, steps: [[{name: a, template: file}]]}]", "{file: {phase: Failed}}")
        assert ran.artifacts("a") == {}
        assert ran["a"].outputs == {"exitCode": "1"}


class TestVolumes:
    @pytest.mark.parametrize(
        "fields",
        [
            "container: {image: i, volumeMounts: [{name: v, mountPath: /v}]}",
            "script: {image: i, source: x, volumeMounts: [{name: v, mountPath: /v}]}",
            "containerSet: {containers: [{name: main, image: i}], volumeMounts: [{name: v, mountPath: /v}]}",
            "container: {image: i}, sidecars: [{name: s, image: i, volumeMounts: [{name: v, mountPath: /v}]}]",
            "container: {image: i}, initContainers: [{name: s, image: i, volumeMounts: [{name: v, mountPath: /v}]}]",
            "inputs: {parameters: [{name: x, value: v}]}, "
            "container: {image: i, volumeMounts: [{name: '{{inputs.parameters.x}}', mountPath: /v}]}",
        ],
    )
    def test_what_is_mounted_is_there(self, fields: str) -> None:
        spec = f"templates: [{{name: main, {fields}}}]"
        ran = run(spec)
        assert (ran.phase, ran["wf"].phase) == ("Error", "Error")
        assert ran["wf"].message == "volume 'v' not found in workflow spec"
        assert ran.executor.started == {}
        assert run("volumes: [{name: v, emptyDir: {}}]\n" + spec).phase == "Succeeded"
        assert run("volumeClaimTemplates: [{metadata: {name: v}}]\n" + spec).phase == "Succeeded"
        named = "arguments: {parameters: [{name: p, value: v}]}\nvolumes: [{name: '{{workflow.parameters.p}}'}]\n"
        assert run(named + spec).phase == "Succeeded"
        assert (
            run(spec.replace("{name: main,", "{name: main, volumes: [{name: v, emptyDir: {}}],", 1)).phase
            == "Succeeded"
        )

    def test_one_that_is_not_ends_the_steps_around_it(self) -> None:
        spec = """
            templates:
            - {name: main, steps: [[{name: a, template: t, continueOn: {error: true}}], [{name: b, template: leaf}]]}
            - {name: t, container: {image: i, volumeMounts: [{name: v, mountPath: /v}]}}
            """
        ran = run(spec)
        assert (ran["a"].phase, ran["[0]"].phase, ran.phase) == ("Error", "Error", "Failed")
        assert "b" not in ran.nodes
