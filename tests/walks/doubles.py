"""Plugins, their registry and an executor, in this process and in a time of their own; what they do depends on what
they are told alone, so that it is the same however often they are asked."""

from __future__ import annotations

import asyncio
import heapq
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import orjson

from engine import Node, Result, Workflow
from registry import Config, EngineSettings, Plugin, PluginConfig
from rpc import Method, TransientError
from rpc.batches import CallBatch
from rpc.replies import Reply, decode
from rpc.window import Outcomes

START = 1_700_000_000.0


class Time:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def draw(*of: object, out_of: int = 100) -> int:
    """A number below `out_of` that is always the same for the same things."""
    return zlib.crc32(repr(of).encode()) % out_of


class Client:
    """What an engine needs of `rpc.Client`: it answers by the rules of a meddler, or as `disturb` says."""

    breaker = "closed"
    generation = 0
    announcement = None

    def __init__(self, name: str, seed: int, time: Time, disturb: Callable[[str, Method], int]) -> None:
        self.name = name
        self.seed = seed
        self.time = time
        self.disturb = disturb
        """How many turns of the event loop an answer takes; below zero it is a 503."""
        self.methods = {method for method in Method if draw(seed, name, method) < 60}

    def in_doubt(self, method: Method) -> bool:
        return False

    def supports(self, method: Method) -> bool:
        return method in self.methods

    async def ask(self, method: Method, batch: CallBatch, outcomes: Outcomes, **_: Any) -> None:
        """Answer one call after the other, as `rpc.Client.ask` does."""
        for place, call in enumerate(batch.calls):
            outcomes[place] = await self._ask(method, call.body)

    async def _ask(self, method: Method, body: bytes) -> Reply:
        turns = self.disturb(self.name, method)
        for _ in range(abs(turns)):
            await asyncio.sleep(0)
        if turns < 0:
            raise TransientError(self.name, method, "503")
        return decode(method, orjson.dumps(self.answer(method, orjson.loads(body))))[0]

    # What it answers

    def answer(self, method: Method, args: Mapping[str, Any]) -> dict[str, Any]:
        match method:
            case Method.WORKFLOW_PRE_OPERATE | Method.WORKFLOW_POST_OPERATE:
                return self._about_workflow(method, args.get("new") or args["workflow"])
            case Method.PARAMETERS_ADD:
                return {"parameters": {"added": f"by-{self.name}"}} if self._draw(method) < 70 else {}
            case Method.TEMPLATE_EXECUTE:
                return self._execute(args["template"])
            case _:
                return self._about_node(method, args.get("new") or args["node"])

    def _draw(self, *of: object, out_of: int = 100) -> int:
        return draw(self.seed, self.name, *of, out_of=out_of)

    def _elapsed(self) -> float:
        return self.time() - START

    def _about_workflow(self, method: Method, workflow: Mapping[str, Any]) -> dict[str, Any]:
        if self._draw(method) < 50:
            return {}
        seconds = str(int(self._elapsed()) // 3)
        return {
            "workflow": {
                "metadata": {"labels": {self.name: seconds}, "annotations": {"phase": workflow["status"]["phase"]}}
            }
        }

    def _execute(self, template: Mapping[str, Any]) -> dict[str, Any]:
        name = template["name"]
        if self._draw(name) < 30:
            return {}
        if self._elapsed() < self._draw(name, "until", out_of=6):
            return {"node": {"phase": "Running", "message": "working"}, "requeue": "1s"}
        phase = "Failed" if self._draw(name, "end") < 25 else "Succeeded"
        return {"node": {"phase": phase, "outputs": {"parameters": [{"name": "o", "value": "done"}]}}}

    def _about_node(self, method: Method, node: Mapping[str, Any]) -> dict[str, Any]:
        phase, name = node["phase"], node["name"]
        what = self._draw(method, name, phase)
        later = self._elapsed() >= self._draw(name, "later", out_of=8)
        if method is Method.NODE_POST_EXECUTE:
            return {"node": {"message": f"{self.name} saw {phase}"}} if what < 15 else {}
        if what < 4 and later:
            end = ("Succeeded", "Failed", "Error", "Skipped")[self._draw(name, "end", out_of=4)]
            return {"node": {"phase": end, "message": f"{self.name} ended it"}}
        if what < 12:
            return {"node": {"message": f"{self.name} was here"}}
        if what < 18 and not later:
            return {"requeue": "2s"}
        if what < 21 and phase == "Pending":
            return {"node": {"phase": "Running"}, "requeue": "1s"} if not later else {}
        return {}


def plugin(name: str, client: Any, **options: Any) -> Plugin:
    """A plugin that `client` answers for."""
    return Plugin(PluginConfig(name=name, address="http://nowhere", **options), client)


class Registry:
    """The plugins of a run."""

    config = Config(engine=EngineSettings(enabled=True))

    def __init__(
        self, seed: int, time: Time, disturb: Callable[[str, Method], int], caches: Sequence[str] = ("auto", "on")
    ) -> None:
        dice = Random(f"plugins {seed}")
        names = [f"p{number}" for number in range(dice.choice((0, 1, 1, 2)))]
        self.plugins = tuple(
            plugin(name, Client(name, seed, time, disturb), cache=caches[dice.choice((0, 0, -1))]) for name in names
        )

    @contextmanager
    def lease(self) -> Iterator[tuple[Plugin, ...]]:
        yield self.plugins


class World:
    """Runs leaves: each ends after some seconds in a way that its name decides. Notes what it is told."""

    def __init__(self, seed: int, time: Time) -> None:
        self.seed = seed
        self.time = time
        self.told: list[str] = []
        self.running: dict[str, str] = {}
        self._number = 0
        self._due: list[tuple[float, int, str, Result]] = []

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        self.told.append(f"+{node.name} {orjson.dumps(template).decode()}")
        assert node.id not in self.running, f"{node.name} runs already"
        self.running[node.id] = node.name
        name, seed = node.name, self.seed
        seconds = draw(seed, name, "takes", out_of=5)
        end = self._end(node)
        if template.get("daemon"):
            self._later(seconds % 3, node, Result("Running", pod_ip="10.0.0.1"))
            if draw(seed, name, "dies") < 30:
                self._later(seconds % 3 + 3, node, end)
            return None
        if seconds == 0:
            del self.running[node.id]
            return end
        self._later(seconds, node, end)
        return None

    def _end(self, node: Node) -> Result:
        what = draw(self.seed, node.name, "end")
        phase = "Failed" if what < 10 else "Error" if what < 13 else "Succeeded"
        outputs = {"parameters": [{"name": "o", "value": str(what)}], "result": str(what), "exitCode": "0"}
        return Result(phase, "" if phase == "Succeeded" else f"ended {phase}", outputs)

    def _later(self, seconds: float, node: Node, result: Result) -> None:
        self._number += 1
        heapq.heappush(self._due, (self.time() + seconds, self._number, node.id, result))

    def stop(self, workflow: Workflow, node: Node) -> None:
        self.told.append(f"-{node.name}")
        self.running.pop(node.id, None)

    @property
    def next_due(self) -> float | None:
        """When a leaf will have something to say."""
        while self._due and self._due[0][2] not in self.running:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def take_due(self) -> Iterator[tuple[str, Result]]:
        """What leaves have to say by now."""
        while (due := self.next_due) is not None and due <= self.time():
            _, _, node_id, result = heapq.heappop(self._due)
            if result.phase != "Running":
                del self.running[node_id]
            yield node_id, result
