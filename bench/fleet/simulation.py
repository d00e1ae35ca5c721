"""``python -m bench fleet-scale``: how far one driver goes, from what ``python -m bench fleet`` has measured.

Nobody has a thousand machines for that. What is the same whatever the number of shards is taken from a measurement;
what depends on it, which is who waits for whom, is simulated, in steps of the time for which a shard collects mail.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import click
import msgspec
from rich.console import Console

from bench.fleet.cli import SHAPES, FleetCosts, Over, Row
from bench.tables import new_table
from engine.cluster.outbox import MOST
from engine.cluster.placement import rendezvous
from engine.cluster.shard import LARGE, LINGER
from registry.cli import BadInput

_TRIED: Final = 2000
"""Workflows that are really placed, to time it."""

_STEPS: Final = 1000
"""Of the simulation, of which the second half counts."""

_BYTES_PER_LEAF: Final = 1024
"""Of mail: from 0.9 KiB with hundreds of leaves in a step to 1.1 with ten."""

_SHAPE: Final = SHAPES[1]


class Costs(NamedTuple):
    """Seconds of CPU that a step of a workflow takes of the driver and of its shard, and an exchange of the driver."""

    driver: float
    shard: float
    exchange: float

    @classmethod
    def of(cls, rows: Sequence[Row], over: Over, exchange: float) -> Costs:
        """What `_SHAPE` takes, less the exchanges, which are told apart."""
        for row in rows:
            if (row.shape, row.side) == (str(_SHAPE), over):
                mail = row.exchanges_per_pass * (_SHAPE.steps + 1) / _SHAPE.steps * exchange
                driver = row.driver_us_per_leaf * _SHAPE.leaves / 1e6
                shard = (row.us_per_leaf - row.driver_us_per_leaf) * _SHAPE.leaves / 1e6
                return cls(max(driver - mail, 0.0), shard, exchange)
        raise LookupError


class Scale(NamedTuple):
    """So many shards with more to do than they can. ``driver`` and ``shard`` are the shares of a core that those use, a
    shard on average; ``waits`` are the seconds from a commit until its leaves are started (by Little's law)."""

    shards: int
    leaves_per_second: float
    driver: float
    shard: float
    exchanges_per_second: float
    mib_per_second: float
    waits: float


def simulate(shards: int, costs: Costs) -> Scale:
    """In each step, which lasts until a letter has waited for `LINGER` or is `LARGE`, a shard does what it has CPU for,
    with no more than `MOST` bytes that nobody has seen to, and mails it; the driver sees to mail in the order in which
    it came, for as long as it has CPU."""
    size = _BYTES_PER_LEAF * _SHAPE.leaves
    most, step = MOST / size, min(LINGER, LARGE / size * costs.shard)
    sent, order, dice = [0.0] * shards, list(range(shards)), Random(shards)
    mail: deque[tuple[int, float]] = deque()
    done = spent = worked = left = 0.0
    letters = 0
    for now in range(_STEPS):
        counts = now >= _STEPS // 2
        dice.shuffle(order)
        for shard in order:
            some = min(step / costs.shard, most - sent[shard])
            if some > 0:
                sent[shard] += some
                mail.append((shard, some))
                worked += counts * some * costs.shard
        left = min(left, 0.0) + step
        while mail and left > 0:
            shard, some = mail.popleft()
            took = costs.exchange + some * costs.driver
            left -= took
            sent[shard] -= some
            if counts:
                done += some
                spent += took
                letters += 1
    seconds = _STEPS // 2 * step
    leaves = done * _SHAPE.leaves / seconds
    return Scale(
        shards=shards,
        leaves_per_second=leaves,
        driver=min(spent / seconds, 1.0),
        shard=worked / seconds / shards,
        exchanges_per_second=letters / seconds,
        mib_per_second=leaves * _BYTES_PER_LEAF / 2**20,
        waits=step + sum(sent) / done * seconds,
    )


class Placing(NamedTuple):
    """``us`` is CPU to find a workflow's shard, ``fewest`` and ``most`` are the workflows that a shard has, and
    ``chi_square`` is that of those that were really placed, over its degrees of freedom: 1 where all shards are alike.
    """

    us: float
    fewest: int
    most: int
    chi_square: float


def place(shards: int, workflows: int) -> Placing:
    """Some workflows are placed by their uids; the others, since these come out alike, by lot."""
    numbers, dice = range(shards), Random(shards)
    uids = [str(uuid.UUID(int=dice.getrandbits(128), version=4)) for _ in range(_TRIED)]
    began = time.process_time()
    placed = Counter(rendezvous(uid, numbers) for uid in uids)
    took = time.process_time() - began
    expected = _TRIED / shards
    chi_square = sum((placed[number] - expected) ** 2 / expected for number in numbers) / max(shards - 1, 1)
    lots = Counter(dice.choices(numbers, k=workflows)).values()
    return Placing(took / _TRIED * 1e6, min(lots), max(lots), chi_square)


@click.command("fleet-scale")
@click.argument("file", metavar="FLEET.json", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--over", type=click.Choice(["processes", "ray"]), default="processes", show_default=True)
@click.option("--shards", type=click.IntRange(min=1), default=1000, show_default=True, help="At most.")
@click.option("--workflows", type=click.IntRange(min=1), default=10_000_000, show_default=True, help="Of 3x10 leaves.")
@click.option(
    "--exchange-us",
    type=click.FloatRange(min=0),
    default=40.0,
    show_default=True,
    help="The driver's CPU for an exchange that carries nothing.",
)
def fleet_scale(file: Path, over: Over, shards: int, workflows: int, exchange_us: float) -> None:
    """Simulate a fleet that is larger than this machine, from the costs that `fleet --json` has written.

    Exit code 0: simulated. 2: the file is none of `fleet`, or has not that transport.
    """
    try:
        measured = msgspec.json.decode(file.read_bytes(), type=FleetCosts)
        costs = Costs.of(measured.rows, over, exchange_us / 1e6)
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise BadInput(f"{file}: expected what `python -m bench fleet --json` writes: {error}") from None
    except LookupError:
        raise BadInput(f"{file}: expected figures of {_SHAPE} over {over}, it has none") from None
    console = Console()
    counts = [count for count in (1, 2, 4, 8, 16, 64, 250) if count < shards] + [shards]
    _show(console, [simulate(count, costs) for count in counts], workflows)
    placing = place(shards, workflows)
    console.print(
        f"\n{workflows:,} workflows on {shards:,} shards: {placing.fewest:,} to {placing.most:,} each,"
        f" chi-square {placing.chi_square:.2f}; {placing.us:.1f} µs to place one,"
        f" {placing.us * workflows / 1e6:,.0f} s of the driver in all."
    )


def _show(console: Console, scales: Sequence[Scale], workflows: int) -> None:
    columns: dict[str, Callable[[Scale], str]] = {
        "shards": lambda each: f"{each.shards:,}",
        "leaves/s": lambda each: f"{each.leaves_per_second:,.0f}",
        "driver": lambda each: f"{each.driver:.0%}",
        "shard": lambda each: f"{each.shard:.0%}",
        "mails/s": lambda each: f"{each.exchanges_per_second:,.0f}",
        "MiB/s": lambda each: f"{each.mib_per_second:,.1f}",
        "until started, s": lambda each: f"{each.waits:.2f}",
        "all, h": lambda each: f"{workflows * _SHAPE.steps * _SHAPE.leaves / each.leaves_per_second / 3600:,.1f}",
    }
    table = new_table(*columns)
    table.columns[0].justify = "right"
    for each in scales:
        table.add_row(*(shown(each) for shown in columns.values()))
    console.print(table)
