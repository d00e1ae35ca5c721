"""``python -m bench fleet`` in small: what it measures and writes, not what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import main
from bench.fleet import cli
from bench.fleet.cli import SHAPES, FleetCosts, Row, Shape
from bench.fleet.simulation import Costs, place, simulate
from bench.machine import machine


def test_a_fleet_is_measured_beside_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = (Shape(3, 1, 1), Shape(2, 2, 3))
    monkeypatch.setattr(cli, "SHAPES", shapes)
    file = tmp_path / "fleet.json"
    options = ["--rounds", "1", "--shards", "2", "--over", "processes", "--plugin", "batches", "--json", str(file)]
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


COSTS = Costs(driver=100e-6, shard=400e-6, exchange=40e-6)
"""A driver that is as good as four shards, less what exchanges take."""


@given(st.integers(1, 40))
def test_a_driver_is_the_limit_where_shards_can_do_more_than_it(shards: int) -> None:
    scale = simulate(shards, COSTS)
    alone = simulate(1, COSTS)
    if shards <= 3:
        assert scale.driver < 1
        assert scale.shard == pytest.approx(1, rel=0.01)
        assert scale.leaves_per_second == pytest.approx(shards * alone.leaves_per_second, rel=0.01)
    elif shards > 4:
        assert scale.driver == pytest.approx(1, rel=0.01)
        assert scale.leaves_per_second < 4 * alone.leaves_per_second
        assert scale.waits > alone.waits


def test_workflows_are_placed_evenly() -> None:
    placing = place(20, 10_000)
    assert 350 < placing.fewest < 500 < placing.most < 650
    assert 0.3 < placing.chi_square < 3


def test_a_larger_fleet_is_simulated_from_what_was_measured(tmp_path: Path) -> None:
    row = Row(
        shape="100 x 3x10",
        side="processes",
        us_per_leaf=50.0,
        driver_us_per_leaf=10.0,
        total=1.3,
        driver=0.25,
        stored=1.0,
        exchanges_per_pass=0.2,
        seconds=1.0,
    )
    costs = FleetCosts(machine=machine(), started="", shards=2, rounds=1, plugin="none", rows=[row], bars=[])
    (file := tmp_path / "fleet.json").write_bytes(msgspec.json.encode(costs))
    done = CliRunner().invoke(main, ["fleet-scale", str(file), "--shards", "10", "--workflows", "1000"])
    assert done.exit_code == 0, done.output
    assert "1,000 workflows on 10 shards" in done.output
    assert Costs.of([row], "processes", 40e-6).shard == pytest.approx(400e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"{}", "expected what `python -m bench fleet --json` writes"),
    ],
)
def test_what_is_no_measurement_is_one_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "fleet.json"
    if content is not None:
        file.write_bytes(content)
    done = CliRunner().invoke(main, ["fleet-scale", str(file)])
    assert done.exit_code == 2
    assert said in done.output.replace("\n", " ")
    assert "Traceback" not in done.output
