"""Tests of what happens in time, with timeouts that are real and short: what fails while this process gets no turn of
the machine for as long, or fewer than it wants, says nothing, and is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from typing import Final, ParamSpec

import pytest

P = ParamSpec("P")

_LONG: Final = 0.1
"""Seconds without a turn that a timeout in a test may not outlast."""
_SHARE: Final = 0.2
"""Of all the time without a turn, however short each time."""
_LOOKS: Final = 0.01
_MOST: Final = 20


def undisturbed(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """A test that is made again where it failed and this process was held up meanwhile. All that it works with it makes
    itself, each time."""

    @wraps(test)
    async def until_undisturbed(*args: P.args, **kwargs: P.kwargs) -> None:
        for left in reversed(range(_MOST)):
            watching = asyncio.create_task(_is_held_up())
            await asyncio.sleep(0)
            try:
                await test(*args, **kwargs)
            except (AssertionError, pytest.fail.Exception):
                watching.cancel()
                if not left or not await watching:
                    raise
            else:
                return
            finally:
                watching.cancel()
                await watching

    return until_undisturbed


async def _is_held_up() -> bool:
    """Whether this process was, until this is cancelled."""
    now = asyncio.get_running_loop().time
    began = before = now()
    longest = lost = 0.0

    def look() -> None:
        nonlocal before, longest, lost
        late = now() - before - _LOOKS
        before, longest, lost = now(), max(longest, late), lost + max(late, 0.0)

    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(_LOOKS)
            look()
    look()
    return longest > _LONG or lost > _SHARE * (now() - began)
