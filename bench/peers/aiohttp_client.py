"""aiohttp as its users would tune it: uvloop, one session, a fixed set of workers, no cookies, nothing inflated."""

from __future__ import annotations

import aiohttp
import uvloop

from bench.peers.window import Outcome, Task, fan_out, given, report, window


async def send(task: Task) -> Outcome:
    """Send the task's calls with as many workers as connections."""
    body = task.body.encode()

    async def post() -> bool:
        async with session.post(task.url, data=body) as response:
            await response.read()
            return response.status == 200

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=task.connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json"},
        auto_decompress=False,
    ) as session:
        await fan_out(post, task.warm_up, task.connections)
        with window(task.calls) as outcome:
            outcome.errors = await fan_out(post, task.calls, task.connections)
    return outcome


if __name__ == "__main__":
    report(uvloop.run(send(given())))
