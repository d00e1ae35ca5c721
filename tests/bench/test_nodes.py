"""``python -m bench nodes`` in small: what it measures and writes, not what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.machine import machine
from bench.nodes.cli import SHAPES
from bench.nodes.subject import SHAPES as MANIFESTS
from bench.nodes.subject import run, small

IN_GIT = machine().commit is not None


def _measure(file: Path, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["nodes", "--rounds", "1", "--json", str(file), *arguments])
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(file.read_bytes())
    return document


@pytest.mark.skipif(not IN_GIT, reason="no git repository")
def test_every_shape_is_measured_beside_a_commit(tmp_path: Path) -> None:
    shapes = [argument for shape in SHAPES for argument in ("--shape", shape)]
    found = _measure(tmp_path / "nodes.json", "--against", "HEAD", "--nodes", "50", "--workflows", "3", *shapes)
    compared = [found["cpu_us_per_node"], found["workflows"], *found["shapes"].values()]
    assert all(each["now"] > 0 and each["then"] > 0 and each["ratio"] > 0 for each in compared)
    assert found["shapes"].keys() == MANIFESTS.keys()
    turn = found["longest_turn_ms"]
    assert turn["phases"].keys() == {"idle", "load", "run", "encode", "reload"}
    assert turn["now"] >= max(turn["phases"][phase]["now"] for phase in ("load", "run", "encode", "reload"))
    assert turn["idle"] == turn["phases"]["idle"]["now"]
    assert [bar["limit"] for bar in found["bars"]] == [0.33, 0.33, 20.0]


@pytest.mark.skipif(not IN_GIT, reason="no git repository")
def test_what_was_not_asked_for_is_not_there(tmp_path: Path) -> None:
    found = _measure(tmp_path / "nodes.json", "--against", "HEAD", "--workflows", "2", "--shape", "workflows")
    assert "workflows" in found
    assert not found.keys() & {"cpu_us_per_node", "longest_turn_ms", "shapes"}


def test_an_unknown_commit_is_one_line() -> None:
    done = CliRunner().invoke(main, ["nodes", "--against", "no-such-commit"])
    assert done.exit_code == 2
    assert "--against no-such-commit" in done.output.splitlines()[-1]


@pytest.mark.parametrize("shape", MANIFESTS)
async def test_a_shape_has_the_nodes_that_it_is_named_for(shape: str) -> None:
    (workflow,) = await run(MANIFESTS[shape](12))
    assert sum(node.type == "Pod" for node in workflow.nodes.values()) == 12


async def test_a_small_workflow_has_ten_nodes() -> None:
    (workflow,) = await run(small("small"))
    assert len(workflow.nodes) == 10
