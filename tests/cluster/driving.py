"""A driver that tests send signals to, over Ray where an address is given: tells the process of its shard, and then of
each SIGINT that it gets."""

from __future__ import annotations

import asyncio
import signal
import sys

from engine.cluster.actors import Actors
from engine.cluster.processes import Processes
from engine.cluster.transport import Transport

ECHO = "tests.cluster.echo:Echo"


async def _main() -> None:
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    transport: Transport = Actors(sys.argv[1], ECHO) if sys.argv[1] else Processes(ECHO)
    async with transport as over:
        link = await over.start(0, b"{}")
        print((await link.exchange(b"pid")).decode(), flush=True)
        if "stopped" in sys.argv:
            await link.exchange(b"stop")
        while True:
            await interrupted.wait()
            interrupted.clear()
            print((await link.exchange(b"after SIGINT")).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
