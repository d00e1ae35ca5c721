"""``python -m bench nodes``: the shapes, in turns with another commit, as a table and as JSON."""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from bench import processes
from bench.machine import Machine, machine
from bench.nodes.subject import SHAPES as LARGE
from bench.record import Bar, write
from bench.tables import bars_table, new_table
from registry.cli import BadInput

_HOME: Final = Path(__file__).resolve().parent.parent.parent
_SUBJECT: Final = Path(__file__).with_name("subject.py")
_PATIENCE: Final = 1800.0

BASE: Final = "865d30a"
"""Where the first stage ended, which is what the bars are ratios to."""
_STRUCTLOG: Final = "from unittest.mock import Mock\n\nget_logger = Mock()\n"
"""What that commit logs through and no later one does, so it is not installed; nothing is logged here."""
RATIO: Final = 0.33
TURN_MS: Final = 20.0

SHAPES: Final = (*LARGE, "workflows", "turns")
FIRST: Final = ("sequence", "workflows", "turns")
"""What the bars are of."""
_DAG: Final = 0.2
"""A DAG has a fifth of the nodes of a loop: as many tasks written out are a manifest that nobody writes."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of this tree and of the other commit, and the median of the ratios of single rounds."""

    now: float
    then: float
    ratio: float


class Turn(Compared, frozen=True, kw_only=True):
    """The longest turn of the event loop, in milliseconds.

    ``idle`` is that of the ticker while it was alone. ``phases`` are those of each phase, ``cpu`` what the longest was
    without what other processes took of it, and ``collection`` the longest pause for a garbage collection in it; each
    for this tree and for the other commit.
    """

    idle: float
    cpu: Compared
    collection: Compared
    phases: dict[str, Compared]


