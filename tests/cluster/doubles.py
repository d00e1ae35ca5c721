"""What fleets are tried with: workflows, and executors whose leaves end when they are told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from engine import Node, Result, Workflow
from tests.acceptance.manifests import container, workflow

Document = Mapping[str, Any]
SUCCEEDED = Result("Succeeded")


class Leaves:
    """Ends leaves well: at once, or when somebody says so."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.started: list[tuple[str, str]] = []
        self.templates: list[Document] = []
        self.stopped: list[str] = []
        self.runs: asyncio.Queue[tuple[Workflow, Node]] = asyncio.Queue()

    def start(self, workflow: Workflow, template: Document, node: Node) -> Result | None:
        self.started.append((workflow.uid, node.id))
        self.templates.append(template)
        self.runs.put_nowait((workflow, node))
        return SUCCEEDED if self.at_once else None

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.stopped.append(node.name)

    @property
    def twice(self) -> list[tuple[str, str]]:
        """Leaves that were started more than once."""
        return [key for key, times in Counter(self.started).items() if times > 1]


class Lasting(Leaves):
    """Leaves that outlive the driver: what it had started, and that does it know."""

    def __init__(self) -> None:
        super().__init__(at_once=False)
        self.adopted: list[tuple[str, str]] = []

    def adopt(self, workflow: Workflow, template: Document, node: Node) -> bool:
        known = (workflow.uid, node.id) in self.started
        if known:
            self.adopted.append((workflow.uid, node.id))
            self.runs.put_nowait((workflow, node))
        return known


def fan(name: str, width: int = 3) -> Workflow:
    """Some leaves side by side, then another one."""
    steps = [[{"name": "a", "template": "leaf", "withSequence": {"count": str(width)}}]]
    main = {"name": "main", "steps": [*steps, [{"name": "b", "template": "leaf"}]]}
    return workflow(main, container("leaf"), name=name)


def approval(name: str = "approval") -> Workflow:
    """A leaf, once somebody has said so."""
    steps = [[{"name": "ok", "template": "wait"}], [{"name": "b", "template": "leaf"}]]
    return workflow({"name": "main", "steps": steps}, {"name": "wait", "suspend": {}}, container("leaf"), name=name)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until that is so, for as long as a test may take."""
    loop, so = asyncio.get_running_loop(), asyncio.Event()

    def look() -> None:
        if is_so():
            so.set()
        else:
            loop.call_later(0.005, look)

    look()
    await so.wait()
