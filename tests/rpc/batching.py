"""A server of batches, and batches to send it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from rpc import Client, Method, RetryPolicy
from rpc.batches import Call, CallBatch
from rpc.window import Outcomes

FAST = RetryPolicy(attempts=2, backoff=0.001, max_backoff=0.01)
PRE = Method.NODE_PRE_EXECUTE
BATCH = "/node.preExecute.batch"

Answer = Callable[[list[str]], Any]
"""Gets the ids of the nodes of a batch; gives the reply's document, a status, bytes, or an awaitable of one of them."""


class Batching:
    """A server that answers batches as the test says, and everything else with 404."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.batches: list[list[str]] = []
        self.documents: list[dict[str, Any]] = []
        self.address = ""

    async def handle(self, request: web.Request) -> web.Response:
        document = orjson.loads(await request.read())
        self.paths.append(request.path)
        if request.path != BATCH:
            return web.Response(status=404)
        ids = [call["node"]["id"] for call in document["calls"]]
        self.documents.append(document)
        self.batches.append(ids)
        answer = self.answer(ids)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, web.Response):
            return answer
        if isinstance(answer, int):
            return web.Response(status=answer, text="no")
        return web.Response(body=answer if isinstance(answer, bytes) else orjson.dumps(answer))


def bundle(count: int, *, templates: int = 1) -> CallBatch:
    """Calls about the nodes n0, n1, ..., whose templates take turns and are all called t."""
    calls = []
    for number in range(count):
        template = b'{"name":"t","turn":%d}' % (number % templates)
        head = b'{"workflow":{},"template":' + template
        calls.append(Call(head, "t", template, b',"node":{"id":"n%d"}}' % number))
    return CallBatch(b"{}", calls)


async def send(client: Client, count: int, *, tolerant: bool = False) -> Outcomes:
    outcomes: Outcomes = [None] * count
    await client.ask(PRE, bundle(count), outcomes, tolerant=tolerant)
    return outcomes


def silence(ids: list[str]) -> dict[str, Any]:
    return {"replies": [{} for _ in ids]}
