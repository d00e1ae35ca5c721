"""How invocations end, are cut off, or are done while they go on as daemons, and what follows from that."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any, Final

from engine.graph import containers
from engine.graph.graph import Graph
from engine.graph.invocation import Inside, Invocation
from engine.model.node import DAG, ERROR, FAILED, FLAGS, RETRY, SKIPPED_TYPE, STEPS, SUCCEEDED, Node
from engine.model.pace import Pieces
from engine.shape import Document

FAIL_FAST: Final = "template has failed or errored children and failFast enabled"


def create_skipped(
    graph: Graph, name: str, call: Document, boundary: Invocation | None, phase: str, message: str
) -> Node:
    """The node of a call that never runs: Skipped, Omitted, or in Error before it began, which is no failure to
    `failFast` (getUnsuccessfulChildrenCounter)."""
    return graph.create(
        name,
        SKIPPED_TYPE,
        phase,
        boundary,
        template_name=call.get("template") or "",
        template_ref=call.get("templateRef"),
        template_scope=graph.template_scope(boundary.resolved.context) if boundary is not None else "",
        message=message,
        started_at=graph.timestamp,
        finished_at=graph.timestamp,
        node_flag=FLAGS["group"],
    )


def refuse(graph: Graph, invocation: Invocation, message: str, *, raised: bool = True) -> None:
    """A call that cannot be made at all: its node is Error from the start."""
    node = create_skipped(graph, invocation.name, invocation.call, invocation.boundary, ERROR, message)
    if invocation.flag:
        node.node_flag = FLAGS[invocation.flag]
    invocation.node_id = node.id
    invocation.ended, invocation.raised = True, raised
    invocation.parent.child_created(invocation.key, node.id)
    tell(graph, invocation, node)


def finish(
    graph: Graph,
    invocation: Invocation,
    phase: str,
    message: str,
    *,
    outputs: dict[str, Any] | None = None,
    outbound: tuple[str, ...] = (),
    raised: bool = False,
) -> None:
    """End an invocation's node. Its parent is told once the plugins have seen it, in the next wave of visits."""
    if not graph.is_open(invocation):
        return
    node = graph.store.touch(invocation.node_id)
    node.phase = phase
    node.message = message or node.message
    if outputs is not None:
        node.outputs = outputs
    if outbound:
        node.outbound_nodes = outbound
    node.finished_at = node.finished_at or graph.timestamp
    invocation.ended, invocation.raised = True, raised
    if node.type == RETRY:
        conclude(graph, invocation)  # plugins see the attempts
    elif not invocation.queued:
        graph.queue(invocation)


def conclude(graph: Graph, invocation: Invocation) -> None:
    """Do what follows from a node having become fulfilled, however it did."""
    if not graph.leave(invocation):
        return
    node = graph.round_off(invocation)
    was_daemon = bool(node.daemoned)
    if node.daemoned is not None:
        node.daemoned = None
    cut_short = invocation.body is not None and not invocation.ended  # it is over because a plugin says so
    if cut_short or (invocation.inside is not None and invocation.inside.daemons):
        graph.turns.at_length(_conclude_inside(graph, invocation, node, cut_short=cut_short, lost=was_daemon))
    else:
        _conclude(graph, invocation, node, lost=was_daemon)


def _conclude_inside(graph: Graph, invocation: Invocation, node: Node, *, cut_short: bool, lost: bool) -> Pieces:
    if cut_short:
        assert invocation.body is not None
        invocation.body.abandon(node.phase, node.message)
        yield from cut_off(graph, invocation)
    if invocation.inside is not None:
        yield from end_daemons(graph, invocation.inside)
    _conclude(graph, invocation, node, lost=lost)


def _conclude(graph: Graph, invocation: Invocation, node: Node, *, lost: bool) -> None:
    template = invocation.template
    assert template is not None
    kind = template.kind
    if kind.leaf and node.children:
        containers.close_all(graph, node)
    if node.outputs and kind.publishes and ("parameters" in node.outputs or "artifacts" in node.outputs):
        graph.outputs.publish(node.outputs)
    invocation.body = invocation.variables = None
    graph.room.release(invocation, node)
    tell(graph, invocation, node, lost=lost)


def tell(graph: Graph, invocation: Invocation, node: Node, *, lost: bool = False) -> None:
    """Tell the parent what became of the call, which may be the end of the template that it stands in."""
    boundary, parent = invocation.boundary, invocation.parent
    fails_fast = boundary is not None and boundary.template is not None and boundary.template.fail_fast
    failed = node.unsuccessful and node.type != SKIPPED_TYPE
    # That steps or a DAG ended Argo finds on its way through what they stand in, which it judges at once; of a pod it
    # knows before it goes inside (executeTemplate in operator.go, which asks checkParallelism first).
    judged_first = node.type in (STEPS, DAG)
    if fails_fast and not judged_first:
        note_end(graph, boundary, failed=failed)
    if lost:  # the parent was told that it is done when it came up
        graph.turns.tell(parent.child_lost, invocation.key, node.id)
    elif invocation.raised:
        graph.turns.tell(parent.child_raised, invocation.key, node.id)
    else:
        graph.turns.emit(parent, invocation.key, invocation.node_id)
    if fails_fast and judged_first:
        note_end(graph, boundary, failed=failed)


