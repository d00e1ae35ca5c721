"""Lanes and clients asked one thing at a time, and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rpc import Client, Method, PluginError
from rpc.batches import Call, CallBatch
from rpc.lanes import Lane, Response
from rpc.replies import Reply
from rpc.window import Outcomes


def post(lane: Lane, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> asyncio.Future[Response]:
    """One request by itself; cancelled, it is abandoned."""
    reply: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    lane.send(path, body, reply, headers)
    return reply


CALL = Call(b'{"workflow":{},"template":{}', "t", b"{}", b',"node":{}}')


async def ask(client: Client, method: Method) -> Reply:
    """One call about a node by itself. Raises `TransientError` and `FatalError`."""
    outcomes: Outcomes = [None]
    await client.ask(method, CallBatch(b"{}", (CALL,)), outcomes)
    if isinstance(outcomes[0], PluginError):
        raise outcomes[0]
    assert outcomes[0] is not None
    return outcomes[0]
