"""Whether a workflow as a whole was told to end, by `stop`, by `terminate` or by its deadline."""

from __future__ import annotations

from typing import Final

from engine.graph.invocation import Invocation
from engine.graph.record import WalkRecord

DEADLINE: Final = "Step exceeded its deadline"


class Closing:
    """What has been heard of that, and what it means for a call; `engine.graph.shutdown` acts on it."""

    def __init__(self) -> None:
        self.shutdown = ""
        """``Stop`` or ``Terminate`` once that was asked for; the former lets exit handlers run."""
        self.message = ""
        """Why, as nodes show it."""
        self.expired = False
        """Whether the workflow's `activeDeadlineSeconds` are over."""
        self.deadline: float | None = None
        """When they are, in seconds since the epoch."""

    def load(self, record: WalkRecord) -> None:
        """What the walk knew of that the record is of."""
        self.shutdown, self.message = record.shutdown, record.closing

    def save(self, record: WalkRecord) -> None:
        """Write down what was heard."""
        record.shutdown, record.closing = self.shutdown, self.message

    def stops(self, invocation: Invocation) -> bool:
        """Whether the workflow was told to end, and this invocation with it: it cannot succeed any more."""
        return bool(self.shutdown) and not (invocation.on_exit and self.shutdown == "Stop")

    def reason(self, invocation: Invocation) -> str | None:
        """Why this invocation may not start a leaf any more; None where it may."""
        if self.stops(invocation):
            # Argo deletes pods, and marks the nodes that have none itself.
            if invocation.resolved.is_pod:
                return f"workflow shutdown with strategy:  {self.shutdown}{self.message}"
            return self.stopped()
        return DEADLINE if self.expired and not invocation.on_exit else None

    def stopped(self) -> str:
        """What nodes say that have no pod to be deleted."""
        return f"Stopped with strategy '{self.shutdown}'{self.message}"
