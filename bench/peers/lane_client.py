"""Oarlock's own client with no engine around it: what a lane costs, and by difference what the engine does."""

from __future__ import annotations

import sys
from typing import cast

import uvloop

from bench.peers.window import Outcome, Task, given, report, window
from rpc import BatchPolicy, Client, Method, Tls
from rpc.batches import Call, CallBatch
from rpc.client import LaneName
from rpc.replies import EMPTY
from rpc.window import Outcomes


async def send(task: Task, lane: LaneName) -> Outcome:
    """Send the task's calls with as many workers as connections."""
    call = Call(task.body.encode(), "", b"", b"")
    address, _, name = task.url.rpartition("/")
    method, policy = Method(name), BatchPolicy(enabled=False)

    async def post(calls: int) -> int:
        outcomes: Outcomes = [None] * calls
        await client.ask(method, CallBatch(b"", [call] * calls), outcomes, tolerant=True, width=task.connections)
        return calls - outcomes.count(EMPTY)

    tls = Tls(ca_file=task.ca_file) if task.ca_file is not None and address.startswith("https:") else None
    async with Client(
        address, lane=lane, tls=tls, protocol="short", concurrency=task.connections, batch=policy
    ) as client:
        await post(task.warm_up)
        with window(task.calls) as outcome:
            outcome.errors = await post(task.calls)
    return outcome


if __name__ == "__main__":
    report(uvloop.run(send(given(), cast(LaneName, sys.argv[2]))))
