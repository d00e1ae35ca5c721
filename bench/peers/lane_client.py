"""Oarlock's own client with no engine around it: what a lane costs, and by difference what the engine does."""

from __future__ import annotations

import sys
from typing import cast

import uvloop

from bench.peers.window import Outcome, Task, fan_out, given, report, window
from rpc import EMPTY, Client, Method
from rpc.client import LaneName


async def send(task: Task, lane: LaneName) -> Outcome:
    """Send the task's calls with as many workers as connections."""
    body = task.body.encode()
    address, _, name = task.url.rpartition("/")
    method = Method(name)

    async def post() -> bool:
        return await client.exchange(method, body) is EMPTY

    async with Client(address, lane=lane, protocol="short", concurrency=task.connections) as client:
        await fan_out(post, task.warm_up, task.connections)
        with window(task.calls) as outcome:
            outcome.errors = await fan_out(post, task.calls, task.connections)
    return outcome


if __name__ == "__main__":
    report(uvloop.run(send(given(), cast(LaneName, sys.argv[2]))))
