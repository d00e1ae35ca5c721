"""What every command that reconciles ends with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from engine.cli.options import Options

if TYPE_CHECKING:
    from engine.model.workflow import Workflow
    from engine.reconciler import Reconciler


def reconcile(
    options: Options, operation: Callable[[Reconciler, Workflow], Awaitable[None]], source: str | None = None
) -> None:
    """See `engine.cli.running`, which is imported here: whoever asks for help does not wait for an engine."""
    from engine.cli import running

    running.reconcile(options, operation, source)
