"""What a fleet is made with."""

from __future__ import annotations

from typing import Final, Literal

from engine.cluster.transport import Transport
from engine.reconciler import Options

SHARDS: Final = 2
DEADLINE: Final = 15.0
"""Seconds after which a shard that does not answer is taken for dead, and ends itself where it is left alone."""

Over = Literal["processes", "ray"]


class FleetOptions(Options, total=False):
    """The options of a `Fleet`, for who passes them on."""

    shards: int
    over: Over | Transport
    address: str | None
    deadline: float
