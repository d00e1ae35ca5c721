"""What a page that is open on a running workflow costs the engine: ``python -m tests.page.cost``, a minute or two.

A workflow of 10,000 leaves runs in a server, and its leaves end ten at a time, pass after pass. Nobody looks at the one
thousand of them, a page does at the next, and so on; what is compared is the processor time of the server's process.
The page's stream is read by another one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from engine import PendingExecutor, Result, Workflow
from tests.serving.inside import Inside, inside, leaf, workflow

AT_ONCE = 10
SHARE = 1000
REST = 1.0
"""Seconds before each share, in which all is told that there is, and after it."""
READER = """
import os, select, socket, sys
while line := sys.stdin.readline():
    port, path = line.split()
    with socket.create_connection(("127.0.0.1", int(port))) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\nAccept: text/event-stream\\r\\n\\r\\n".encode())
        while sys.stdin not in select.select([stream, sys.stdin], [], [])[0]:
            stream.recv(1 << 20)
        sys.stdin.readline()
"""
"""Reads what it is told by a line, until there is another line. To start a process costs whoever does it time, since
the memory of both has to be told apart, so there is one for all."""


class Page:
    """Somebody who has it open."""

    def __init__(self, server: Inside, name: str, reader: subprocess.Popen[str]) -> None:
        self._server, self._reader = server, reader
        self._path = f"/api/oarlock/workflows/default/{name}"

    async def open(self) -> float:
        """Until all is told that there is; the seconds of the processor that this took."""
        began = time.process_time()
        self._say(f"{self._server.port} {self._path}")
        await _until(lambda: self._server.records.hub.watchers > 0)
        await asyncio.sleep(REST)
        return time.process_time() - began

    async def close(self) -> None:
        self._say("")
        hub = self._server.records.hub
        while hub.watchers:
            hub.put(next(iter(hub.items.values())))
            await asyncio.sleep(0.1)

    def _say(self, line: str) -> None:
        assert self._reader.stdin is not None
        self._reader.stdin.write(f"{line}\n")
        self._reader.stdin.flush()


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in iter(is_so, True):
        await asyncio.sleep(0.02)


async def ended(server: Inside, running: Workflow, leaves: list[str]) -> float:
    """Seconds of the processor until these leaves have ended, a few with each pass."""
    committed = asyncio.Event()
    server.engine.listeners.append(follow := lambda _: committed.set())
    gc.collect()
    began = time.process_time()
    for at in range(0, len(leaves), AT_ONCE):
        for node in leaves[at : at + AT_ONCE]:
            server.engine.report(running, node, Result("Succeeded"))
        while not running.nodes[leaves[at]].fulfilled or running.undo:
            committed.clear()
            await committed.wait()
    await asyncio.sleep(REST)  # until all of it is told
    took = time.process_time() - began
    server.engine.listeners.remove(follow)
    return took


async def round_of(nodes: int, reader: subprocess.Popen[str], *, first: bool) -> tuple[list[float], float]:
    """What each share took, of which every other one is looked at, beginning with the ``first`` or the second; and what
    it took to open the page."""
    loop: dict[str, Any] = {"name": "loop", "template": "work", "withSequence": {"count": str(nodes)}}
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("large", {"name": "main", "steps": [[loop]]}, leaf("work")))
        handle = server.engine.find("default/large")
        assert handle is not None
        running = handle.workflow
        await _until(lambda: len(running.committed()) == nodes + 2)
        leaves = [node.id for node in running.nodes.values() if node.type == "Pod"]
        taken, opening = [], []
        for number, at in enumerate(range(0, nodes, SHARE)):
            page = Page(server, "large", reader) if (number % 2 == 0) == first else None
            if page is not None:
                opening.append(await page.open())
            else:
                await asyncio.sleep(REST)
            taken.append(await ended(server, running, leaves[at : at + SHARE]))
            if page is not None:
                await page.close()
        return taken, statistics.median(opening)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--nodes", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    ratios = []
    reader = subprocess.Popen([sys.executable, "-c", READER], stdin=subprocess.PIPE, text=True)
    for _ in range(given.rounds):
        (odd, opening), (even, _) = (uvloop.run(round_of(given.nodes, reader, first=first)) for first in (True, False))
        # a share takes less the fewer leaves are left, so the first is compared with the first
        ratios += [
            one / other if n % 2 == 0 else other / one for n, (one, other) in enumerate(zip(odd, even, strict=True))
        ]
        print(f"{sum(odd):.2f} and {sum(even):.2f} s of the processor, {opening:.3f} s to open the page")
    reader.communicate()
    print(f"with the page over without: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
