"""What a person wants to see of a finished run: the phases, as a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from engine.node import Node
from engine.workflow import Workflow

MOST: Final = 20
"""How many children of one node are shown; the rest are counted."""

_STYLES: Final = {"Succeeded": "green", "Failed": "red", "Error": "red", "Running": "yellow", "Pending": "yellow"}


def summarize(workflows: Sequence[Workflow], console: Console) -> None:
    """Print each workflow's phase, message and nodes."""
    for workflow in workflows:
        title = _line(workflow.name, workflow.phase or "not started", workflow.message)
        counts = Counter(node.phase for node in workflow.nodes.values())
        title.append(f"  {', '.join(f'{count} {phase}' for phase, count in counts.most_common())}", "dim")
        tree = Tree(title, guide_style="dim")
        inner: dict[str, list[Node]] = {}
        for node in workflow.nodes.values():
            inner.setdefault(node.boundary_id, []).append(node)
        _grow(tree, "", inner)
        console.print(tree)


def _grow(tree: Tree, boundary: str, inner: dict[str, list[Node]]) -> None:
    """Nodes under the template invocation they belong to; groups say nothing that their members do not."""
    nodes = [node for node in inner.get(boundary, ()) if node.type not in ("StepGroup", "TaskGroup")]
    for node in nodes[:MOST]:
        _grow(tree.add(_line(node.display_name, node.phase, node.message)), node.id, inner)
    if len(nodes) > MOST:
        tree.add(Text(f"… and {len(nodes) - MOST} more", style="dim"))


def _line(name: str, phase: str, message: str) -> Text:
    line = Text(f"{name} ")
    line.append(phase, _STYLES.get(phase, "dim"))
    if message:
        line.append(f"  {message}", "dim")
    return line
