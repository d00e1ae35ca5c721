"""What is shown while it runs: how many nodes are through, how fast, and what went wrong, on standard error."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from bench.messages import Progress


class Display:
    """A line for what is being done now; a context manager, in which `watch` may be called."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("nodes"),
            TextColumn("{task.fields[speed]}", justify="right"),
            TextColumn("{task.fields[errors]}", style="red"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._console = console
        self._doing = ""
        self._line: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def watch(self, doing: str, nodes: int, progress: Progress | None) -> None:
        """Show what is being done, and how far it is with its `nodes`; without any, only that it is at it."""
        if self._line is None or doing != self._doing:
            if self._line is not None:
                self._bars.remove_task(self._line)
            if not self._console.is_terminal:
                self._console.print(doing, highlight=False)
            self._doing = doing
            self._line = self._bars.add_task(doing, total=nodes or None, speed="", errors="")
        if progress is not None:
            speed = f"{progress.calls / progress.seconds:,.0f} calls/s" if progress.seconds else ""
            errors = f"{progress.errors:,} errors" if progress.errors else ""
            self._bars.update(self._line, completed=progress.nodes, speed=speed, errors=errors)
