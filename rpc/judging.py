"""What came of an attempt: the status table applied, errors made, and those told who keep count."""

from __future__ import annotations

from typing import Literal

import structlog

from rpc.errors import FatalError, NotSent, TransientError
from rpc.lanes import Broken, Exhausted, LaneError, Malformed, Response, TimedOut, Unreachable, Untrusted
from rpc.ledger import Ledger
from rpc.methods import Route
from rpc.replies import IllegalReply
from rpc.spellings import Spellings
from rpc.stats import Outcome
from rpc.statuses import PATIENCE, illegal, refusal

_log = structlog.get_logger()


class Judge:
    """Of one client's attempts. ``generation`` counts how often the plugin was unreachable and came back."""

    def __init__(self, name: str, ledger: Ledger, spellings: Spellings) -> None:
        self.generation = 0
        self.closed = False
        """Whether the client was: then it is nobody's fault that a reply did not arrive."""
        self._name = name
        self._ledger = ledger
        self._spellings = spellings
        self.unreachable = False
        """Whether the last that was heard of the plugin is that no connection to it could be made."""

    def arrived(self, now: float, start: float) -> None:
        """A complete HTTP reply came at `now` to what was sent at `start`."""
        self._ledger.answer(now, start)
        if self.unreachable:
            self.came_back()

    def came_back(self) -> None:
        """The plugin answers after it was `unreachable`, and may have been changed meanwhile."""
        self.unreachable = False
        self.generation += 1
        self._spellings.forget()
        self._ledger.came_back()

    def judge(self, method: Route, response: Response, *, calls: int = 1) -> Response | None:
        """The status table, for a complete reply to so many `calls`: None for 404, an error for all but a reply."""
        status = response.status
        if status == 200 or status == 204:
            return response
        if status == 404:
            self._ledger.outcomes[Outcome.UNSUPPORTED] += 1
            self._spellings.refuse(method)
            return None
        if status in PATIENCE:
            # 429 says that we call too often, not that anything is broken.
            self._ledger.fail(Outcome.BUSY, blame=status != 429, calls=calls)
        else:
            self._ledger.refuse(Outcome.BAD_STATUS, calls)
        raise refusal(self._name, method, response)

    def judge_within(self, method: Route, response: Response) -> None:
        """The same for an error that stands for one reply in a batch: returns for 404, raises for all others.

        There a 404 is that call's silence: the method is known by its path, which was answered.
        """
        if response.status == 404:
            self._ledger.outcomes[Outcome.UNSUPPORTED] += 1
            return
        if response.status in PATIENCE:
            self._ledger.fail_within(blame=response.status != 429)
        else:
            self._ledger.outcomes[Outcome.BAD_STATUS] += 1
        raise refusal(self._name, method, response)

    def illegal(self, method: Route, response: Response, why: IllegalReply, *, calls: int = 1) -> FatalError:
        """The error for a body that is no reply of the protocol to so many `calls`."""
        self._ledger.refuse(Outcome.ILLEGAL, calls)
        return illegal(self._name, method, response, why)

    def failed(self, method: Route, error: LaneError, *, calls: int = 1) -> TransientError | FatalError:
        """The error for a reply that did not arrive."""
        if self.closed:
            self._ledger.outcomes[Outcome.CANCELLED] += calls
            return NotSent(self._name, method, "the client was closed")
        if isinstance(error, Malformed):
            self._ledger.lose(Outcome.MALFORMED, calls)
            return FatalError(self._name, method, str(error))
        outcome = next(outcome for kind, outcome in _BROKEN.items() if isinstance(error, kind))
        if outcome is Outcome.UNTRUSTED and not self.unreachable:
            _log.error("plugin cannot be trusted", name=self._name, problem=str(error))
        self.unreachable = self.unreachable or isinstance(error, Unreachable)
        self._ledger.fail(outcome, blame=outcome is not Outcome.OWN_FAULT, calls=calls)
        return TransientError(self._name, method, str(error))

    def not_sent(
        self, method: Route, outcome: Literal[Outcome.BREAKER_OPEN, Outcome.PAST_DEADLINE], *, calls: int = 1
    ) -> NotSent:
        """The error for what was held back."""
        self._ledger.outcomes[outcome] += calls
        if outcome is Outcome.PAST_DEADLINE:
            return NotSent(self._name, method, "the deadline has passed, nothing was sent")
        return NotSent(self._name, method, "it has failed too often, nothing is sent for now (breaker open)")


# Most special first.
_BROKEN: dict[type[Broken], Outcome] = {
    Untrusted: Outcome.UNTRUSTED,
    Unreachable: Outcome.UNREACHABLE,
    TimedOut: Outcome.TIMED_OUT,
    Exhausted: Outcome.OWN_FAULT,
    Broken: Outcome.BROKEN,
}


def blames_the_peer(error: TransientError) -> bool:
    """Whether the failure was the plugin's fault."""
    if error.status is not None:
        return error.status != 429
    return isinstance(error.__cause__, Broken) and not isinstance(error.__cause__, Exhausted)
