"""Workflows that are run as far as they go, operated upon, and run further, in one engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from engine import Engine, Node, Result, Workflow
from tests.engine.graph.running import Ran, Recorder, outcomes, workflow

YEAR = 3600.0 * 24 * 365

Operation = Callable[[Engine, Workflow], object]


class Noting(Recorder):
    """Notes each start and stop, in their order."""

    def __init__(self, ends: str) -> None:
        super().__init__(outcomes(ends))
        self.starts: list[str] = []

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        self.starts.append(node.display_name)
        return super().start(workflow, template, node)


class Driven(Ran):
    """What has become of the workflow, and which leaves were started since the last operation."""

    started: list[str]


def drive(
    spec: str | Workflow, ends: str | tuple[str, ...], *operations: Operation, timeout: float = YEAR, **options: Any
) -> Driven:
    """Run a workflow, then do one thing after the other to it and run it further each time.

    `ends` is an outcomes file, or one for each run.
    """
    work = workflow(spec) if isinstance(spec, str) else spec
    files = ends if isinstance(ends, tuple) else (ends,)
    executor = Noting(files[0])

    async def run() -> Driven:
        async with Engine(executor=executor, **options) as engine:
            await engine.run([work], timeout=timeout)
            for number, operation in enumerate(operations, 1):
                executor.starts.clear()
                executor.stopped.clear()
                operation(engine, work)
                if number < len(files):
                    executor.outcomes = outcomes(files[number])
                await engine.run([], timeout=timeout)
            driven = Driven(work, executor, "" if work.finished else engine.waiting_for(work))
            driven.started = list(executor.starts)
            return driven

    return asyncio.run(run())


def reloaded(work: Workflow) -> Workflow:
    """The workflow as another process would read it."""
    return Workflow(work.to_dict())
