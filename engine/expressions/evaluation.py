"""One evaluation of an expression: the variables it sees, the clock it reads, and the budget it may use up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.expressions.budget import Budget, bounded


class Run:
    """What an evaluation knows.

    ``local`` holds what `let` and predicates have bound, ``env`` the variables from outside; ``clock`` gives seconds
    since 1970.
    """

    __slots__ = ("budget", "clock", "env", "functions", "local", "step")

    def __init__(
        self,
        env: Mapping[str, object],
        functions: Mapping[str, object],
        clock: Callable[[], float],
        budget: Budget,
    ) -> None:
        self.env = env
        self.functions = functions
        self.clock = clock
        self.budget = budget
        self.step = budget.step
        self.local: dict[str, object] = {}

    def made(self, value: object) -> object:
        """Counts a value that was made, and gives it back; raises `Invalid` once there is too much."""
        if isinstance(value, str | list | dict):
            bounded(len(value))
            self.read(value)
        return value

    def read(self, value: object) -> None:
        """Counts a value that an operation looks through; raises `Invalid` once there is too much."""
        if isinstance(value, str):
            self.budget.spend(len(value) >> 3)
        elif isinstance(value, list | dict):
            self.budget.spend(len(value))
