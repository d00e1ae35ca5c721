"""What `run` has written goes on from there: `stop`, `terminate`, `suspend`, `resume`, `retry`, and `run` itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from tests.acceptance.fixtures import Ended, RunOarlock, WriteWorkflow
from tests.acceptance.manifests import container, steps, workflow

ASK = {
    "name": "ask",
    "suspend": {},
    "outputs": {"parameters": [{"name": "answer", "valueFrom": {"supplied": {}}}]},
}
MAIN = {
    "name": "main",
    "steps": [
        [{"name": "before", "template": "leaf"}],
        [{"name": "approve", "template": "ask"}],
        [
            {
                "name": "after",
                "template": "say",
                "arguments": {"parameters": [{"name": "text", "value": "{{steps.approve.outputs.parameters.answer}}"}]},
            }
        ],
    ],
}
SAY = container("say", "echo", "{{inputs.parameters.text}}", inputs={"parameters": [{"name": "text"}]})


@pytest.fixture
def saved(tmp_path: Path, oarlock: RunOarlock) -> WriteWorkflow:
    """Run a workflow as far as it goes, and write it to a file."""

    def save(
        *templates: Mapping[str, Any],
        outcomes: Mapping[str, Any] | None = None,
        output: str = "yaml",
        flags: Sequence[str] = (),
        name: str = "work",
        **spec: Any,
    ) -> str:
        document = workflow(*templates, name=name, **spec).to_dict()
        (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(document))
        (tmp_path / "first.yaml").write_text(yaml.safe_dump(outcomes or {"nothing": {}}))
        ending = ("--outcomes", "first.yaml") if outcomes else ()
        done = oarlock("run", "manifest.yaml", "--output", output, *ending, *flags)
        (tmp_path / f"{name}.{output}").write_text(done.out)
        return f"{name}.{output}"

    return save


def nodes(done: Ended) -> dict[str, Any]:
    return {node["displayName"]: node for node in json.loads(done.out)["status"]["nodes"].values()}


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_resume_goes_on_with_what_is_supplied(output: str, saved: WriteWorkflow, oarlock: RunOarlock) -> None:
    file = saved(MAIN, container("leaf"), ASK, SAY, output=output)
    done = oarlock("resume", file, "-p", "answer=yes = maybe", "--output", "json")
    assert (done.code, done.err) == (0, "")
    assert nodes(done)["after"]["inputs"]["parameters"] == [{"name": "text", "value": "yes = maybe"}]
    selected = oarlock("resume", file, "--node-field-selector", "displayName=approve", "-p", "answer=no")
    assert selected.code == 0


def test_a_selected_node_fails_with_a_message(saved: WriteWorkflow, oarlock: RunOarlock) -> None:
    file = saved(MAIN, container("leaf"), ASK, SAY)
    options = ("--node-field-selector", "displayName=approve", "--message", "not today")
    done = oarlock("stop", file, *options, "--output", "json")
    assert done.code == 1
    assert nodes(done)["approve"]["message"] == "not today"


def test_stop_runs_the_exit_handler_and_terminate_does_not(saved: WriteWorkflow, oarlock: RunOarlock) -> None:
    file = saved(MAIN, container("leaf"), ASK, SAY, onExit="leaf")
    stopped = oarlock("stop", file, "--message", "enough", "--output", "json")
    assert stopped.code == 1
    assert json.loads(stopped.out)["status"]["message"] == "Stopped with strategy 'Stop': enough"
    assert nodes(stopped)["work.onExit"]["phase"] == "Succeeded"
    terminated = oarlock("terminate", file, "--output", "json")
    assert terminated.code == 1
    assert "work.onExit" not in nodes(terminated)


def test_running_leaves_of_a_saved_workflow_are_ended(saved: WriteWorkflow, oarlock: RunOarlock) -> None:
    file = saved(steps("a"), container("leaf"), flags=("--executor", "pending"))
    done = oarlock("stop", file, "--output", "json")
    assert (done.code, nodes(done)["a"]["phase"]) == (1, "Failed")


def test_suspend_holds_a_workflow_and_resume_lets_it_go(
    saved: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path
) -> None:
    file = saved(MAIN, container("leaf"), ASK, SAY)
    done = oarlock("suspend", file, "--output", "yaml")
    assert (done.code, done.err) == (3, "default/work is not finished: the workflow is suspended\n")
    (tmp_path / "held.yaml").write_text(done.out)
    assert oarlock("run", "held.yaml").code == 3
    assert oarlock("resume", "held.yaml", "-p", "answer=yes").code == 0


def test_retry_runs_what_failed(saved: WriteWorkflow, oarlock: RunOarlock) -> None:
    file = saved(steps("a", "b"), container("leaf"), outcomes={"node:b": {"phase": "Failed"}})
    before = yaml.safe_load((oarlock("run", file, "--output", "yaml")).out)
    assert before["status"]["phase"] == "Failed"
    done = oarlock("retry", file, "--output", "json")
    assert done.code == 0
    a = [node for node in before["status"]["nodes"].values() if node["displayName"] == "a"]
    assert [nodes(done)["a"]] == a, "it has not run again"


def test_retry_restarts_what_it_is_told(saved: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path) -> None:
    file = saved(steps("a", "b"), container("leaf"))
    (tmp_path / "again.yaml").write_text(yaml.safe_dump({"node:a": {"phase": "Failed"}}))
    options = ("--restart-successful", "--node-field-selector", "displayName=a", "--outcomes", "again.yaml")
    assert oarlock("retry", file, *options).code == 1


def test_retry_overrides_arguments(saved: WriteWorkflow, oarlock: RunOarlock) -> None:
    main = {
        "name": "main",
        "steps": [
            [
                {
                    "name": "say",
                    "template": "say",
                    "arguments": {"parameters": [{"name": "text", "value": "{{workflow.parameters.p}}"}]},
                }
            ]
        ],
    }
    arguments = {"parameters": [{"name": "p", "value": "old"}]}
    file = saved(main, SAY, outcomes={"say": {"phase": "Failed"}}, arguments=arguments)
    done = oarlock("retry", file, "--parameter", "p=new", "--output", "json")
    assert done.code == 0
    assert nodes(done)["say"]["inputs"]["parameters"][0]["value"] == "new"


def test_simulated_time_goes_on_from_where_it_was(saved: WriteWorkflow, oarlock: RunOarlock) -> None:
    """A workflow that was ahead of the clock when it was written does not end before it began."""
    nap = {"name": "nap", "suspend": {"duration": "100h"}}
    main = {"name": "main", "steps": [[{"name": "nap", "template": "nap"}], [{"name": "approve", "template": "ask"}]]}
    done = oarlock("resume", saved(main, nap, ASK), "-p", "answer=yes", "--output", "json")
    approve = nodes(done)["approve"]
    assert approve["startedAt"] <= approve["finishedAt"]
    assert nodes(done)["nap"]["finishedAt"] <= json.loads(done.out)["status"]["finishedAt"]


def test_several_workflows_in_one_file(saved: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path) -> None:
    files = [saved(MAIN, container("leaf"), ASK, SAY, name=name) for name in ("one", "two")]
    done = oarlock("run", *files, "--output", "json")
    (tmp_path / "both.json").write_text(done.out)
    assert oarlock("resume", "both.json", "-p", "answer=yes").code == 0


class TestBadInput:
    """One line on standard error, exit code 2, nothing on standard output."""

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            (("stop",), "default/work: expected a workflow that is not finished, this one is Succeeded"),
            (("terminate",), "default/work: expected a workflow that is not finished, this one is Succeeded"),
            (("suspend",), "default/work: expected a workflow that is not finished, this one is Succeeded"),
            (("resume",), "default/work: expected a workflow that is not finished, this one is Succeeded"),
            (("retry",), "default/work: to retry a succeeded workflow, set the options restart-successful and node"),
            (("retry", "--restart-successful"), "default/work: restart-successful says nothing without node field"),
            (("run", "-p", "a=b"), "default/work has begun: its arguments and entrypoint are what they are"),
            (("run", "--entrypoint", "leaf"), "default/work has begun: its arguments and entrypoint are what they are"),
        ],
    )
    def test_of_a_finished_workflow(
        self, command: tuple[str, ...], reason: str, saved: WriteWorkflow, oarlock: RunOarlock
    ) -> None:
        name, *options = command
        done = oarlock(name, saved(steps("a"), container("leaf")), *options)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"Error: {reason}"), done.err
        assert done.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            (("retry",), "default/work: cannot retry a workflow in phase Running"),
            (("resume",), "node 'approve': raw output parameter 'answer' has not been set and does not have a default"),
            (("resume", "-p", "x=1"), "node 'approve' is not expecting output parameter 'x'"),
            (("resume", "--node-field-selector", "id=x"), "no suspended node matches 'id=x'; suspended: approve"),
            (("stop", "--node-field-selector", "x"), "node field selector 'x': expected FIELD=VALUE or FIELD!=VALUE"),
        ],
    )
    def test_of_an_unfinished_workflow(
        self, command: tuple[str, ...], reason: str, saved: WriteWorkflow, oarlock: RunOarlock
    ) -> None:
        name, *options = command
        done = oarlock(name, saved(MAIN, container("leaf"), ASK, SAY), *options)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"Error: {reason}"), done.err
        assert done.err.count("\n") == 1

    @pytest.mark.parametrize("value", ["answer", "=yes"])
    def test_what_is_no_assignment(self, value: str, saved: WriteWorkflow, oarlock: RunOarlock) -> None:
        done = oarlock("resume", saved(MAIN, container("leaf"), ASK, SAY), "-p", value)
        assert (done.code, done.out) == (2, "")
        assert f"expected NAME=VALUE, got {value!r}" in done.err


class TestSubmitting:
    """`run` takes arguments and an entrypoint as `argo submit` does."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        main = steps("a", name="main")
        say = container("say", "echo", inputs={"parameters": [{"name": "p"}]})
        document = workflow(main, say, container("leaf")).to_dict()
        document["spec"]["arguments"] = {"parameters": [{"name": "p"}, {"name": "q", "value": "kept"}]}
        document["spec"]["entrypoint"] = "say"
        (tmp_path / "work.yaml").write_text(yaml.safe_dump(document))
        return "work.yaml"

    def parameters(self, done: Ended) -> dict[str, Any]:
        return {each["name"]: each["value"] for each in json.loads(done.out)["spec"]["arguments"]["parameters"]}

    def test_a_parameter(self, file: str, oarlock: RunOarlock) -> None:
        assert oarlock("run", file).code == 1, "it has no value"
        done = oarlock("run", file, "-p", "p=1", "--output", "json")
        assert done.code == 0
        assert self.parameters(done) == {"p": "1", "q": "kept"}
        assert nodes(done)["work"]["inputs"]["parameters"] == [{"name": "p", "value": "1"}]

    @pytest.mark.parametrize("content", ["p: 1\nq: [a, 2]\nr: true\n", '{"p": 1, "q": ["a", 2], "r": true}'])
    def test_a_file_of_parameters(self, content: str, file: str, oarlock: RunOarlock, tmp_path: Path) -> None:
        (tmp_path / "parameters.yaml").write_text(content)
        done = oarlock("run", file, "--parameter-file", "parameters.yaml", "--output", "json")
        assert self.parameters(done) == {"p": "1", "q": '["a",2]', "r": "true"}
        done = oarlock("run", file, "-f", "parameters.yaml", "-p", "p=over", "--output", "json")
        assert self.parameters(done)["p"] == "over"

    def test_a_file_that_is_none(self, file: str, oarlock: RunOarlock, tmp_path: Path) -> None:
        (tmp_path / "parameters.yaml").write_text("- p\n")
        done = oarlock("run", file, "-f", "parameters.yaml")
        assert (done.code, done.err) == (2, "Error: parameters.yaml: expected one mapping, found a list\n")

    def test_an_entrypoint(self, file: str, oarlock: RunOarlock) -> None:
        done = oarlock("run", file, "--entrypoint", "main", "-p", "p=1", "--output", "json")
        assert set(nodes(done)) == {"work", "[0]", "a"}
        assert oarlock("run", file, "--entrypoint", "nowhere").code == 1, "an invalid spec, as in the manifest"


