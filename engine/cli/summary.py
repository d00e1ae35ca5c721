"""What a person wants to see of a run: the phases as a tree, the counters as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

import msgspec
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from engine.model.figures import PluginFigures
from engine.model.naming import told
from engine.model.node import Node
from engine.model.statistics import EngineTimings
from engine.model.workflow import Workflow
from engine.reconciler import Seen
from registry.terminal import printable
from rpc import Method
from rpc.stats import Histogram
from rpc.tally import calls_of

Rows = dict[str, str]

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


def show_statistics(engine: Seen, console: Console) -> None:
    """Print all that is counted of the engine, of its registry, and of each of its plugins: what metrics have, too."""
    figures = engine.figures
    phases = Counter(engine.nodes_by_phase()).most_common()
    nodes = {f"nodes {printable(phase)}": f"{count:,}" for phase, count in phases}
    tables = {"engine": _counts(msgspec.structs.asdict(figures.stats)) | nodes | _of_loop(figures.timings)}
    if figures.is_fleet:
        tables |= {f"shard {shard}": _counts(msgspec.structs.asdict(of.stats)) for shard, of in figures.loops.items()}
    if (registry := figures.registry) is not None:
        counts = asdict(registry.stats) | {"retries": registry.spent, "retries_not_paid_for": registry.refused}
        tables["registry"] = _counts(counts)
        tables |= {f"plugin {printable(plugin.name)}": _of_plugin(plugin) for plugin in registry.plugins}
    for title, rows in tables.items():
        _show(title, rows, console)


def _show(title: str, rows: Rows, console: Console) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=Text(title), title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _of_loop(timings: EngineTimings) -> Rows:
    rows = {f"passes {ending}": _times(passes) for ending, passes in timings.passes.items() if sum(passes.buckets)}
    return rows | {"turns of the loop": _times(timings.turns), "oldest queued": f"{timings.oldest_queued:.1f} s"}


def _of_plugin(plugin: PluginFigures) -> Rows:
    stats, tallies = plugin.stats, plugin.tallies
    rows = _counts({outcome: count for outcome, count in stats.outcomes.items() if count})
    for method in Method:
        calls = [f"{count:,} {_words(outcome)}" for outcome, count in calls_of(tallies, method).items() if count]
        if calls:
            rows[method] = ", ".join(calls)
    for route, tally in tallies.items():
        if tally.is_used:
            rows[f"{route} waited"], rows[f"{route} travelled"] = _times(tally.waited), _times(tally.travelled)
        if tally.sizes:
            rows[f"{route} answered"] = f"{tally.sizes.total():,}, of {min(tally.sizes)} to {max(tally.sizes):,} calls"
    rows |= _counts({"attempts": stats.attempts, "batched": stats.batched, "retries": stats.retries})
    rows |= {
        "unknown fields": f"{stats.unknown_fields:,}",
        "breaker": f"{stats.breaker}, opened {stats.breaker_opened} times",
        "concurrency limit": f"{stats.limit}",
        "in flight, waiting": f"{stats.in_flight:,}, {stats.waiting:,}",
    }
    latency = stats.latency
    if latency.samples:
        milliseconds = (f"{seconds * 1000:.1f}" for seconds in (latency.p50, latency.p99, latency.max))
        rows["latency p50, p99, max"] = " ".join(milliseconds) + " ms"
    return rows


def _counts(values: Mapping[str, int]) -> Rows:
    return {_words(name): f"{value:,}" for name, value in values.items()}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _times(times: Histogram) -> str:
    milliseconds = (f"{seconds * 1000:.1f}" for seconds in (*map(times.percentile, (0.5, 0.99)), times.slowest))
    return f"{sum(times.buckets):,}, p50, p99, max {' '.join(milliseconds)} ms"
