"""The fan-out: a fixed number of workers pull from one iterator, so memory follows the workers and not the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def fan_out(work: Callable[[T], Awaitable[None]], items: Iterable[T], workers: int) -> None:
    """Do `work` for every item, at most `workers` at a time, taking items in order.

    The first exception cancels the other workers, leaves the rest of the items untouched, and is raised itself.
    """
    iterator = iter(items)

    async def pull() -> None:
        for item in iterator:
            await work(item)

    if workers == 1:
        await pull()
        return
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(pull())
    except BaseExceptionGroup as failures:
        # Workers that fail in the same step of the event loop fail together; one reason is as good as the others.
        raise failures.exceptions[0] from failures.exceptions[0].__cause__
