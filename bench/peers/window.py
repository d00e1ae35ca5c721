"""What a peer is told and what it answers; one process per peer, one JSON document each way.

A peer opens its connections and warms up before its window begins, and reports the processor time that the operating
system charged to it within the window, so that nobody pays for starting an interpreter.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """``calls`` POSTs of ``body`` to ``url``, over ``connections`` connections that are kept alive.

    ``ca_file`` has whom to trust where that is an https one.
    """

    url: str
    body: str
    calls: int
    connections: int
    ca_file: str | None = None

    @property
    def warm_up(self) -> int:
        """Calls sent before the window: enough to open every connection and to let the code get warm."""
        return self.connections * 4


class Outcome(msgspec.Struct, kw_only=True):
    """What came of a task. ``errors`` counts replies other than 200 and calls that got none.

    ``cpu_seconds`` is user plus system time, ``system_seconds`` the part of it that the kernel took.
    """

    calls: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    system_seconds: float = 0.0
    errors: int = 0


def given() -> Task:
    """The task on this process's command line."""
    return msgspec.json.decode(sys.argv[1], type=Task)


def report(outcome: Outcome) -> None:
    """Answer the bench."""
    sys.stdout.write(msgspec.json.encode(outcome).decode())


@contextmanager
def window(calls: int) -> Iterator[Outcome]:
    """Measure what happens inside: wall clock, and user plus system time of all threads (getrusage(2))."""
    outcome = Outcome(calls=calls)
    before, start = Used.now(), time.perf_counter()
    yield outcome
    outcome.seconds = time.perf_counter() - start
    outcome.cpu_seconds, outcome.system_seconds = Used.now().since(before)


class Used(NamedTuple):
    """Processor time in seconds: user plus system, and system alone."""

    cpu: float
    system: float

    @classmethod
    def now(cls) -> Used:
        """What this process has used so far."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(usage.ru_utime + usage.ru_stime, usage.ru_stime)

    def since(self, before: Used) -> Used:
        """What was used after `before`."""
        return Used(self.cpu - before.cpu, self.system - before.system)


async def fan_out(post: Callable[[], Awaitable[bool]], calls: int, workers: int) -> int:
    """Call `post` `calls` times from a fixed number of workers; returns how many said False."""
    numbers, failed = iter(range(calls)), 0

    async def work() -> None:
        nonlocal failed
        for _ in numbers:
            if not await post():
                failed += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return failed
