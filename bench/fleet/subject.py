"""One side of the comparison, in a process of its own: workflows made, run to their end, and what that took.

Prints a `Measured` as JSON for each `Load` that it is given as an argument.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

import msgspec
import psutil
import uvloop

from engine import Engine, Workflow
from engine.cluster.fleet import Fleet
from engine.executors.executor import Result
from engine.model.node import Node
from engine.storage.memory import MemoryStore
from registry import Registry

Side = Literal["engine", "stored", "processes", "ray"]

_DONE: Final = Result("Succeeded")
_WARM_UP: Final = 20


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Workflows of some ``steps``, one after the other, with so many ``leaves`` each. ``config`` names plugins, empty
    for none."""

    side: Side
    workflows: int
    steps: int
    leaves: int
    shards: int
    config: str = ""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What it took: seconds of CPU, of this process and of all that it began, and of the clock; and how many passes,
    exchanges of mail and started leaves there were."""

    driver: float
    others: float
    seconds: float
    passes: int
    exchanges: int
    leaves: int


class Reporting:
    """An executor whose leaves succeed at once, which it reports in the next turn of the event loop."""

    def __init__(self) -> None:
        self.host: Engine | Fleet
        self.started = 0
        self._begun: list[tuple[Workflow, str]] = []

    def start(self, workflow: Workflow, template: object, node: Node) -> None:
        """See `engine.executors.executor.Executor`."""
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._report)
        self._begun.append((workflow, node.id))
        self.started += 1

    def stop(self, workflow: Workflow, node: Node) -> None:
        """See there; nothing runs for longer than a turn."""

    def _report(self) -> None:
        begun, self._begun = self._begun, []
        for workflow, node_id in begun:
            self.host.report(workflow, node_id, _DONE)


def workflow(name: str, steps: int, leaves: int) -> Workflow:
    """One whose leaves are a loop in each step."""
    loop = {"template": "work", "withSequence": {"count": str(leaves)}}
    main = {"name": "main", "steps": [[{"name": f"step-{number}", **loop}] for number in range(steps)]}
    work = {"name": "work", "container": {"image": "busybox", "command": ["true"]}}
    return Workflow({"metadata": {"name": name}, "spec": {"entrypoint": "main", "templates": [main, work]}})


async def measure(load: Load) -> Measured:
    """Warm up, then run."""
    executor = Reporting()
    async with _host(load, executor) as host:
        await host.run([workflow(f"warm-up-{number}", 2, 5) for number in range(_WARM_UP)])
        some = [workflow(f"measured-{number}", load.steps, load.leaves) for number in range(load.workflows)]
        gc.collect()  # the first time after processes were started costs as much as hundreds of workflows
        passes, exchanges, started = host.stats.passes, _exchanges(host), executor.started
        own, others, began = time.process_time(), _cpu_of_others(), time.perf_counter()
        await host.run(some)
        measured = Measured(
            driver=time.process_time() - own,
            others=_cpu_of_others() - others,
            seconds=time.perf_counter() - began,
            passes=host.stats.passes - passes,
            exchanges=_exchanges(host) - exchanges,
            leaves=executor.started - started,
        )
        for each in some:
            if each.phase != "Succeeded":
                sys.exit(f"{each.name}: expected Succeeded, got {each.phase}: {each.message}")
    return measured


@asynccontextmanager
async def _host(load: Load, executor: Reporting) -> AsyncIterator[Engine | Fleet]:
    made: Engine | Fleet
    match load.side:
        case "engine":
            made = Engine(_registry(load), executor=executor)
        case "stored":
            made = Engine(_registry(load), executor=executor, store=MemoryStore())
        case over:
            made = Fleet(_registry(load), executor=executor, shards=load.shards, over=over)
    executor.host = made
    async with made:
        yield made


def _registry(load: Load) -> Registry | None:
    return Registry(load.config) if load.config else None


def _exchanges(host: Engine | Fleet) -> int:
    return host.exchanges if isinstance(host, Fleet) else 0


def _cpu_of_others() -> float:
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(msgspec.json.encode(uvloop.run(measure(msgspec.json.decode(argument, type=Load)))).decode(), flush=True)
