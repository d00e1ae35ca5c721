"""What the bench and the engine's process say to each other, a line of JSON each.

The engine runs in a process of its own so that its processor time and memory are its own: not the progress bar's, not
the page's, not what a peer left behind.
"""

from __future__ import annotations

import msgspec

from bench.record import Latency, Loop, Moment, PluginRow
from bench.workflows import Leaf
from rpc.client import LaneName


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """On the command line: which plugins, and the workflow to loop over.

    The plugins are those of the file ``config``, or else one per address; ``ca_file`` has whom to trust where those are
    https ones. ``workers`` is how many nodes are under way at a time, None for the engine's own number. With ``fresh``
    every loop has a workflow of its own, from its creation on; else all loops are over one whose leaves stay pending,
    loaded beforehand. ``types`` are those of the nodes that each plugin wants, from the first on, repeated as often as
    there are plugins; all where there are none. Before each loop the share ``changed`` of the nodes changes; where
    there is one, a loop over all of them is part of the loading. With ``metrics`` somebody reads the
    engine's every 5 s.
    """

    nodes: int
    addresses: list[str] = []
    ca_file: str | None = None
    config: str | None = None
    lane: LaneName = "auto"
    workers: int | None = None
    leaf: Leaf = "container"
    padding: int = 0
    fresh: bool = False
    types: tuple[tuple[str, ...], ...] = ((),)
    changed: float = 0.0
    metrics: bool = False


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The graph is loaded and the connections are warm. ``body`` is a `node.preExecute` as the plugins get it."""

    pid: int
    load_seconds: float
    graph_bytes_per_node: float
    body: str
    plugins: list[str]


class Progress(msgspec.Struct, frozen=True, tag=True):
    """So far in this loop."""

    seconds: float
    calls: int
    nodes: int
    errors: int


class Looped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A loop ended; what memory it added, and what the plugins counted, is known outside of the process only.

    Latencies are known only where the loop was observed.
    """

    loop: Loop
    plugins: list[PluginRow]
    timeline: list[Moment]
    latency_ms: Latency | None = None


class Trouble(msgspec.Struct, frozen=True, tag=True):
    """The process cannot go on, and why; it ends after this."""

    reason: str


Message = Ready | Progress | Looped | Trouble
