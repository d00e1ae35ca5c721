"""Measurements taken in turns: what a neighbour does to the machine in one round, it does to everyone in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import msgspec

from bench import peers
from bench.measuring import Engaged, Plan, loop
from bench.messages import Looped
from bench.peers.window import Task
from bench.processes import Stuck
from bench.record import Cost, Loop, PeerRound, PeerRow
from bench.servers import Nginx
from rpc.methods import Method

OURS = "oarlock"


class Compared(NamedTuple):
    """Our loops, a row for everyone, and why some have none."""

    loops: list[Looped]
    rows: list[PeerRow]
    missing: dict[str, str]


def against_peers(
    subject: Engaged, server: Nginx, present: Sequence[peers.Peer], connections: int, rounds: int, plan: Plan
) -> Compared:
    """Let the engine and each peer send the same body to the same server, `rounds` times in turns.

    Every other round goes the other way round, so that nobody always runs on a machine warmed by the same neighbour. A
    peer that fails once is out.
    """
    loops: list[Looped] = []
    taken: dict[str, list[PeerRound]] = {OURS: []}
    missing: dict[str, str] = {}
    body = subject.engine.ready.body
    for number in range(rounds):
        entrants = [None, *(peer for peer in present if peer.name not in missing)]
        for peer in reversed(entrants) if number % 2 else entrants:
            doing = f"round {number + 1} of {rounds}: {OURS if peer is None else peer.name}"
            before = server.requests()
            if peer is None:
                measured = loop(subject, doing, False, plan)
                loops.append(measured)
                taken[OURS].append(PeerRound(**_costs(measured.loop), served=server.requests() - before - 1))
                continue
            plan.watch(doing, 0, None)
            # As many calls as the engine makes: each of its nodes is sent through each plugin.
            calls = int(subject.nodes * plan.plugins * peer.share)
            task = Task(
                url=f"{server.addresses[0]}/{Method.NODE_PRE_EXECUTE}", body=body, calls=calls, connections=connections
            )
            try:
                outcome = peer.send(task)
            except (peers.Failed, Stuck) as reason:
                missing[peer.name] = str(reason)
                continue
            taken.setdefault(peer.name, []).append(
                PeerRound.of(**msgspec.structs.asdict(outcome), served=server.requests() - before - 1)
            )
    rows = [_row(name, server.name, taken[name]) for name in taken if name not in missing]
    return Compared(loops, rows, missing)


def side_by_side(subjects: Mapping[str, Engaged], rounds: int, plan: Plan) -> dict[str, list[Looped]]:
    """Loops over several engines, each in its turn; every other round goes the other way round."""
    done: dict[str, list[Looped]] = {name: [] for name in subjects}
    for number in range(rounds):
        for name in reversed(list(subjects)) if number % 2 else subjects:
            done[name].append(loop(subjects[name], f"round {number + 1} of {rounds}: {name}", False, plan))
    return done


def in_turns(few: Engaged, many: Engaged, rounds: int, plan: Plan) -> tuple[list[Loop], list[Loop]]:
    """Loops over a small graph and a large one, in turns; of the small one, as many as make half as many calls."""
    small, large = [], []
    repeat = max(1, many.nodes // few.nodes // 10)
    for number in range(rounds):
        doing = f"round {number + 1} of {rounds}: {few.nodes:,} and {many.nodes:,} nodes"
        small.append(_together([loop(few, doing, False, plan).loop for _ in range(repeat)]))
        large.append(loop(many, doing, False, plan).loop)
    return small, large


def _together(loops: Sequence[Loop]) -> Loop:
    """Several loops as if they were one."""
    return Loop.of(
        sum(each.calls for each in loops),
        seconds=sum(each.seconds for each in loops),
        cpu_seconds=sum(each.cpu_us_per_call * each.calls for each in loops) / 1e6,
        system_seconds=sum(each.system_us_per_call * each.calls for each in loops) / 1e6,
        errors=sum(each.errors for each in loops),
        added_rss_bytes=max(each.added_rss_bytes for each in loops),
    )


def _costs(one: Cost) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Cost.__struct_fields__}


def _row(name: str, server: str, rounds: list[PeerRound]) -> PeerRow:
    costs = {cost: median(getattr(each, cost) for each in rounds) for cost in Cost.__struct_fields__}
    costs |= {"calls": int(costs["calls"]), "errors": sum(each.errors for each in rounds)}
    return PeerRow(name=name, server=server, rounds=rounds, **costs)
