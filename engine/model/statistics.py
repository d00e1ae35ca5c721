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


class EngineStats(msgspec.Struct, frozen=True):
    """Counts since the engine was made, and the queue at this moment.

    ``aborted`` counts passes that left no trace, ``failures_passed_over`` failures of plugins that may fail or only
    observe, ``answers_resumed`` questions that a pass did not have to ask since the aborted one before it had.
    """

    passes: int
    aborted: int
    nodes_visited: int
    nodes_unchanged: int
    failures_passed_over: int
    answers_resumed: int
    answers_cached: int
    workflows_finished: int
    workflows: int
    queued: int
    in_flight: int