class Nodes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ``--json`` writes; what was not measured is not there.

    ``cpu_us_per_node`` is that of a loop of one step, ``workflows`` milliseconds of CPU for a workflow of ten nodes.
    ``shapes`` has all kinds of large workflows, and ``bytes_per_node`` what each holds once it is over.
    """

    machine: Machine
    started: str
    against: str
    rounds: int
    nodes: int
    cpu_us_per_node: Compared | None = None
    longest_turn_ms: Turn | None = None
    workflows: Compared | None = None
    shapes: dict[str, Compared] = {}
    bytes_per_node: dict[str, Compared] = {}
    bars: list[Bar] = []


@click.command()
@click.option("--against", default=BASE, show_default=True, help="The commit to compare with.")
@click.option("--nodes", type=click.IntRange(min=10), default=100_000, show_default=True, help="Of a large workflow.")
@click.option("--workflows", type=click.IntRange(min=1), default=5000, show_default=True, help="Of ten nodes each.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Of both, in turns.")
@click.option("--shape", "shapes", type=click.Choice(SHAPES), multiple=True, help=f"One of them; {', '.join(FIRST)}.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures.")
def nodes(
    against: str, nodes: int, workflows: int, rounds: int, shapes: tuple[str, ...], json_file: Path | None
) -> None:
    """Measure what a node costs without any plugin, and how long the event loop is held, against another commit.

    Exit code 0: measured. 2: there is no such commit.
    """
    processes.raise_on_sigterm()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    counts = dict.fromkeys(SHAPES, nodes) | {"workflows": workflows}
    counts |= dict.fromkeys(("dag", "chain"), max(round(nodes * _DAG), 3))
    found: dict[str, list[tuple[Any, Any]]] = {shape: [] for shape in shapes or FIRST}
    with tempfile.TemporaryDirectory(prefix="oarlock-") as folder, Console(stderr=True).status("") as status:
        _extract(against, folder)
        for number in range(rounds):
            for shape, pairs in found.items():
                measured = {}
                for home in (_HOME, Path(folder))[:: 1 if number % 2 else -1]:
                    status.update(f"round {number + 1} of {rounds}: {shape}, {'now' if home == _HOME else against}")
                    measured[home] = _measure(home, shape, counts[shape])
                pairs.append((measured[_HOME], measured[Path(folder)]))
    record = _record(found, machine=machine(), started=started, against=against, rounds=rounds, nodes=nodes)
    _show(record, Console())
    if json_file is not None:
        write(record, json_file)


def _extract(commit: str, folder: str) -> None:
    command = ["git", "-C", str(_HOME), "archive", commit]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise BadInput(f"--against {commit}: git could not be run: {error.strerror}") from None
    if done.returncode:
        raise BadInput(f"--against {commit}: expected a commit of {_HOME}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    Path(folder, "structlog.py").write_text(_STRUCTLOG)


def _measure(home: Path, shape: str, count: int) -> Any:
    # -P: the modules beside the script are none that an engine is to find.
    command = ["env", f"PYTHONPATH={home}", sys.executable, "-P", str(_SUBJECT), shape, str(count)]
    done = processes.run(command, timeout=_PATIENCE)
    if done.code:
        raise click.ClickException(f"{shape} of {home}: {processes.last_line(done.errors)}")
    return msgspec.json.decode(done.output)


def _record(found: Mapping[str, Sequence[tuple[Any, Any]]], **about: Any) -> Nodes:
    figures: dict[str, Any] = {"shapes": {}, "bytes_per_node": {}, "bars": []}
    for shape in LARGE:
        if pairs := found.get(shape):
            figures["shapes"][shape] = _compared(pairs, lambda each: each["cpu"] / each["count"] * 1e6)
            figures["bytes_per_node"][shape] = _compared(pairs, lambda each: each["bytes"] / each["count"])
    if "sequence" in figures["shapes"]:
        figures["cpu_us_per_node"] = figures["shapes"]["sequence"]
        figures["bars"].append(Bar.most("CPU per node", RATIO, figures["cpu_us_per_node"].ratio))
    if pairs := found.get("workflows"):
        figures["workflows"] = _compared(pairs, lambda each: each["cpu"] / each["count"] * 1e3)
        figures["bars"].append(Bar.most("CPU per workflow of ten nodes", RATIO, figures["workflows"].ratio))
    if pairs := found.get("turns"):
        figures["longest_turn_ms"] = turn = _turn([(now["phases"], then["phases"]) for now, then in pairs])
        figures["bars"].append(Bar.most("longest turn of the event loop", TURN_MS, turn.now, " ms"))
    return Nodes(**figures, **about)


def _turn(pairs: Sequence[tuple[Any, Any]]) -> Turn:
    phases = {phase: _compared(pairs, lambda each, phase=phase: each[phase]["longest"]) for phase in pairs[0][0]}
    busy = [phase for phase in phases if phase != "idle"]

    def longest(figure: str) -> Compared:
        return _compared(pairs, lambda each: max(each[phase][figure] for phase in busy))

    whole = longest("longest")
    return Turn(
        now=whole.now,
        then=whole.then,
        ratio=whole.ratio,
        idle=phases["idle"].now,
        cpu=longest("longest_cpu"),
        collection=longest("collection"),
        phases=phases,
    )


def _compared(pairs: Sequence[tuple[Any, Any]], figure: Any) -> Compared:
    both = [(figure(now), figure(then)) for now, then in pairs]
    return Compared(
        now=statistics.median(now for now, _ in both),
        then=statistics.median(then for _, then in both),
        ratio=statistics.median(now / then if then else 0.0 for now, then in both),
    )


def _show(record: Nodes, console: Console) -> None:
    table = new_table(f"medians of {record.rounds} rounds", "now", record.against, "ratio")
    rows = {f"CPU per node, {shape}, µs": each for shape, each in record.shapes.items()}
    rows |= {f"held per node, {shape}, bytes": each for shape, each in record.bytes_per_node.items()}
    if record.workflows is not None:
        rows["CPU per workflow of ten nodes, ms"] = record.workflows
    if (turn := record.longest_turn_ms) is not None:
        rows |= {f"longest turn, {phase}, ms": each for phase, each in turn.phases.items()}
        rows["longest turn, ms"] = turn
        rows["of it CPU, ms"] = turn.cpu
        rows["longest garbage collection, ms"] = turn.collection
    for name, each in rows.items():
        table.add_row(name, f"{each.now:,.1f}", f"{each.then:,.1f}", f"{each.ratio:.3f}")
    console.print(table)
    if record.bars:
        console.print("", bars_table(record.bars), sep="\n")
