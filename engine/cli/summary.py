"""What a person wants to see of a run: the phases as a tree, the counters as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from engine.engine import Engine
from engine.model.naming import told
from engine.model.node import Node
from engine.model.workflow import Workflow
from registry.terminal import printable

MOST: Final = 20
"""How many children of one node are shown; the rest are counted."""

_STYLES: Final = {"Succeeded": "green", "Failed": "red", "Error": "red", "Running": "yellow", "Pending": "yellow"}


def summarize(workflows: Sequence[Workflow], console: Console) -> None:
    """Print each workflow's phase, message and nodes."""
    for workflow in workflows:
        title = _line(told(workflow.namespace, workflow.name), workflow.phase or "not started", workflow.message)
        counts = Counter(node.phase for node in workflow.nodes.values())
        title.append(f"  {', '.join(f'{count} {printable(phase)}' for phase, count in counts.most_common())}", "dim")
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
    line = Text(f"{printable(name)} ")
    line.append(printable(phase), _STYLES.get(phase, "dim"))
    if message:
        line.append(f"  {printable(message)}", "dim")
    return line


def show_statistics(engine: Engine, console: Console) -> None:
    """Print the counters of the engine, of its registry, and of each of its plugins."""
    from rich import box
    from rich.table import Table

    counts = {"engine": msgspec.structs.asdict(engine.stats)}
    if engine.registry is not None:
        budget = engine.registry.budget
        retries = {"retries": budget.spent, "retries_not_paid_for": budget.refused}
        counts["registry"] = asdict(engine.registry.stats) | retries
    for title, values in counts.items():
        table = Table(box=box.SIMPLE, title=title, title_justify="left", show_header=False)
        for name, value in values.items():
            table.add_row(name.replace("_", " "), f"{value:,}")
        console.print(table)
    for plugin in engine.registry.snapshot() if engine.registry is not None else ():
        stats = plugin.client.stats
        table = Table(
            box=box.SIMPLE, title=Text(f"plugin {printable(plugin.name)}"), title_justify="left", show_header=False
        )
        for outcome, count in stats.outcomes.items():
            if count:
                table.add_row(outcome.replace("_", " "), f"{count:,}")
        table.add_row("retries", f"{stats.retries:,}")
        table.add_row("breaker", f"{stats.breaker}, opened {stats.breaker_opened} times")
        table.add_row("concurrency limit", f"{stats.limit}")
        table.add_row("in flight, waiting", f"{stats.in_flight:,}, {stats.waiting:,}")
        latency = stats.latency
        if latency.samples:
            milliseconds = (f"{seconds * 1000:.1f}" for seconds in (latency.p50, latency.p99, latency.max))
            table.add_row("latency p50, p99, max", " ".join(milliseconds) + " ms")
        console.print(table)
