"""pyreqwest, the fastest Rust client that Python has: one client, as many workers as connections, on uvloop."""

from __future__ import annotations

import uvloop
from pyreqwest.client import ClientBuilder

from bench.peers.window import Outcome, Task, fan_out, given, report, window


async def send(task: Task) -> Outcome:
    """Send the task's calls with as many workers as connections."""
    body = task.body.encode()

    async def post() -> bool:
        response = await client.post(task.url).body_bytes(body).build().send()
        await response.bytes()
        return response.status == 200

    builder = ClientBuilder().no_proxy().pool_max_idle_per_host(task.connections)
    async with builder.default_headers({"Content-Type": "application/json"}).build() as client:
        await fan_out(post, task.warm_up, task.connections)
        with window(task.calls) as outcome:
            outcome.errors = await fan_out(post, task.calls, task.connections)
    return outcome


if __name__ == "__main__":
    report(uvloop.run(send(given())))
