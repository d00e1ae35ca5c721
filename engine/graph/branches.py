"""By which phase a DAG's target is judged that did not run itself (Argo's assessDAGPhase)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import chain

from engine.graph.nodes import NodeStore
from engine.model.node import RETRY, SUCCEEDED, UNSUCCESSFUL, Node
from engine.model.pace import Pieces


def branch_phases(
    boundary: str, targets: Sequence[str], dependents: Callable[[], Mapping[str, Sequence[str]]], store: NodeStore
) -> Generator[None, None, dict[str, str]]:
    """The phase of each target's branch: its own, or where it was skipped or omitted that of the last node above it.

    Where branches meet, a failed one counts. A task may have failed and no node above the target show it: where it
    ended before it had children, nothing hangs under it, and where only its outputs could not be had, what hangs there
    succeeded. So ``dependents``, the nodes of what depends on a task by its node, pass failures on, too. All nodes
    below `boundary` must be done. Costs nothing unless a target did not run; then all of them are looked at.
    """
    phases = {target: store[target].phase for target in targets}
    unclear = {target for target in targets if not store[target].completed}
    phases.update(dict.fromkeys(unclear, SUCCEEDED))
    if unclear:
        yield from _follow(boundary, unclear, phases, {}, store)
        below = dependents()
        if any(store[task].unsuccessful for task in below):
            yield from _follow(boundary, unclear, phases, below, store)
    return phases


def _follow(
    boundary: str, unclear: set[str], phases: dict[str, str], dependents: Mapping[str, Sequence[str]], store: NodeStore
) -> Pieces:
    """Carry phases down from the boundary to the targets that have none; a failure stays once it is there."""
    queue = deque((child, SUCCEEDED) for child in store[boundary].children or ())
    seen = set(queue)
    while queue:
        yield
        key, phase = queue.popleft()
        node = store[key]
        if node.completed:
            phase = node.phase
        elif key in unclear and phases[key] not in UNSUCCESSFUL:
            phases[key] = phase
        for below in chain(_below(node, store), dependents.get(key, ())):
            if (below, phase) not in seen:
                seen.add((below, phase))
                queue.append((below, phase))


def _below(node: Node, store: NodeStore) -> Sequence[str]:
    """A retried node speaks for its attempts: what follows are their children and its hooks."""
    if node.type != RETRY:
        return node.children or ()
    found = []
    for child in reversed(node.children or ()):
        if (store[child].node_flag or {}).get("hooked"):
            found.append(child)
        else:
            found.extend(store[child].children or ())
    return found
