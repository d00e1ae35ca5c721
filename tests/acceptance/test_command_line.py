"""The command line: outputs, exit codes, simulated time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from engine.cli.program import oarlock as main
from tests.acceptance.fixtures import RunOarlock, RunPython, WriteWorkflow
from tests.acceptance.manifests import container, loop, steps, workflow
from tests.processes import started
from tests.threads import serving

WriteOutcomes = Callable[[Mapping[str, Any]], str]
"""Writes an outcomes file, and gives its name."""


@pytest.fixture
def wf(tmp_path: Path) -> WriteWorkflow:
    """Write a workflow to a file of its name."""

    def write(*templates: Mapping[str, Any], name: str = "work", **spec: Any) -> str:
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(workflow(*templates, name=name, **spec).to_dict()))
        return f"{name}.yaml"

    return write


@pytest.fixture
def sick_plugin(tmp_path: Path) -> Iterator[str]:
    """A configuration with one plugin, which answers 503 to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        (tmp_path / "sick.toml").write_text(
            f'[engine]\nenabled = true\n[[plugins]]\nname = "sick"\naddress = "{address}"\n'
        )
        yield "sick.toml"


@pytest.fixture
def outcomes(tmp_path: Path) -> WriteOutcomes:
    def write(document: Mapping[str, Any]) -> str:
        (tmp_path / "outcomes.yaml").write_text(yaml.safe_dump(document))
        return "outcomes.yaml"

    return write


def _files() -> list[tuple[str, str]]:
    """Each command with an argument or option that names a file; an argument by no name."""
    return [
        (name, each.opts[0] if isinstance(each, click.Option) else "")
        for name, command in main.commands.items()
        for each in command.params
        if isinstance(each.type, click.Path)
    ]


@pytest.mark.parametrize(("command", "option"), _files())
def test_a_file_without_a_name_is_refused_as_such(command: str, option: str, oarlock: RunOarlock) -> None:
    ended = oarlock(command, *filter(None, [option]), "")
    assert (ended.code, ended.out) == (2, "")
    assert "expected the name of a file, got an empty one" in ended.err
    assert option in ended.err


def test_the_summary_shows_the_phases_as_a_tree(wf: WriteWorkflow, oarlock: RunOarlock) -> None:
    done = oarlock("run", wf(steps("a", "b"), container("leaf")))
    assert done.code == 0
    assert done.out.splitlines() == [
        "work Succeeded  5 Succeeded",
        "└── work Succeeded",
        "    ├── a Succeeded",
        "    └── b Succeeded",
    ]
    assert done.err == ""


