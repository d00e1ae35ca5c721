"""The engine of whatever commit is on the path, in a process of its own: one shape of load, once.

``python subject.py SHAPE COUNT`` prints a JSON object. What it uses of the engine is what 865d30a had, and what came
after that only where it is there; it imports nothing of the bench, since that of the other commit may not have it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from engine import Engine, SimulatedExecutor, Workflow, load

_INTERVAL: Final = 0.001
_IDLE: Final = 0.5
"""Seconds for which the ticker is alone."""
_WARM_UP: Final = 20
"""Nodes, or tasks, after which modules are imported and caches are there."""

_LEAF: Final = {"name": "work", "container": {"image": "busybox", "command": ["true"]}}
_TOLD: Final = {
    "name": "work",
    "inputs": {"parameters": [{"name": "number"}]},
    "container": {"image": "busybox", "command": ["echo", "{{inputs.parameters.number}}"]},
}
_NUMBER: Final = {"parameters": [{"name": "number", "value": "{{item}}"}]}


def _manifest(name: str, *templates: object) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": templates},
    }


def sequence(count: int, name: str = "sequence") -> dict[str, Any]:
    """One step, `count` times over, which all are the same."""
    step = {"name": "work", "template": "work", "withSequence": {"count": str(count)}}
    return _manifest(name, {"name": "main", "steps": [[step]]}, _LEAF)


def items(count: int, name: str = "items") -> dict[str, Any]:
    """One step for each of `count` items, each told its own."""
    step = {"name": "work", "template": "work", "arguments": _NUMBER, "withItems": list(range(count))}
    return _manifest(name, {"name": "main", "steps": [[step]]}, _TOLD)


def dag(count: int, name: str = "dag") -> dict[str, Any]:
    """A DAG of `count` tasks: one, all others but the last after it, and the last after a thousand of those."""
    middle = [f"task-{number}" for number in range(1, count - 1)]
    tasks: list[dict[str, Any]] = [{"name": "first"}]
    tasks += ({"name": task, "dependencies": ["first"]} for task in middle)
    tasks.append({"name": "last", "dependencies": middle[-1000:] or ["first"]})
    told = [
        {**task, "template": "work", "arguments": {"parameters": [{"name": "number", "value": task["name"]}]}}
        for task in tasks
    ]
    return _manifest(name, {"name": "main", "dag": {"tasks": told}}, _TOLD)


def chain(count: int, name: str = "chain") -> dict[str, Any]:
    """`count` steps, one after the other."""
    steps = [[{"name": f"step-{number}", "template": "work"}] for number in range(count)]
    return _manifest(name, {"name": "main", "steps": steps}, _LEAF)


SHAPES: Final = {"sequence": sequence, "items": items, "dag": dag, "chain": chain}


def small(name: str) -> dict[str, Any]:
    """A workflow of ten nodes: a DAG, and nine tasks."""
    return dag(9, name)


async def run(*documents: dict[str, Any]) -> list[Workflow]:
    """From documents to Succeeded, without a plugin."""
    workflows = [Workflow(document) for document in documents]
    async with Engine(executor=SimulatedExecutor()) as engine:
        await engine.run(workflows)
    for workflow in workflows:
        if workflow.phase != "Succeeded":
            sys.exit(f"{workflow.name}: expected Succeeded, got {workflow.phase}: {workflow.message}")
    return workflows


def timed(shape: Callable[[int], dict[str, Any]], count: int) -> dict[str, Any]:
    """CPU seconds, and the memory that is held afterwards, for a workflow of that shape."""
    asyncio.run(run(shape(_WARM_UP)))
    document = shape(count)
    gc.collect()
    before, began = _resident(), time.process_time()
    workflows = asyncio.run(run(document))
    seconds = time.process_time() - began
    gc.collect()
    return {"cpu": seconds, "count": len(workflows[0].nodes), "bytes": _resident() - before}


def workflows(count: int) -> dict[str, Any]:
    """CPU seconds for so many small workflows, each from a document of its own, as they come over a network."""
    asyncio.run(run(small("warm-up")))
    texts = [json.dumps(small(f"small-{number}")) for number in range(count)]
    documents = [json.loads(text) for text in texts]
    gc.collect()
    began = time.process_time()
    asyncio.run(run(*documents))
    return {"cpu": time.process_time() - began, "count": count}


class Ticker:
    """A task that sleeps for a millisecond at a time, and how much longer than that it was kept from going on.

    That is a turn of the event loop, whatever it was that took so long: a callback, the garbage collector, or a thread
    that did not let go of the interpreter.
    """

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self.longest = self.longest_cpu = self.longest_collection = 0.0

    async def tick(self) -> None:
        """For ever."""
        while True:
            began, began_cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_INTERVAL)
            self.longest = max(self.longest, time.perf_counter() - began - _INTERVAL)
            self.longest_cpu = max(self.longest_cpu, time.thread_time() - began_cpu)

    def collected(self, phase: str, _: dict[str, int]) -> None:
        """A callback of the garbage collector."""
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self.longest_collection = max(self.longest_collection, time.perf_counter() - self._collecting)

    async def watch(self, doing: Awaitable[Any]) -> tuple[Any, dict[str, float]]:
        """What comes of it, and its longest turn, in milliseconds."""
        await asyncio.sleep(2 * _INTERVAL)  # the tick that is under way belongs to what was before
        self._restart()
        done = await doing
        await asyncio.sleep(2 * _INTERVAL)
        return done, {
            "longest": self.longest * 1e3,
            "longest_cpu": self.longest_cpu * 1e3,
            "collection": self.longest_collection * 1e3,
        }


async def turns(count: int) -> dict[str, Any]:
    """The longest turn of the event loop in each phase of a workflow's life, and where nothing happened at all."""
    await run(sequence(_WARM_UP))
    ticker = Ticker()
    ticking = asyncio.create_task(ticker.tick())
    with tempfile.TemporaryDirectory() as folder, _collections(ticker):
        file = Path(folder, "workflow.json")
        _write(file, json.dumps(sequence(count)).encode())
        figures = {}
        gc.collect()
        _, figures["idle"] = await ticker.watch(asyncio.sleep(_IDLE))
        document, figures["load"] = await ticker.watch(_load(file))
        (workflow,), figures["run"] = await ticker.watch(run(document))
        encoded, figures["encode"] = await ticker.watch(_encode(workflow))
        _write(file, encoded)
        del workflow, document, encoded
        _, figures["reload"] = await ticker.watch(_reload(file))
    ticking.cancel()
    return {"phases": figures, "count": count}


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


async def _load(file: Path) -> dict[str, Any]:
    return (await asyncio.to_thread(load, [file])).workflows[0].document


async def _encode(workflow: Workflow) -> bytes:
    encoded = getattr(workflow, "encoded", None)
    return workflow.encode() if encoded is None else await encoded()


async def _reload(file: Path) -> Workflow:
    loaded: Callable[[Any], Awaitable[Workflow]] | None = getattr(Workflow, "loaded", None)
    if loaded is not None and "bytes" in loaded.__annotations__["document"]:
        return await loaded(await asyncio.to_thread(file.read_bytes))
    document = await _load(file)
    return Workflow(document) if loaded is None else await loaded(document)


@contextmanager
def _collections(ticker: Ticker) -> Iterator[None]:
    gc.callbacks.append(ticker.collected)
    try:
        yield
    finally:
        gc.callbacks.remove(ticker.collected)


def _resident() -> int:
    """Of this process, in bytes; where there is no /proc the most that it ever was."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    name, count = sys.argv[1], int(sys.argv[2])
    if name == "workflows":
        measured = workflows(count)
    elif name == "turns":
        measured = asyncio.run(turns(count))
    else:
        measured = timed(SHAPES[name], count)
    json.dump(measured, sys.stdout)
