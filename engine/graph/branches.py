"""By which phase a DAG's target is judged that did not run itself (Argo's assessDAGPhase)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from engine.graph.nodes import NodeStore
from engine.node import RETRY, SUCCEEDED, UNSUCCESSFUL, Node


def branch_phases(boundary: str, targets: Sequence[str], store: NodeStore) -> dict[str, str]:
    """The phase of each target's branch: its own, or where it was skipped or omitted that of the last node above it.

    Where branches meet, a failed one counts. All nodes below `boundary` must be done. Costs nothing unless a target
    did not run; then every node below the boundary is looked at.
    """
    phases = {target: store[target].phase for target in targets}
    unclear = {target for target in targets if not store[target].completed}
    if not unclear:
        return phases
    phases.update(dict.fromkeys(unclear, SUCCEEDED))
    queue = deque((child, SUCCEEDED) for child in store[boundary].children or ())
    seen = set(queue)
    while queue:
        key, phase = queue.popleft()
        node = store[key]
        if node.completed:
            phase = node.phase
        elif key in unclear and phases[key] not in UNSUCCESSFUL:
            phases[key] = phase
        for below in _below(node, store):
            if (below, phase) not in seen:
                seen.add((below, phase))
                queue.append((below, phase))
    return phases


def _below(node: Node, store: NodeStore) -> list[str]:
    """A retried node speaks for its attempts: what follows are their children and its hooks."""
    if node.type != RETRY:
        return node.children or []
    found = []
    for child in reversed(node.children or ()):
        if (store[child].node_flag or {}).get("hooked"):
            found.append(child)
        else:
            found.extend(store[child].children or ())
    return found
