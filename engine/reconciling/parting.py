"""A workflow that an engine is to know no more: at once, but for what a pass under way has to undo."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

from engine.model.workflow import Workflow
from engine.operations.errors import UnknownWorkflow
from engine.reconciling.active import Active
from engine.reconciling.looping import Loop
from engine.reconciling.passes import Passes
from engine.reconciling.promise import DONE


class _Parted:
    """May be awaited, and need not be."""

    def __init__(self, parted: asyncio.Event) -> None:
        self._parted = parted

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._parted.wait().__await__()


def part(workflow: Workflow, how: str, active: Active, passes: Passes, loop: Loop) -> Awaitable[None]:
    """Drop a workflow; `how`, ``forget`` or ``delete``, says whether its leaves are stopped.

    Raises `UnknownWorkflow` where it is not finished, and not known.
    """
    run = active.find(workflow)
    if run is None:
        if not workflow.finished:
            raise UnknownWorkflow(f"{workflow.key}: this engine does not have the workflow: there is nothing to {how}")
        return DONE
    run.parting = how
    active.drop(run)
    if run.busy:
        loop.abort(workflow.key)
    else:
        passes.part(run)
    return _Parted(run.parted)
