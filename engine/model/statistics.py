"""What an engine has done so far, in figures."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(slots=True)
class Counts:
    """The counters themselves, shared by those who count; `Engine.stats` shows them."""

    passes: int = 0
    aborted: int = 0
    nodes_visited: int = 0
    nodes_unchanged: int = 0
    failures_passed_over: int = 0
    answers_resumed: int = 0
    answers_cached: int = 0
    workflows_finished: int = 0
    writes_failed: int = 0


class EngineStats(msgspec.Struct, frozen=True):
    """Counts since the engine was made, and the queue at this moment.

    ``aborted`` counts passes that left no trace, ``failures_passed_over`` failures of plugins that may fail or only
    observe, ``answers_resumed`` questions that a pass did not have to ask since the aborted one before it had.
    ``writes_failed`` counts failures of the store.
    """

    passes: int
    aborted: int
    nodes_visited: int
    nodes_unchanged: int
    failures_passed_over: int
    answers_resumed: int
    answers_cached: int
    workflows_finished: int
    writes_failed: int
    workflows: int
    queued: int
    in_flight: int


class EngineHealth(msgspec.Struct, frozen=True):
    """How the loop over workflows is, for who is asked whether the engine is well.

    ``turning`` says whether there is a `serve` or a `run` under way. ``since_turn`` is how many seconds ago it turned
    last, None where it never did: that may be long where nothing is queued or in flight. ``longest_pass`` is for how
    many seconds the oldest pass under way has been so, 0 where none is. Seconds are real ones. ``store`` is why the
    store could not be written last, empty where it could.
    """

    turning: bool
    draining: bool
    full: bool
    since_turn: float | None
    longest_pass: float
    workflows: int
    queued: int
    in_flight: int
    store: str = ""

    @property
    def ready(self) -> bool:
        """Whether what is submitted now would be taken in and seen to."""
        return self.turning and not self.draining and not self.full