@pytest.mark.parametrize("module", ["engine", "engine.cli"])
def test_it_is_a_process_like_any_other(module: str, wf: WriteWorkflow, process: RunPython) -> None:
    """`oarlock` is `engine.cli:main` too; both import without a warning, and say nothing but what was asked for."""
    start = ["-m", "engine"] if module == "engine" else ["-c", "from engine.cli import main; main()"]
    done = process(*start, "run", wf(container("main")), "--output", "json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["status"]["phase"] == "Succeeded"


def test_json_is_one_object_in_argos_shape(wf: WriteWorkflow, oarlock: RunOarlock) -> None:
    done = oarlock("run", wf(container("main")), "--output", "json")
    document = json.loads(done.out)
    assert document["kind"] == "Workflow"
    assert document["metadata"]["labels"]["workflows.argoproj.io/phase"] == "Succeeded"
    (node,) = document["status"]["nodes"].values()
    assert {"id", "name", "displayName", "type", "phase", "startedAt", "finishedAt", "templateName"} <= node.keys()


def test_json_of_several_workflows_is_a_list_in_their_order(wf: WriteWorkflow, oarlock: RunOarlock) -> None:
    files = [wf(container("main"), name=name) for name in ("b", "a")]
    done = oarlock("run", *files, "--output", "json")
    assert [each["metadata"]["name"] for each in json.loads(done.out)] == ["b", "a"]


def test_a_reader_that_takes_its_time_gets_all_of_it(wf: WriteWorkflow, tmp_path: Path) -> None:
    """Unbuffered, a write to a pipe ends in the middle where the process was stopped meanwhile (a frozen container)."""
    command = (sys.executable, "-m", "engine", "run", wf(loop(400), container("leaf")), "--output", "json")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with started(*command, cwd=tmp_path, stdout=subprocess.PIPE, env=environment) as run:
        assert run.stdout is not None
        head = run.stdout.read(1)  # it is writing, and the pipe will be full
        run.send_signal(signal.SIGSTOP)
        os.waitpid(run.pid, os.WUNTRACED)
        run.send_signal(signal.SIGCONT)
        rest = run.stdout.read()
        assert run.wait(timeout=240) == 0
    assert len(json.loads(head + rest)["status"]["nodes"]) == 402


def test_yaml_can_be_run_again(wf: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path) -> None:
    done = oarlock("run", wf(steps("a"), container("leaf")), "--output", "yaml")
    (tmp_path / "ended.yaml").write_text(done.out)
    again = oarlock("run", "ended.yaml", "--output", "yaml")
    assert (again.code, again.out) == (0, done.out), "what has ended is left as it is"


def test_logs_go_to_standard_error_and_results_to_standard_output(
    wf: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "plugins.toml").write_text("[engine]\nenabled = true\n")
    done = oarlock("run", wf(container("main")), "--config", "plugins.toml", "--output", "json", "--verbose")
    json.loads(done.out)
    assert done.err == 'level=info msg="plugins enabled" by=config\n'


def test_what_the_engine_does_is_logged_only_where_that_is_asked_for(
    wf: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "plugins.toml").write_text("[engine]\nenabled = true\n")
    assert oarlock("run", wf(container("main")), "--config", "plugins.toml").err == ""


def test_a_pass_that_is_aborted_is_logged_with_its_workflow_and_number(
    wf: WriteWorkflow, sick_plugin: str, oarlock: RunOarlock, tmp_path: Path
) -> None:
    with (tmp_path / sick_plugin).open("a") as config:
        config.write("retry = { attempts = 1 }\n")
    done = oarlock("run", wf(container("main")), "--config", sick_plugin, "--timeout", "5s")
    first, *_ = (line for line in done.err.splitlines() if "pass aborted" in line)
    assert first.startswith('level=warning msg="pass aborted" workflow=default/')
    assert " pass_id=1 reason=" in first


def test_the_counters_of_everything_are_printed(wf: WriteWorkflow, sick_plugin: str, oarlock: RunOarlock) -> None:
    done = oarlock("run", wf(container("main")), "--config", sick_plugin, "--timeout", "5s", "--stats")
    told: dict[str, dict[str, str]] = {}
    for line in done.err.splitlines():
        match re.split(r"\s{2,}", line.strip()):
            case [title] if title.partition(" ")[0] in ("engine", "registry", "plugin"):
                table = told.setdefault(title, {})
            case [name, value] if told:
                table[name] = value
    assert told.keys() == {"engine", "registry", "plugin sick"}
    assert 1 <= int(told["engine"]["aborted"]) <= int(told["engine"]["passes"])
    assert told["engine"]["workflows"] == "1"
    assert told["registry"].items() >= {"generation": "1", "plugins": "1", "reloads": "0", "rejected": "0"}.items()
    sick = told["plugin sick"]
    assert int(sick["busy"]) > int(sick["retries"]) > 0
    # The timeout may come between a retry's being paid for and its being sent.
    assert 0 <= int(told["registry"]["retries"]) - int(sick["retries"]) <= 1
    assert sick["breaker"] == "closed, opened 0 times"
    assert int(sick["concurrency limit"]) < 4
    assert sick["in flight, waiting"] == "0, 0"
    # All that metrics have: calls by method and outcome, how long what took, what nobody knows.
    asked = [name.removesuffix(" travelled") for name in sick if name.endswith(" travelled")]
    assert asked
    for route in asked:
        assert re.search(r"\d busy", sick[route.removesuffix(".batch")])
        for times in (sick[f"{route} waited"], sick[f"{route} travelled"]):
            assert re.fullmatch(r"[\d,]+, p50, p99, max [\d.]+ [\d.]+ [\d.]+ ms", times)
    assert sick["unknown fields"] == "0"
    assert int(sick["attempts"]) >= int(sick["busy"])
    assert told["engine"]["passes aborted"].startswith(f"{told['engine']['aborted']}, p50")
    assert told["engine"].keys() >= {"turns of the loop", "oldest queued"}


def test_the_environment_enables_plugins_as_in_the_proposal(
    wf: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "plugins.toml").write_text("configmaps = []\n")
    environment = {"ARGO_PLUGINS": "true"}
    done = oarlock("run", wf(container("main")), "--config", "plugins.toml", "--verbose", env=environment)
    assert done.err == 'level=info msg="plugins enabled" by=ARGO_PLUGINS\n'


class TestExitCodes:
    def test_0_where_all_succeeded(self, wf: WriteWorkflow, oarlock: RunOarlock) -> None:
        assert oarlock("run", wf(container("main")), wf(container("main"), name="other")).code == 0

    @pytest.mark.parametrize("phase", ["Failed", "Error"])
    def test_1_where_one_did_not(
        self, phase: str, wf: WriteWorkflow, outcomes: WriteOutcomes, oarlock: RunOarlock
    ) -> None:
        files = wf(container("good")), wf(container("bad"), name="other")
        assert oarlock("run", *files, "--outcomes", outcomes({"bad": {"phase": phase}})).code == 1

    def test_3_where_one_is_suspended_and_it_says_so(self, wf: WriteWorkflow, oarlock: RunOarlock) -> None:
        done = oarlock("run", wf(steps("approve", template="wait"), {"name": "wait", "suspend": {}}))
        assert done.code == 3
        assert done.err == "default/work is not finished: 1 suspended (approve)\n"

    def test_3_where_leaves_are_pending(self, wf: WriteWorkflow, oarlock: RunOarlock) -> None:
        done = oarlock("run", wf(loop(5), container("leaf")), "--executor", "pending")
        assert done.code == 3
        expected = "5 running (each(0:0), each(1:1), each(2:2), …)"
        assert done.err == f"default/work is not finished: {expected}\n"

    def test_3_where_a_leaf_takes_longer_than_the_timeout(
        self, wf: WriteWorkflow, outcomes: WriteOutcomes, oarlock: RunOarlock
    ) -> None:
        file = outcomes({"main": {"duration": "1h"}})
        done = oarlock("run", wf(container("main")), "--outcomes", file, "--timeout", "30m")
        assert done.code == 3
        assert done.err == "default/work is not finished: 1 running (work)\n"

    def test_3_where_a_plugin_never_recovers(self, wf: WriteWorkflow, sick_plugin: str, oarlock: RunOarlock) -> None:
        done = oarlock("run", wf(container("main")), "--config", sick_plugin, "--timeout", "5s")
        assert done.code == 3
        *_, last = done.err.splitlines()
        assert last.startswith("default/work is not finished: plugin 'sick', workflow.preOperate: status 503")

    def test_an_invalid_spec_is_failed_with_the_reason_and_no_nodes(
        self, wf: WriteWorkflow, oarlock: RunOarlock
    ) -> None:
        done = oarlock("run", wf(steps("a", template="nowhere")), "--output", "json")
        assert done.code == 1
        status = json.loads(done.out)["status"]
        assert status["phase"] == "Failed"
        assert status["message"].startswith("invalid spec: templates.main.steps[0].a")
        assert "nowhere" in status["message"]
        assert not status.get("nodes")


class TestSimulatedTime:
    """What takes hours is over at once, and the nodes still say how long it took."""

    def test_a_suspend_of_five_minutes(self, wf: WriteWorkflow, oarlock: RunOarlock) -> None:
        done = oarlock("run", wf(steps("rest"), {"name": "leaf", "suspend": {"duration": "5m"}}), "--output", "yaml")
        assert done.code == 0
        assert seconds_taken(yaml.safe_load(done.out)["status"], "rest") == 300

    def test_durations_retries_and_deadlines(
        self, wf: WriteWorkflow, outcomes: WriteOutcomes, oarlock: RunOarlock
    ) -> None:
        leaf = container("leaf", retryStrategy={"limit": 3, "backoff": {"duration": "10m", "factor": 2}})
        file = outcomes({"leaf": [{"phase": "Failed", "duration": "1h"}, {"phase": "Succeeded", "duration": 60}]})
        done = oarlock("run", wf(steps("a"), leaf), "--outcomes", file, "--output", "yaml")
        assert done.code == 0, done.err
        assert seconds_taken(yaml.safe_load(done.out)["status"], "a") == 3600 + 600 + 60

    def test_a_deadline_ends_what_would_run_on(
        self, wf: WriteWorkflow, outcomes: WriteOutcomes, oarlock: RunOarlock
    ) -> None:
        file = outcomes({"leaf": {"duration": "2h"}})
        work = wf(steps("a"), container("leaf"), activeDeadlineSeconds=600)
        done = oarlock("run", work, "--outcomes", file, "--output", "yaml")
        assert done.code == 1
        status = yaml.safe_load(done.out)["status"]
        assert status["phase"] == "Failed"
        assert seconds_taken(status, "a") == 600


def seconds_taken(status: dict[str, Any], name: str) -> float:
    (node,) = [node for node in status["nodes"].values() if node["displayName"] == name]
    started, finished = (yaml.safe_load(node[field]) for field in ("startedAt", "finishedAt"))
    return float((finished - started).total_seconds())


def test_outcomes_say_how_leaves_end(wf: WriteWorkflow, outcomes: WriteOutcomes, oarlock: RunOarlock) -> None:
    template = container("leaf", outputs={"parameters": [{"name": "colour", "valueFrom": {"path": "/tmp/colour"}}]})
    main = {
        "name": "main",
        "steps": [
            [{"name": "a", "template": "leaf"}],
            [{"name": "b", "template": "leaf", "when": "{{steps.a.outputs.parameters.colour}} == red"}],
        ],
    }
    file = outcomes(
        {"node:a": {"parameters": {"colour": "red"}, "result": "7"}, "node:b": {"phase": "Failed", "exitCode": 3}}
    )
    done = oarlock("run", wf(main, template), "--outcomes", file, "--output", "json")
    assert done.code == 1
    nodes = {node["displayName"]: node for node in json.loads(done.out)["status"]["nodes"].values()}
    assert nodes["a"]["outputs"]["result"] == "7"
    assert (nodes["b"]["phase"], nodes["b"]["outputs"]["exitCode"]) == ("Failed", "3")


def test_templates_are_found_in_further_files(wf: WriteWorkflow, oarlock: RunOarlock, tmp_path: Path) -> None:
    shared = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": "shared"},
        "spec": {"templates": [container("leaf")]},
    }
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(shared))
    main = {"name": "main", "steps": [[{"name": "a", "templateRef": {"name": "shared", "template": "leaf"}}]]}
    assert oarlock("run", wf(main), "shared.yaml").code == 0


def test_interrupted_it_stops_without_a_traceback(wf: WriteWorkflow, sick_plugin: str, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "engine", "run", wf(container("main")), "--config", sick_plugin)
    with started(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert any("pass aborted" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=240)
    assert process.returncode != 0
    assert "Traceback" not in told
