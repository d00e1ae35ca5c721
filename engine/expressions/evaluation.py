"""One evaluation of an expression: the variables it sees, the clock it reads, and the budget it may use up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.expressions.errors import Invalid
from engine.expressions.values import MAX_SIZE, bounded

MAX_STEPS: Final = 1_000_000
"""Nodes that one evaluation may visit."""

MAX_VOLUME: Final = 4 * MAX_SIZE
"""Elements that one evaluation may make or look through in all; eight characters of a string count as one."""


class Run:
    """What an evaluation knows.

    ``local`` holds what `let` and predicates have bound, ``env`` the variables from outside; ``clock`` gives seconds
    since 1970.
    """

    __slots__ = ("clock", "env", "functions", "local", "steps", "volume")

    def __init__(self, env: Mapping[str, object], functions: Mapping[str, object], clock: Callable[[], float]) -> None:
        self.env = env
        self.functions = functions
        self.clock = clock
        self.local: dict[str, object] = {}
        self.steps = MAX_STEPS
        self.volume = MAX_VOLUME

    def step(self) -> None:
        """Counts a node; raises `Invalid` once the evaluation has visited too many."""
        self.steps -= 1
        if self.steps < 0:
            raise Invalid("step budget exceeded")

    def made(self, value: object) -> object:
        """Counts a value that was made, and gives it back; raises `Invalid` once there is too much."""
        if isinstance(value, str | list | dict):
            bounded(len(value))
            self.read(value)
        return value

    def read(self, value: object) -> None:
        """Counts a value that an operation looks through; raises `Invalid` once there is too much."""
        if isinstance(value, str):
            self.volume -= len(value) >> 3
        elif isinstance(value, list | dict):
            self.volume -= len(value)
        if self.volume < 0:
            raise Invalid("memory budget exceeded")
