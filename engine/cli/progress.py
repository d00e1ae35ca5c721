"""How far the engine has got, and what it waits for, while standard error is a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from engine.reconciler import Reconciler
from registry.terminal import printable

_EVERY: Final = 0.25
"""Seconds between two looks at what is waited for, at least,"""
_SHARE: Final = 0.02
"""and at most such a share of the time is spent on them: there may be 100,000 nodes to look at."""


@contextlib.contextmanager
def showing_progress(engine: Reconciler, total: int) -> Iterator[None]:
    """Two lines on standard error while it is a terminal, nothing otherwise; within the engine's event loop."""
    console = Console(stderr=True, soft_wrap=True)  # lines of the log come by it, and stay lines
    if not console.is_terminal:
        yield
        return
    seen = _Seen(engine, total)
    with Progress(SpinnerColumn(), TimeElapsedColumn(), seen, console=console, transient=True, expand=True) as progress:
        progress.add_task("", total=None)
        seen.look()
        try:
            yield
        finally:
            seen.stop()


class _Seen(ProgressColumn):
    """Counts are read whenever the display is refreshed, which is in a thread; all else is looked at in the loop."""

    def __init__(self, engine: Reconciler, total: int) -> None:
        super().__init__(Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        self._engine = engine
        self._total = total
        self._waiting = ""
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Look now what is waited for, and from now on, until `stop`."""
        began = time.perf_counter()
        self._waiting = waiting_for(self._engine)
        took = time.perf_counter() - began
        self._timer = asyncio.get_running_loop().call_later(max(_EVERY, took / _SHARE), self.look)

    def stop(self) -> None:
        """Do not look any more."""
        if self._timer is not None:
            self._timer.cancel()

    def render(self, task: Task) -> Text:
        stats = self._engine.stats
        aborted = f", {stats.aborted:,} passes aborted" if stats.aborted else ""
        counts = f"{stats.workflows_finished} of {self._total} workflows, {stats.nodes_visited:,} node visits{aborted}"
        return Text(f"{counts}\n{self._waiting}")  # a line of its own, since a terminal may have 80 columns


def waiting_for(engine: Reconciler) -> str:
    """What the first of the unfinished workflows waits for, and how many others do."""
    unfinished = engine.workflows
    if not unfinished:
        return ""
    others = f" (and {len(unfinished) - 1:,} more)" if len(unfinished) > 1 else ""
    return printable(f"{unfinished[0].key}{others}: {engine.waiting_for(unfinished[0])}")
