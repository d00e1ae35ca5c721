"""Tests of what happens in time, with timeouts that are real and short: what fails while this process gets no turn of
the machine for as long says nothing, and is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from typing import Final, ParamSpec

import pytest

P = ParamSpec("P")

LONG: Final = 0.1
"""Seconds without a turn that a timeout in a test may not outlast."""
_MOST: Final = 20


def undisturbed(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """A test that is made again where it failed and this process was held up meanwhile. All that it works with it makes
    itself, each time."""

    @wraps(test)
    async def until_undisturbed(*args: P.args, **kwargs: P.kwargs) -> None:
        for left in reversed(range(_MOST)):
            watching = asyncio.create_task(_longest_pause())
            await asyncio.sleep(0)
            try:
                await test(*args, **kwargs)
            except (AssertionError, pytest.fail.Exception):
                watching.cancel()
                if not left or await watching < LONG:
                    raise
            else:
                return
            finally:
                watching.cancel()
                await watching

    return until_undisturbed


async def _longest_pause() -> float:
    """For how many seconds this process, until this is cancelled, got no turn at most."""
    longest, now = 0.0, asyncio.get_running_loop().time
    before = now()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.01)
            longest, before = max(longest, now() - before), now()
    return max(longest, now() - before)
