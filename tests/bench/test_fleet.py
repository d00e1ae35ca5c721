"""``python -m bench fleet`` in small: what it measures and writes, not what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.fleet import cli
from bench.fleet.cli import SHAPES, Shape


@pytest.mark.parametrize("plugin", ["none", "batches"])
def test_a_fleet_is_measured_beside_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str) -> None:
    shapes = (Shape(3, 1, 1), Shape(2, 2, 3))
    monkeypatch.setattr(cli, "SHAPES", shapes)
    file = tmp_path / "fleet.json"
    options = ["--rounds", "1", "--shards", "2", "--over", "processes", "--plugin", plugin, "--json", str(file)]
    done = CliRunner().invoke(main, ["fleet", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(file.read_bytes())
    rows = {(row["shape"], row["side"]): row for row in found["rows"]}
    assert rows.keys() == {(str(shape), side) for shape in shapes for side in ("engine", "stored", "processes")}
    for (_, side), row in rows.items():
        assert row["us_per_leaf"] > 0
        assert row["total"] == 1.0 or side != "engine"
        assert (row["exchanges_per_pass"] > 0) == (side == "processes")
    assert [bar["name"].partition(",")[0] for bar in found["bars"]] == [
        "CPU of all",
        "exchanges a pass",
        "CPU of all",
        "CPU of the driver",
    ]


def test_shapes_are_named_as_one_says_them() -> None:
    assert [str(shape) for shape in SHAPES] == ["200 x 1", "100 x 3x10", "10 x 2x200"]
