"""What an engine has done so far, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from rpc.stats import Histogram

PassEnding = Literal["committed", "aborted", "failed", "cancelled"]
"""What can come of a pass. ``failed`` is a mistake of ours, which ends the workflow."""

PASS_RESULTS: Final[tuple[PassEnding, ...]] = get_args(PassEnding)


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
    workflows_succeeded: int = 0
    workflows_failed: int = 0
    workflows_in_error: int = 0
    writes: int = 0
    writes_failed: int = 0

    def finish(self, phase: str) -> None:
        """A workflow is over."""
        self.workflows_finished += 1
        self.workflows_succeeded += phase == "Succeeded"
        self.workflows_failed += phase == "Failed"
        self.workflows_in_error += phase == "Error"


class EngineStats(msgspec.Struct, frozen=True):
    """Counts since the engine was made, and the queue at this moment.

    ``aborted`` counts passes that left no trace, ``failures_passed_over`` failures of plugins that may fail or only
    observe, ``answers_resumed`` questions that a pass did not have to ask since the aborted one before it had.
    ``writes`` counts what the store has committed of workflows, and
    ``writes_failed`` its failures; ``leaves_started`` leaves that the executor was given.
    """

    passes: int
    aborted: int
    nodes_visited: int
    nodes_unchanged: int
    failures_passed_over: int
    answers_resumed: int
    answers_cached: int
    workflows_finished: int
    workflows_succeeded: int
    workflows_failed: int
    workflows_in_error: int
    writes: int
    writes_failed: int
    leaves_started: int
    workflows: int
    queued: int
    in_flight: int


class EngineTimings(NamedTuple):
    """How long things took, in real seconds. The histograms are the engine's own, and go on counting.

    ``passes`` are by what came of them, ``turns`` those turns of the event loop in which passes had a part, whoever
    else had one; their `slowest` is the longest. ``oldest_queued`` is for how long the first workflow in the queue has
    been there, 0 where none is.
    """

    passes: Mapping[PassEnding, Histogram]
    turns: Histogram
    oldest_queued: float


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
