"""What came of a pass."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from engine.model.workflow import Workflow
from engine.storage.store import StoreError
from rpc import TransientError


class DeadlinePassed(Exception):
    """A pass took longer than the configuration's ``loop_deadline``; what it was told is kept for the next one."""


class PassResult(msgspec.Struct, frozen=True):
    """What came of one pass. ``aborted`` is why it left no trace, None where it was committed.

    ``requeue_after`` is in how many seconds another pass would do something, None where nothing but a report or a
    change from outside will.
    """

    aborted: TransientError | DeadlinePassed | StoreError | None = None
    requeue_after: float | None = None
    woken: frozenset[str] = frozenset()
    """The keys of other workflows for which a pass would do something now, since locks were given back."""


class Commit(NamedTuple):
    """What an engine has just changed about a workflow: by a pass, or by an operation such as `Engine.suspend`.

    ``nodes`` are the ids of those that are new, others now, or gone (which only a retry does); the workflow's document
    may have changed as well. Leaves that were to be started have been.
    """

    workflow: Workflow
    nodes: Collection[str] = ()

    @property
    def finished(self) -> bool:
        """Whether the workflow is over, and the engine has it no more."""
        return self.workflow.finished
