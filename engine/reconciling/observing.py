"""What there is to see of an engine: its passes, and the requests that they made."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rpc.observing import RequestObserver


class PassEnd(NamedTuple):
    """A pass that is over.

    ``workflow`` is its key, ``namespace/name``, and ``phase`` the phase that it has now. ``aborted`` is why the pass
    left no trace, empty where it was committed. ``seconds`` are real ones, whatever the engine's clock is.
    """

    workflow: str
    phase: str
    aborted: str
    seconds: float


class Observer(RequestObserver, Protocol):
    """Told what an engine does, from within its event loop: it must be quick, and must not raise."""

    def pass_begun(self, workflow: str) -> None:
        """A pass over the workflow with this key begins."""
        ...

    def pass_ended(self, ended: PassEnd) -> None:
        """It was committed, or aborted; one that is cancelled counts as aborted, unless it was about to commit."""
        ...
