"""``python -m bench fleet``: workflows over shards and in one engine, in turns, as a table and as JSON."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import click
import msgspec
from rich.console import Console

from bench import processes, servers
from bench.fleet.subject import Load, Measured, Side
from bench.machine import Machine, machine
from bench.plugin_server import Behaviour
from bench.record import Bar, write
from bench.tables import bars_table, new_table
from registry.cli import BadInput
from rpc.methods import Method

Over = Literal["processes", "ray"]
Plugin = Literal["none", "single", "batches"]

_PATIENCE: Final = 600.0
_ALONE: Final[tuple[Side, ...]] = ("engine", "stored")
_TOTAL: Final = {"processes": 1.3, "ray": 1.6}
_DRIVER: Final = 1 / 6
_EXCHANGES: Final = 1 / 5


class Shape(NamedTuple):
    """Workflows of some steps with some leaves each."""

    workflows: int
    steps: int
    leaves: int

    def __str__(self) -> str:
        each = f"{self.steps}x{self.leaves}" if self.steps > 1 else f"{self.leaves}"
        return f"{self.workflows} x {each}"


SHAPES: Final = (Shape(200, 1, 1), Shape(100, 3, 10), Shape(10, 2, 200))
"""Very small workflows, small ones, and such as have hundreds of leaves."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One shape on one side. ``us_per_leaf`` is CPU of all processes, ``driver_us_per_leaf`` that of the driver's;
    ``total`` and ``driver`` are those over the engine's which has the workflows to itself, and ``stored`` is the total
    over an engine's with a store, which keeps what the driver of a fleet keeps. Medians of rounds."""

    shape: str
    side: Side
    us_per_leaf: float
    driver_us_per_leaf: float
    total: float
    driver: float
    stored: float
    exchanges_per_pass: float
    seconds: float


class FleetCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes."""

    machine: Machine
    started: str
    shards: int
    rounds: int
    plugin: Plugin
    rows: list[Row]
    bars: list[Bar]


@click.command()
@click.option("--shards", type=click.IntRange(min=1), default=2, show_default=True, help="Of the fleet.")
@click.option("--over", type=click.Choice(get_args(Over)), multiple=True, help="How shards are reached; all there are.")
@click.option(
    "--plugin", type=click.Choice(get_args(Plugin)), default="none", show_default=True, help="That is called."
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Of all sides, in turns.")
@click.option("--scale", type=click.IntRange(min=1), default=1, show_default=True, help="So many times the workflows.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures.")
def fleet(shards: int, over: tuple[Over, ...], plugin: Plugin, rounds: int, scale: int, json_file: Path | None) -> None:
    """Measure what it costs to have workflows in other processes, beside an engine that has them to itself.

    Leaves succeed at once, so all that is measured is ours. The plugin is one process, asked twice about each node.

    Exit code 0: measured. 2: what was asked for is not installed.
    """
    processes.raise_on_sigterm()
    if "ray" in over and find_spec("ray") is None:
        raise BadInput("ray is not installed: pip install 'oarlock[ray]'")
    transports: Sequence[Over] = over or [each for each in get_args(Over) if each != "ray" or find_spec("ray")]
    started = datetime.now(UTC).isoformat(timespec="seconds")
    sides: list[Side] = [*_ALONE, *transports]
    found: dict[Shape, dict[Side, list[Measured]]] = {shape: {side: [] for side in sides} for shape in SHAPES}
    try:
        with _plugin(plugin) as config, Console(stderr=True).status("") as status:
            for number in range(rounds):
                for shape, measured in found.items():
                    for side in sides[:: 1 if number % 2 else -1]:
                        status.update(f"round {number + 1} of {rounds}: {shape}, {side}")
                        load = Load(
                            side=side,
                            workflows=shape.workflows * scale,
                            steps=shape.steps,
                            leaves=shape.leaves,
                            shards=shards,
                            config=config,
                        )
                        measured[side].append(_measure(load))
    except servers.Missing as reason:
        raise click.ClickException(str(reason)) from None
    rows = [_row(shape, side, measured) for shape, measured in found.items() for side in sides]
    bars = list(_bars(rows))
    record = FleetCosts(
        machine=machine(), started=started, shards=shards, rounds=rounds, plugin=plugin, rows=rows, bars=bars
    )
    _show(record, Console())
    if json_file is not None:
        write(record, json_file)


@contextmanager
def _plugin(plugin: Plugin) -> Iterator[str]:
    """The file that configures it, empty for none."""
    if plugin == "none":
        yield ""
        return
    replies = dict[Method, dict[str, object]]({Method.NODE_PRE_EXECUTE: {}, Method.NODE_POST_EXECUTE: {}})
    behaviour = Behaviour(name="bench", replies=replies, batches=plugin == "batches")
    with servers.plugins([behaviour]) as running, tempfile.TemporaryDirectory(prefix="oarlock-") as folder:
        config = Path(folder, "plugins.toml")
        config.write_text(
            f'[engine]\nenabled = true\n[[plugins]]\nname = "bench"\naddress = "{running.addresses[0]}"\n'
        )
        yield str(config)


def _measure(load: Load) -> Measured:
    command = [sys.executable, "-m", "bench.fleet.subject", msgspec.json.encode(load).decode()]
    done = processes.run(command, timeout=_PATIENCE)
    if done.code:
        raise click.ClickException(f"{load.side}: {processes.last_line(done.errors)}")
    # Ray's own processes may write to the same pipe.
    return msgspec.json.decode(done.output.strip().splitlines()[-1], type=Measured)


def _row(shape: Shape, side: Side, measured: Mapping[Side, Sequence[Measured]]) -> Row:
    rounds = list(zip(measured[side], measured["engine"], measured["stored"], strict=True))
    return Row(
        shape=str(shape),
        side=side,
        us_per_leaf=statistics.median(_cpu(each) / each.leaves * 1e6 for each, _, _ in rounds),
        driver_us_per_leaf=statistics.median(each.driver / each.leaves * 1e6 for each, _, _ in rounds),
        total=statistics.median(_cpu(each) / _cpu(alone) for each, alone, _ in rounds),
        driver=statistics.median(each.driver / _cpu(alone) for each, alone, _ in rounds),
        stored=statistics.median(_cpu(each) / _cpu(stored) for each, _, stored in rounds),
        exchanges_per_pass=statistics.median(each.exchanges / each.passes for each, _, _ in rounds),
        seconds=statistics.median(each.seconds for each, _, _ in rounds),
    )


def _cpu(measured: Measured) -> float:
    return measured.driver + measured.others


def _bars(rows: Sequence[Row]) -> Iterator[Bar]:
    smallest = str(SHAPES[0])
    for row in rows:
        if row.side in _ALONE:
            continue
        about = f"{row.shape} over {row.side}"
        yield Bar.most(f"CPU of all, {about}", _TOTAL[row.side], row.total)
        if row.shape == smallest:
            yield Bar.most(f"exchanges a pass, {about}", _EXCHANGES, row.exchanges_per_pass)
        else:
            yield Bar.most(f"CPU of the driver, {about}", round(_DRIVER, 3), row.driver)


def _show(record: FleetCosts, console: Console) -> None:
    first = f"{record.shards} shards, medians of {record.rounds}"
    table = new_table(first, "CPU/leaf, µs", "ratio", "driver", "/ stored", "mails/pass", "s")
    for row in record.rows:
        ratios = (f"{each:.2f}" for each in (row.total, row.driver, row.stored, row.exchanges_per_pass, row.seconds))
        table.add_row(f"{row.shape}, {row.side}", f"{row.us_per_leaf:.1f}", *ratios)
    console.print(table, "", bars_table(record.bars), sep="\n")
