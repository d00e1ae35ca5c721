"""How far the engine has got, while standard error is a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.text import Text

from engine.engine import Engine


@contextlib.contextmanager
def showing_progress(engine: Engine, total: int) -> Iterator[None]:
    """A bar on standard error while it is a terminal; nothing otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    progress = Progress(SpinnerColumn(), _Counts(engine, total), TimeElapsedColumn(), console=console, transient=True)
    with progress:
        progress.add_task("", total=None)
        yield


class _Counts(ProgressColumn):
    """Read from the engine whenever the display is refreshed, so that the engine need not know of it."""

    def __init__(self, engine: Engine, total: int) -> None:
        super().__init__()
        self._engine = engine
        self._total = total

    def render(self, task: Task) -> Text:
        stats = self._engine.stats
        aborted = f", {stats.aborted:,} passes aborted" if stats.aborted else ""
        return Text(
            f"{stats.workflows_finished} of {self._total} workflows, {stats.nodes_visited:,} node visits{aborted}"
        )