def note_end(graph: Graph, boundary: Invocation | None, *, failed: bool) -> None:
    """Something inside `boundary` is over, which may be the end of that, too."""
    if boundary is None or boundary.inside is None or not boundary.resolved.fail_fast:
        return
    boundary.inside.failed = boundary.inside.failed or failed
    if boundary.inside.failed and not graph.restoring:
        graph.turns.later(partial(_fail_fast, graph, boundary))


def _fail_fast(graph: Graph, boundary: Invocation) -> None:
    """Nothing begins any more in a template with `failFast` once something failed, and it ends with its pods.

    Of a retried one Argo looks at the Retry node, in which nothing fails: an attempt ends so where something is to
    begin (checkParallelism in operator.go).
    """
    inside = boundary.inside
    assert inside is not None
    ends = not inside.pods and (boundary.attempt is None or inside.waiting)
    if ends and graph.is_open(boundary):
        graph.turns.at_length(end_inside(graph, boundary, FAILED, FAIL_FAST))


def end_inside(graph: Graph, invocation: Invocation, phase: str, message: str, *, raised: bool = False) -> Pieces:
    """End steps or a DAG, whatever goes on in it."""
    assert invocation.body is not None
    yield from cut_off(graph, invocation)
    invocation.body.abandon(phase, message)
    finish(graph, invocation, phase, message, raised=raised)


def cut_off(graph: Graph, invocation: Invocation) -> Pieces:
    """Forget everything unfinished inside steps or a DAG that is about to end: its nodes stay as they are.

    That is what Argo makes of them: it looks only at the children of unfinished nodes. Costs as much as there are
    nodes below.
    """
    attempt = invocation.body.running if invocation.body is not None else None
    if attempt is not None:
        yield from cut_off(graph, attempt)
        _drop(graph, attempt, graph.store[attempt.node_id])
        return
    seen = {invocation.node_id}
    stack = _below(graph, invocation.node_id, invocation)
    while stack:
        yield
        node = graph.store[stack.pop()]
        if node.id in seen:
            continue
        seen.add(node.id)
        found = graph.live.get(node.id)
        stack += _below(graph, node.id, found)
        if found is not None and found.is_inside(invocation):
            _drop(graph, found, node)


def _below(graph: Graph, node_id: str, invocation: Invocation | None) -> list[str]:
    begun = invocation.body.begun if invocation is not None and invocation.body is not None else ()
    return [*begun, *(graph.store[node_id].children or ())]


def _drop(graph: Graph, invocation: Invocation, node: Node) -> None:
    graph.leave(invocation)
    invocation.gone = True
    if node.fulfilled and not node.finished_at:  # a plugin has just said so, and its visit would have been next
        node = graph.round_off(invocation)
    if invocation.resolved.is_leaf:
        graph.stops.append(node.id)
    graph.room.release(invocation, node)


# Daemons: leaves that are done for their successors once they are up, and that end with their boundary


def come_up(graph: Graph, invocation: Invocation, pod_ip: str) -> None:
    """The daemon runs: its successors may, too."""
    if graph.store[invocation.node_id].fulfilled or invocation.up:
        return
    node = graph.store.touch(invocation.node_id)
    node.daemoned, node.pod_ip = True, pod_ip
    found_up(graph, invocation)


def found_up(graph: Graph, invocation: Invocation) -> None:
    """A daemon that is up, whether it came up now or before this walk began."""
    invocation.up = True
    if invocation.boundary is not None:
        assert invocation.boundary.inside is not None
        invocation.boundary.inside.daemons.append(invocation)
    graph.turns.emit(invocation.parent, invocation.key, invocation.node_id)


def end_daemons(graph: Graph, inside: Inside) -> Pieces:
    """The boundary ended: so do its daemons, and that they do is no failure."""
    ended = sorted(inside.daemons, key=attrgetter("order"))
    for invocation in ended:
        end_daemon(graph, invocation)
        yield
    for invocation in ended:
        if invocation.body is not None:  # an attempt that has not come up yet is one too many
            yield from cut_off(graph, invocation)


def end_daemon(graph: Graph, invocation: Invocation) -> None:
    """Stop a daemon, unless it is over already, be it that a plugin has just said so and its visit is still to come."""
    if not graph.is_open(invocation) or not graph.leave(invocation):
        return
    node = graph.store.touch(invocation.node_id)
    node.phase, node.daemoned, node.finished_at = SUCCEEDED, None, graph.timestamp
    invocation.gone = True
    graph.stops.append(node.id)
    graph.room.release(invocation, node)
