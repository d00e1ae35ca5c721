"""What Hera writes runs: scripts with parameters and results, artifacts, and its runner."""

# Hera reads annotations: they are not to be texts here.

import sys
from pathlib import Path
from typing import Any

from hera.shared import GlobalConfig
from hera.workflows import DAG, Artifact, Parameter, Steps, Workflow, script
from hera.workflows import models as argo

from tests.local.test_command_line import nodes_of, oarlock, written


@script()
def add(a: int, b: int) -> None:
    print(a + b)


@script(outputs=Parameter(name="doubled", value_from=argo.ValueFrom(path="/tmp/hera-outputs/parameters/doubled")))
def double(x: int) -> None:
    from pathlib import Path

    Path("/tmp/hera-outputs/parameters/doubled").write_text(str(2 * x))


@script(outputs=Artifact(name="words", path="/tmp/words.json"))
def write(words: list[str]) -> None:
    import json

    with open("/tmp/words.json", "w") as file:
        json.dump(words, file)


@script(inputs=Artifact(name="words", path="/tmp/words.json"))
def read() -> None:
    import json

    with open("/tmp/words.json") as file:
        print(" ".join(json.load(file)))


def test_scripts_of_hera_run(tmp_path: Path) -> None:
    GlobalConfig.image = "python:3.11"
    with Workflow(generate_name="hera-", entrypoint="main") as workflow, DAG(name="main"):
        three: Any = add(name="three", arguments={"a": 1, "b": 2})
        six: Any = double(name="six", arguments={"x": three.result})
        nine: Any = add(name="nine", arguments={"a": three.result, "b": six.get_parameter("doubled")})
        three >> six >> nine
    ended = oarlock(tmp_path, "run", written(tmp_path, workflow.to_yaml()), "--output", "json")
    assert ended.returncode == 0, ended.stderr
    assert nodes_of(ended)["nine"]["outputs"]["result"] == "9"


def test_artifacts_of_hera_pass(tmp_path: Path) -> None:
    with Workflow(generate_name="hera-", entrypoint="main") as workflow, Steps(name="main"):
        made: Any = write(arguments={"words": ["a", "b"]})
        read(arguments={"words": made.get_artifact("words")})
    ended = oarlock(tmp_path, "run", written(tmp_path, workflow.to_yaml()), "--output", "json")
    assert ended.returncode == 0, ended.stderr
    assert nodes_of(ended)["read"]["outputs"]["result"] == "a b"


def test_the_runner_of_hera_writes_what_a_function_returns(tmp_path: Path) -> None:
    """As its `constructor="runner"` has it, for a function in a module of the image."""
    module = "def next_of(x: int) -> int:\n    return x + 1\n"
    source = "{{inputs.parameters}}"
    template = {
        "name": "main",
        "inputs": {"parameters": [{"name": "x", "value": "6"}], "artifacts": [MODULE | {"raw": {"data": module}}]},
        "script": {
            "image": "python:3.11",
            "command": ["python"],
            "args": ["-m", "hera.workflows.runner", "-e", "of_mine:next_of"],
            "source": source,
            "env": [
                {"name": "hera__outputs_directory", "value": "/tmp/hera-outputs"},
                {"name": "PYTHONPATH", "value": "/modules"},
                {"name": "PATH", "value": str(Path(sys.executable).parent)},
            ],
        },
    }
    document = {"metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [template]}}
    ended = oarlock(tmp_path, "run", written(tmp_path, document), "--output", "json")
    assert ended.returncode == 0, ended.stdout
    assert nodes_of(ended)["w"]["outputs"]["result"] == "7"


MODULE = {"name": "module", "path": "/modules/of_mine.py"}
