"""`oarlock run --shards`: workflows in other processes end as in one, and what cannot be is one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.fixtures import Ended, RunOarlock
from tests.acceptance.manifests import container
from tests.cluster.inside import Losing
from tests.processes import PATIENCE, beneath, started, surviving

TEMPLATE = {
    "kind": "WorkflowTemplate",
    "metadata": {"name": "shared"},
    "spec": {
        "entrypoint": "main",
        "templates": [
            {
                "name": "main",
                "synchronization": {"semaphores": [{"configMapKeyRef": {"name": "sizes", "key": "few"}}]},
                "steps": [
                    [
                        {"name": "a", "template": "leaf", "withSequence": {"count": "3"}},
                        {"name": "b", "template": "bad", "continueOn": {"failed": True}},
                    ]
                ],
            },
            container("leaf"),
            container("bad"),
        ],
    },
}

_WITH_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")

GATE = {"name": "gate", "suspend": {}}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """Six workflows of a template, whose semaphore is in a ConfigMap, and an outcome for one of their leaves."""
    sizes = {"kind": "ConfigMap", "metadata": {"name": "sizes"}, "data": {"few": "2"}}
    works = [
        {"kind": "Workflow", "metadata": {"name": f"w-{number}"}, "spec": {"workflowTemplateRef": {"name": "shared"}}}
        for number in range(6)
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([*works, TEMPLATE, sizes]))
    (tmp_path / "outcomes.yaml").write_text(yaml.safe_dump({"bad": {"phase": "Failed", "duration": "1m"}}))
    return "all.yaml", "--outcomes", "outcomes.yaml"


@pytest.fixture
def sleeping(tmp_path: Path) -> str:
    """A workflow whose leaf sleeps for a minute."""
    document = {"kind": "Workflow", "metadata": {"name": "one"}}
    document |= {"spec": {"entrypoint": "main", "templates": [container("main", "sleep", "60")]}}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(document))
    return "one.yaml"


def _phases(done: Ended) -> dict[str, Any]:
    """By workflow its phase, and those of its nodes."""
    return {
        work["metadata"]["name"]: (
            work["status"]["phase"],
            sorted((node["displayName"], node["phase"]) for node in work["status"]["nodes"].values()),
        )
        for work in json.loads(done.out)
    }


def test_workflows_end_as_they_do_in_one_process(files: tuple[str, ...], oarlock: RunOarlock, tmp_path: Path) -> None:
    alone = oarlock("run", *files, "--output", "json")
    sharded = oarlock("run", *files, "--output", "json", "--shards", "2", "--stats", "--record", "calls.jsonl")
    assert (alone.code, sharded.code) == (0, 0), sharded.err
    assert len(_phases(alone)) == 6
    assert _phases(sharded) == _phases(alone)
    assert "shard 0" in sharded.err
    assert (tmp_path / "calls.jsonl").exists()


def test_what_is_not_finished_says_what_it_waits_for(oarlock: RunOarlock, tmp_path: Path) -> None:
    document = {"kind": "Workflow", "metadata": {"name": "one"}, "spec": {"entrypoint": "gate", "templates": [GATE]}}
    (tmp_path / "gate.yaml").write_text(yaml.safe_dump(document))
    done = oarlock("run", "gate.yaml", "--shards", "1")
    assert (done.code, done.err) == (3, "default/one is not finished: 1 suspended (one)\n")


def test_what_was_made_up_is_told_as_of_one_process(oarlock: RunOarlock, tmp_path: Path) -> None:
    steps = [
        [{"name": "l", "template": "list"}],
        [{"name": "t", "template": "leaf", "withParam": "{{steps.l.outputs.result}}"}],
    ]
    spec = {"templates": [{"name": "main", "steps": steps}, container("list"), container("leaf")], "entrypoint": "main"}
    (tmp_path / "wf.yaml").write_text(yaml.safe_dump({"kind": "Workflow", "metadata": {"name": "one"}, "spec": spec}))
    alone, sharded = oarlock("run", "wf.yaml"), oarlock("run", "wf.yaml", "--shards", "2")
    assert "list's result is []" in alone.err
    assert sharded.err == alone.err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--shards", "0"), "Error: Invalid value for '--shards': 0 is not in the range x>=1."),
        (("--shards", "two"), "Error: Invalid value for '--shards': 'two' is not a valid integer range."),
        (("--ray", "127.0.0.1:1"), "Error: --ray: expected --shards as well: how many there are to be"),
        pytest.param(
            ("--shards", "1", "--ray", "somewhere"),
            "Error: --ray: address of a Ray cluster 'somewhere': expected HOST:PORT",
            marks=_WITH_RAY,
        ),
        pytest.param(
            ("--shards", "1", "--ray", "127.0.0.1:1"),
            "Error: --ray: no Ray cluster at 127.0.0.1:1",
            marks=_WITH_RAY,
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    options: tuple[str, ...], line: str, files: tuple[str, ...], oarlock: RunOarlock
) -> None:
    done = oarlock("run", *files, *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith(line)


def test_without_ray_it_says_what_to_install(
    files: tuple[str, ...], oarlock: RunOarlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.cluster.actors.find_spec", lambda name: None)
    done = oarlock("run", *files, "--shards", "1", "--ray", "auto")
    assert (done.code, done.err) == (2, "Error: --ray: ray is not installed: pip install 'oarlock[ray]'\n")


def test_what_is_lost_on_the_way_is_told_and_nothing_that_was_done(
    sleeping: str, oarlock: RunOarlock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.cluster.fleet.Processes", Losing)
    monkeypatch.setattr(Losing, "it_may_be", lambda _: any(tmp_path.glob("runs/*/leaves/*")))
    done = oarlock("run", sleeping, "--shards", "1", "--executor", "local", "--work-dir", "runs", "--output", "json")
    assert done.code == 3
    assert "--shards: shard 0: there is no room" in done.err
    assert json.loads(done.out)["status"]["nodes"]["one"]["phase"] == "Running"


def test_ctrl_c_ends_all_of_its_processes(sleeping: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "engine", "run", sleeping, "--shards", "1"]
    command += ["--executor", "local", "--work-dir", "runs"]
    with started(*command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        while not beneath(run.pid, "sleep"):
            pass
        children = beneath(run.pid)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert not surviving(children)
