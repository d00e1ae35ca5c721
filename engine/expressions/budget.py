"""What an evaluation may do, make and look through in all, counted wherever that happens.

Every operation pays for the values that it is given and makes. Where it does more than look through them once, natively
and flatly (a walk through nested values, a search begun again at every match, characters seen to one by one), it pays
for that by itself. `[x, x]`, nested 60 times, is small to make and has 2^60 elements to see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from engine.expressions.errors import Invalid

MAX_SIZE: Final = 1_000_000
"""Elements in a list or characters in a string that one operation may make (expr's own memory budget)."""

MAX_VOLUME: Final = 4 * MAX_SIZE
"""Elements that one evaluation may make or look through in all; eight characters of a string count as one."""

MAX_STEPS: Final = 1_000_000
"""Nodes that one evaluation may visit."""


class Budget:
    """What is left of both."""

    __slots__ = ("steps", "volume")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.volume = MAX_VOLUME

    def step(self) -> None:
        """Counts a node; raises `Invalid` once too many were visited."""
        self.steps -= 1
        if self.steps < 0:
            raise Invalid("step budget exceeded")

    def spend(self, count: int) -> None:
        """Counts so many elements; raises `Invalid` once there are too many."""
        self.volume -= count
        if self.volume < 0:
            raise Invalid("memory budget exceeded")


_current: Final[ContextVar[Budget | None]] = ContextVar("budget", default=None)


@contextmanager
def budgeted() -> Iterator[Budget]:
    """What is done inside is paid for by the evaluation that it is part of, or else from a budget of its own."""
    if (budget := _current.get()) is not None:
        yield budget
        return
    token = _current.set(budget := Budget())
    try:
        yield budget
    finally:
        _current.reset(token)


def spend(count: int = 1) -> None:
    """Has the evaluation that this is part of pay for so many elements; raises `Invalid` where it cannot."""
    if (budget := _current.get()) is not None:
        budget.spend(count)


def visit(container: Sized) -> None:
    """Pays for a list or a map that a walk through nested values comes to: for its elements, and for the way there."""
    spend(4 + len(container))


def bounded(size: int) -> None:
    """Raises `Invalid` where a result of so many elements or characters is too large to be made."""
    if size > MAX_SIZE:
        raise Invalid("memory budget exceeded")