class TestOutcomesForNothing:
    """A typing error in an outcomes file is told, since all it would do is let a leaf succeed."""

    MAIN: ClassVar[dict[str, Any]] = {
        "name": "main",
        "steps": [
            [{"name": "a", "template": "leaf", "withItems": ["x", "w"]}],
            [{"name": "b", "template": "leaf", "when": "1 == 2"}, {"name": "c", "template": "again"}],
            [{"name": "s", "template": "set"}],
        ],
    }

    @pytest.fixture
    def told(self, tmp_path: Path, oarlock: RunOarlock) -> Callable[..., str]:
        again = container("again", retryStrategy={"limit": 1})
        pods = {"name": "set", "containerSet": {"containers": [{"name": "one", "image": "i"}]}}
        document = workflow(self.MAIN, container("leaf"), again, pods, onExit="leaf").to_dict()
        (tmp_path / "work.yaml").write_text(yaml.safe_dump(document))

        def run(*names: str) -> str:
            (tmp_path / "outcomes.yaml").write_text(yaml.safe_dump({name: {} for name in names}))
            done = oarlock("run", "work.yaml", "--outcomes", "outcomes.yaml")
            assert done.code == 0
            return done.err

        return run

    @pytest.mark.parametrize(
        "name",
        [
            "leaf",
            "main",
            "node:a(0:x)",
            "node:b",
            "node:b(3:whatever)",
            "node:c",
            "node:c(0)",
            "node:c(1)",
            "node:a(0:x)(2)",
            "node:work.hooks.gone",
            "node:one",
            "node:work",
            "node:work.onExit",
            "node:b.onExit",
        ],
    )
    def test_what_is_there_or_may_be_is_not_told(self, name: str, told: Callable[..., str]) -> None:
        assert told(name) == ""

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("lef", "there is no template 'lef'; is it 'leaf'?"),
            ("a", "there is no template 'a'"),
            ("node:leaf", "there is no node 'leaf'"),
            ("node:a(0:y)(0)", "there is no node 'a(0:y)(0)'; is it 'a(0:x)'?"),
            ("node:a", "there is no node 'a'; is it 'a(1:w)'?"),
            ("node:a(0:y)", "there is no node 'a(0:y)'; is it 'a(0:x)'?"),
            ("node:zzzzz", "there is no node 'zzzzz'"),
        ],
    )
    def test_what_is_not_there_is_told(self, name: str, reason: str, told: Callable[..., str]) -> None:
        assert told(name) == f"warning: outcomes.yaml: {reason}\n"
