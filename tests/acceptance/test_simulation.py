"""What a simulated run makes up, that it says so, and the file in which somebody says otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from engine import Engine, Outcomes, SimulatedExecutor, Workflow
from tests.acceptance.fixtures import RunOarlock

WORKFLOW = """
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
  templates:
  - name: main
    %s
  - {name: leaf, inputs: {parameters: [{name: a, default: x}]}, container: {image: i}}
  - {name: list, container: {image: i}}
  - {name: look, script: {image: i, source: x}, outputs: {parameters: [{name: p, valueFrom: {path: /p}}]}}
"""
LEAF = {"name": "main", "container": {"image": "any"}}
ITEM = 'arguments: {parameters: [{name: a, value: "{{item}}"}]}'
LOOPS = [
    'steps: [[{name: l, template: list}], [{name: t, template: leaf, withParam: "{{steps.l.outputs.result}}", %s}]]',
    "dag: {tasks: [{name: l, template: list}, {name: t, template: leaf, depends: l, "
    'withParam: "{{tasks.l.outputs.result}}", %s}]}',
]
WHEN = 'steps: [[{name: l, template: look}], [{name: t, template: leaf, when: "{{steps.l.outputs.result}} == red"}]]'


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_loop_is_over_and_nobody_has_given_is_an_empty_list(
    oarlock: RunOarlock, tmp_path: Path, loop: str
) -> None:
    (tmp_path / "wf.yaml").write_text(WORKFLOW % (loop % ITEM))
    done = oarlock("run", "wf.yaml")
    assert done.code == 0
    assert "{{item}}" not in done.out
    assert done.err == "simulated, since no --outcomes say otherwise: list's result is [] (read by withParam of t)\n"


def test_a_when_that_fails_on_what_was_made_up_says_so(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(WORKFLOW % WHEN)
    done = oarlock("run", "wf.yaml", "--output", "json")
    assert done.code == 1
    assert done.err == (
        "an operand of the 'when' is empty because it was simulated: give look's result with --outcomes\n"
    )


def test_what_was_given_is_not_told_of(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(WORKFLOW % WHEN)
    (tmp_path / "o.yaml").write_text(json.dumps({"look": {"result": "red"}}))
    done = oarlock("run", "wf.yaml", "--outcomes", "o.yaml")
    assert (done.code, done.err) == (0, "")


def test_the_skeleton_has_the_outputs_that_are_read_and_can_be_given(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(WORKFLOW % (LOOPS[0] % ITEM))
    done = oarlock("outcomes", "wf.yaml")
    assert done.code == 0
    assert yaml.safe_load(done.out) == {"list": {"result": "[]"}}
    assert "# result: read by withParam of t\n" in done.out
    (tmp_path / "o.yaml").write_text(done.out)
    assert oarlock("run", "wf.yaml", "--outcomes", "o.yaml").code == 0


def test_where_nothing_is_read_the_skeleton_is_empty(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(WORKFLOW % "container: {image: i}")
    done = oarlock("outcomes", "wf.yaml")
    assert yaml.safe_load(done.out) == {}
    assert oarlock("outcomes", "gone.yaml").code == 2


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        ({"phase": "Sucess"}, "phase: expected Succeeded or Failed or Error or Skipped, got 'Sucess'"),
        ({"fase": "Failed"}, "this has no field 'fase', only phase, message, exitCode, result, parameters, duration"),
        (
            [{}, {"fase": 1}],
            "[1]: this has no field 'fase', only phase, message, exitCode, result, parameters, duration",
        ),
        ({"parameters": 1}, "parameters: expected a mapping, got a whole number"),
    ],
)
def test_an_outcome_that_is_none_is_answered_with_what_it_may_be(
    oarlock: RunOarlock, tmp_path: Path, outcome: object, complaint: str
) -> None:
    (tmp_path / "wf.yaml").write_text(WORKFLOW % WHEN)
    (tmp_path / "o.yaml").write_text(json.dumps({"look": outcome}))
    done = oarlock("run", "wf.yaml", "--outcomes", "o.yaml")
    assert (done.code, done.err) == (2, f"Error: o.yaml: look: {complaint}\n")


SEMAPHORE = """
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
  templates:
  - name: main
    synchronization: {semaphores: [{configMapKeyRef: {name: limits, key: few}}]}
    container: {image: i}
"""


def test_a_semaphore_whose_config_map_is_not_given_counts_as_one_and_says_so(
    oarlock: RunOarlock, tmp_path: Path
) -> None:
    (tmp_path / "wf.yaml").write_text(SEMAPHORE)
    done = oarlock("run", "wf.yaml")
    assert done.code == 0
    assert done.err == "warning: ConfigMap limits is not given: its semaphores count as 1 in this simulation\n"


def test_a_semaphore_that_a_given_config_map_does_not_have_is_an_error(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(f"{SEMAPHORE}---\nkind: ConfigMap\nmetadata: {{name: limits}}\ndata: {{}}\n")
    done = oarlock("run", "wf.yaml", "--output", "json")
    assert done.code == 1
    assert "failed to initialize semaphore" in json.loads(done.out)["status"]["message"]


def test_without_simulation_it_is_an_error_as_in_a_cluster(oarlock: RunOarlock, tmp_path: Path) -> None:
    (tmp_path / "wf.yaml").write_text(SEMAPHORE)
    done = oarlock("run", "wf.yaml", "--executor", "pending", "--output", "json")
    assert done.code == 1
    assert "failed to initialize semaphore" in json.loads(done.out)["status"]["message"]


async def test_an_embedder_names_the_file_as_text_or_as_a_path(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.yaml"
    file.write_text("main: {phase: Failed}")
    for name in (file, str(file)):
        work = Workflow({"metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": [LEAF]}})
        await Engine(executor=SimulatedExecutor(Outcomes.load(name))).run([work])
        assert work.phase == "Failed"
