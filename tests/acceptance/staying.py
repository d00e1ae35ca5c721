"""An engine that stays, and an executor that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from engine import (
    Engine,
    Node,
    Result,
    Workflow,
)
from tests.acceptance.manifests import container, steps, workflow


class Runs:
    """Takes leaves, and remembers those that run and all that it was told."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], Workflow] = {}
        self.told: list[str] = []
        self.news = asyncio.Event()

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        assert (workflow.uid, node.id) not in self.running, "started twice"
        self.running[workflow.uid, node.id] = workflow
        self._tell(f"+{workflow.name} {node.display_name}")
        return None

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.running.pop((workflow.uid, node.id), None)
        self._tell(f"-{workflow.name} {node.display_name}")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.news.set()

    async def heard(self, what: str) -> None:
        while what not in self.told:
            self.news.clear()
            await self.news.wait()

    def end(self, engine: Engine, phase: str = "Succeeded") -> None:
        for (_, node_id), work in list(self.running.items()):
            del self.running[work.uid, node_id]
            engine.report(work, node_id, Result(phase))


@asynccontextmanager
async def serving(engine: Engine) -> AsyncIterator[Engine]:
    """The engine while it serves; drained in the end."""
    async with engine:
        served = asyncio.create_task(engine.serve())
        yield engine
        engine.drain(5.0)
        await served


def leaf(name: str = "work") -> Workflow:
    return workflow(steps("a"), container("leaf"), name=name)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
