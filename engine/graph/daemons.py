"""Daemons: leaves that are done for their successors once they are up, and that end with their boundary."""

from __future__ import annotations

from operator import attrgetter

from engine.graph.cutting import cut_off
from engine.graph.graph import Graph
from engine.graph.invocation import Inside, Invocation
from engine.model.node import SUCCEEDED


def up(graph: Graph, invocation: Invocation, pod_ip: str) -> None:
    """The daemon runs: its successors may, too."""
    if graph.store[invocation.node_id].fulfilled or invocation.up:
        return
    node = graph.store.touch(invocation.node_id)
    node.daemoned, node.pod_ip = True, pod_ip
    found(graph, invocation)


def found(graph: Graph, invocation: Invocation) -> None:
    """A daemon that is up, whether it came up now or before this walk began."""
    invocation.up = True
    if invocation.boundary is not None:
        assert invocation.boundary.inside is not None
        invocation.boundary.inside.daemons.append(invocation)
    graph.turns.emit(invocation.parent, invocation.key, graph.store[invocation.node_id])


def end_all(graph: Graph, inside: Inside) -> None:
    """The boundary ended: so do its daemons, and that they do is no failure."""
    ended = sorted(inside.daemons, key=attrgetter("order"))
    for invocation in ended:
        end(graph, invocation)
    for invocation in ended:
        if invocation.body is not None:  # an attempt that has not come up yet is one too many
            cut_off(graph, invocation)


def end(graph: Graph, invocation: Invocation) -> None:
    """Stop a daemon, unless it is over already, be it that a plugin has just said so and its visit is still to come."""
    if not graph.is_open(invocation) or not graph.leave(invocation):
        return
    node = graph.store.touch(invocation.node_id)
    node.phase, node.daemoned, node.finished_at = SUCCEEDED, None, graph.timestamp
    invocation.gone = True
    graph.stops.append(node.id)
    graph.room.release(invocation, node)
