"""Replies to each method, applied to a workflow: whatever a plugin says, the workflow goes on, or ends with a reason.

There is no network: the plugin's client is handed the bodies where its lane would be. Half of the replies come in
batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import orjson

from engine import Engine, Workflow
from registry import Config, EngineSettings, PluginConfig, Registry
from rpc.lanes import Response, Waiting
from rpc.methods import PATHS, Method, Route
from tests.fuzz.values import at, damaged, damaged_text, encoded, places, replaced, value
from tests.fuzz.verdicts import Wrong, check_written

PASSES: Final = 8
"""More than the workflow needs, where nobody asks for a requeue."""
CALLS: Final = 500
"""More than those passes can make."""

_LEAF: Final = {"name": "leaf", "container": {"image": "busybox", "args": ["{{workflow.name}} {{extra}}"]}}
_WORKFLOW: Final[dict[str, Any]] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "work", "labels": {"a": "b"}, "annotations": {"c": "d"}},
    "spec": {
        "entrypoint": "main",
        "onExit": "leaf",
        "arguments": {"parameters": [{"name": "p", "value": "1"}]},
        "templates": [
            {
                "name": "main",
                "steps": [
                    [{"name": "a", "template": "leaf"}, {"name": "p", "template": "plug"}],
                    [
                        {
                            "name": "b",
                            "template": "graph",
                            "arguments": {"parameters": [{"name": "x", "value": "{{steps.p.outputs.result}}"}]},
                            "continueOn": {"failed": True, "error": True},
                        }
                    ],
                    [{"name": "w", "template": "wait", "when": "'{{steps.a.status}}' == 'Succeeded'"}],
                ],
            },
            {
                "name": "graph",
                "inputs": {"parameters": [{"name": "x"}]},
                "dag": {
                    "tasks": [
                        {"name": "t", "template": "tried", "withItems": [1, 2]},
                        {"name": "u", "template": "leaf", "depends": "t.Succeeded || t.Failed"},
                    ]
                },
            },
            {"name": "tried", "retryStrategy": {"limit": "1"}, "container": {"image": "busybox"}},
            {"name": "wait", "suspend": {"duration": "1m"}},
            {"name": "plug", "plugin": {"any": {"x": "{{workflow.parameters.p}}"}}},
            _LEAF,
        ],
    },
}
_LOCK: Final = {"mutexes": [{"name": "m"}]}
_STATUS: Final = {
    "phase": "Running",
    "message": "m",
    "progress": "0/1",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": None,
    "conditions": [{"type": "Completed", "status": "True"}],
    "outputs": {"parameters": [{"name": "g", "value": "1"}], "artifacts": [{"name": "f"}]},
    "synchronization": {"mutex": {"holding": [{"mutex": "default/Mutex/m", "holder": "default/work"}]}},
    "estimatedDuration": 1,
    "resourcesDuration": {"cpu": 1},
    "storedTemplates": {},
    "storedWorkflowTemplateSpec": {},
    "taskResultsCompletionStatus": {"x": True},
}
_METADATA: Final = {
    "name": "work",
    "namespace": "default",
    "uid": "1",
    "generateName": "work-",
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "labels": {"a": "b", "workflows.argoproj.io/phase": "Running"},
    "annotations": {"c": "d"},
    "finalizers": ["x"],
}
_REPLIES: Final[dict[Method, dict[str, Any]]] = {
    Method.WORKFLOW_PRE_OPERATE: {
        "workflow": {**_WORKFLOW, "metadata": _METADATA, "status": _STATUS, "spec": {**_WORKFLOW["spec"]}}
    },
    Method.NODE_PRE_EXECUTE: {
        "node": {
            "id": "work",
            "name": "work",
            "phase": "Succeeded",
            "message": "m",
            "progress": "1/2",
            "outputs": {
                "parameters": [{"name": "x", "value": "1", "valueFrom": {"path": "/x"}}, {"name": "y", "value": 2.5}],
                "artifacts": [{"name": "f", "s3": {"key": "k"}}],
                "result": "r",
                "exitCode": "0",
            },
        },
        "requeue": "1s",
    },
    Method.PARAMETERS_ADD: {"parameters": {"extra": "1", "workflow.name": "x", "item": "{{extra}}"}},
}
_REPLIES[Method.WORKFLOW_POST_OPERATE] = _REPLIES[Method.WORKFLOW_PRE_OPERATE]
for _each in (Method.NODE_POST_EXECUTE, Method.TEMPLATE_EXECUTE, Method.TEMPLATE_STOP):
    _REPLIES[_each] = _REPLIES[Method.NODE_PRE_EXECUTE]
_NEEDED: Final = {
    Method.TEMPLATE_EXECUTE: {"node": {"phase": "Succeeded", "outputs": {"result": "r"}}},
    Method.PARAMETERS_ADD: {"parameters": {"extra": "1"}},
}
"""Replies without which the workflow cannot succeed."""


@dataclass(frozen=True)
class Case:
    """What the plugin replies to each method, again and again in turn; and what beside it."""

    bodies: dict[Method, list[bytes]]
    batched: bool
    locked: bool
    announced: str = field(default="")

    def __str__(self) -> str:
        lines = [f"{'batched ' if self.batched else ''}{'locked ' if self.locked else ''}{self.announced}"]
        return "\n".join(lines + [f"  {method}: {body!r}" for method, bodies in self.bodies.items() for body in bodies])


def generate(dice: Random) -> Case:
    """The next case of `dice`."""
    bodies = {method: [orjson.dumps(reply)] for method, reply in _NEEDED.items()}
    for method in dice.sample(list(Method), dice.choice((1, 1, 1, 2, 3))):
        bodies[method] = [_body(dice, method) for _ in range(dice.randint(1, 3))]
    announced = dice.choice(("", "", "changed", "always"))
    return Case(bodies, dice.random() < 0.5, dice.random() < 0.2, announced)


def _body(dice: Random, method: Method) -> bytes:
    if dice.random() < 0.1:
        return b"{}"
    full = _REPLIES[method]
    if dice.random() < 0.1:
        reply: Any = value(dice)
    else:
        path = dice.choice([path for path in places(full) if len(path) > 1] or list(places(full)))
        inner = dice.random()
        if inner < 0.7:
            reply = value(dice)
        elif inner < 0.9:
            reply = damaged(dice, at(full, path))
        else:
            reply = at(full, path)
        if any(isinstance(step, int) for step in path):
            reply = replaced(full, path, reply)
            top = next(number for number, step in enumerate(path) if isinstance(step, int))
            path = path[:top]
            reply = at(reply, path)
        for step in reversed(path):
            reply = {step: reply}
    body = encoded(reply)
    return damaged_text(dice, body) if dice.random() < 0.05 else body


class _Script:
    """A lane that leads nowhere and answers as the case says."""

    def __init__(self, case: Case) -> None:
        self._bodies = {method: _again(bodies) for method, bodies in case.bodies.items()}
        self._case = case
        self.calls = 0

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None = None) -> None:
        self.calls += 1
        asyncio.get_running_loop().call_soon(self._answer, path, body, waiting)

    def _answer(self, path: str, body: bytes, waiting: Waiting) -> None:
        if not waiting.done():
            waiting.set_result(self._reply(PATHS[path], body))

    def _reply(self, route: Route, body: bytes) -> Response:
        if isinstance(route, Method):
            return Response(200, next(self._bodies[route])) if route in self._bodies else Response(404, b"")
        method = Method(route.removesuffix(".batch"))
        if method not in self._bodies or not self._case.batched:
            return Response(404, b"")
        replies = [next(self._bodies[method]) for _ in orjson.loads(body)["calls"]]
        beside = f',"resend":"{self._case.announced}"' if self._case.announced else ""
        return Response(200, b'{"replies":[' + b",".join(replies) + b"]" + beside.encode() + b"}")

    async def aclose(self) -> None:
        pass


def _again(bodies: list[bytes]) -> Iterator[bytes]:
    while True:
        yield from bodies


async def check(case: Case) -> str:
    """Reconcile the workflow with a plugin that replies so; how it ended. Raises `Wrong`."""
    spec = {**_WORKFLOW["spec"], **({"synchronization": _LOCK} if case.locked else {})}
    work = Workflow({**_WORKFLOW, "spec": spec})
    plugin = PluginConfig(name="fuzz", address="http://127.0.0.1:1", lane="aiohttp", protocol="short")
    registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=(plugin,)), watch=False)
    script, now = _Script(case), 1_700_000_000.0
    async with Engine(registry, clock=lambda: now) as engine:
        (client,) = (each.client for each in registry.snapshot())
        client._attempts.lane = script
        for _ in range(PASSES):
            result = await engine.reconcile(work)
            if "internal error" in work.message:
                raise Wrong(work.message, case)
            if work.finished or result.requeue_after is None:
                break
            if result.aborted is not None:
                raise Wrong(f"aborted: {result.aborted}", case)
            now += min(result.requeue_after, 1e6)
            if script.calls > CALLS:
                raise Wrong(f"{script.calls} calls", case)
        waits = "" if work.finished else engine.waiting_for(work)
    check_written(work, case)
    if not work.finished and not waits:
        raise Wrong("it is not finished, and waits for nothing", case)
    return work.phase or "not begun"
