"""A plugin in a process of its own, on the SDK: told on its command line what to answer, and how slowly.

Prints its address once it listens; when it is told to stop (SIGTERM) it prints how many calls of each method it served.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from typing import Any

import msgspec
import uvloop

from rpc.methods import Method
from rpc.plugin import Handler, Plugin, Unavailable


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin does: the reply to each method it has, and how long it thinks first.

    ``refuse_every`` is 503 to every so many-th call, 0 never; ``port`` is where it listens, 0 anywhere. ``batches``:
    whether it takes calls in batches, and ``cacheable``: whether it says in them that its replies stand.
    """

    name: str
    replies: dict[Method, dict[str, Any]]
    latency_ms: float = 0.0
    refuse_every: int = 0
    port: int = 0
    batches: bool = False
    cacheable: bool = False


class Counted(msgspec.Struct, frozen=True):
    """Calls served, by method."""

    calls: dict[str, int]


def plugin(behaviour: Behaviour, served: Counter[str]) -> Plugin:
    """A plugin that behaves so and counts in `served`."""
    made = Plugin(behaviour.name, batches=behaviour.batches, resend="changed" if behaviour.cacheable else None)
    for method, reply in behaviour.replies.items():
        made.on(method)(_handler(method, reply, behaviour, served))
    return made


def _handler(method: Method, reply: dict[str, Any], behaviour: Behaviour, served: Counter[str]) -> Handler:
    latency, refuse_every = behaviour.latency_ms / 1000, behaviour.refuse_every

    def at_once(args: dict[str, Any]) -> dict[str, Any]:
        served[method] += 1
        if refuse_every and served[method] % refuse_every == 0:
            raise Unavailable("one of many")
        return reply

    async def slowly(args: dict[str, Any]) -> dict[str, Any]:
        served[method] += 1
        await asyncio.sleep(latency)
        return reply

    return slowly if latency else at_once


async def _serve(behaviour: Behaviour) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    served: Counter[str] = Counter()
    async with plugin(behaviour, served).serve(port=behaviour.port) as address:
        print(address, flush=True)
        await stop.wait()
    print(msgspec.json.encode(Counted(dict(served))).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(msgspec.json.decode(sys.argv[1], type=Behaviour)))
