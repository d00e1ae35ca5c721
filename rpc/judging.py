"""What came of an attempt: the status table applied, errors made, and those told who keep count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeVar

import msgspec

from rpc.credentials import without
from rpc.errors import FatalError, NotSent, TransientError
from rpc.lanes import (
    Broken,
    Dark,
    Exhausted,
    Forbidden,
    LaneError,
    Malformed,
    Response,
    TimedOut,
    Unreachable,
    Untrusted,
)
from rpc.ledger import Ledger
from rpc.logs import get_logger
from rpc.methods import BatchMethod, Route
from rpc.replies import LONGEST_KEY, REQUEUE, IllegalReply, Unknown, meant_by
from rpc.spellings import Spellings
from rpc.stats import Outcome
from rpc.statuses import PATIENCE, illegal, refusal

T = TypeVar("T")

Reading = Callable[[bytes], tuple[T, Unknown]]
"""What a good reply's body says, and the unknown keys in it. Raises `rpc.replies.IllegalReply`."""

MAX_TOLD: Final = 32
"""Unknown keys of one plugin of which anybody is told."""

_log = get_logger(__name__)


class Judge:
    """Of one client's attempts. ``generation`` counts how often the plugin may have become another one."""

    def __init__(self, name: str, ledger: Ledger, spellings: Spellings) -> None:
        self.generation = 0
        self.closed = False
        """Whether the client was: then it is nobody's fault that a reply did not arrive."""
        self.name = name
        self._ledger = ledger
        self._spellings = spellings
        self._told: set[str] = set()
        self._forbidden = ""
        self.secrets: tuple[str, ...] = ()
        """What no error may show, though the plugin's replies may."""
        self.unreachable = False
        """Whether the last that was heard of the plugin is that no connection to it could be made."""

    def came_back(self) -> None:
        """The plugin answers after it was `unreachable`, and may have been changed meanwhile."""
        self.unreachable = False
        self.generation += 1
        self._spellings.forget()
        self._ledger.came_back()

    def replaced(self) -> None:
        """The plugin has a method that it did not have before: it was changed, and never unreachable meanwhile."""
        self.generation += 1

    def read(self, method: Route, response: Response, read: Reading[T], calls: int) -> T | None:
        """What a complete reply to so many `calls` says, by the status table; None for 404.

        ``read`` makes it of a body, with the unknown keys in it. Raises `TransientError` and `FatalError`.
        """
        status = response.status
        if status == 404:
            self._ledger.count(method, Outcome.UNSUPPORTED)
            self._spellings.not_found(response.body)
            return None
        if status != 200 and status != 204:
            if status in PATIENCE:
                # 429 says that we call too often, not that anything is broken.
                self._ledger.fail(method, Outcome.BUSY, blame=status != 429, calls=calls)
            else:
                self._ledger.refuse(method, Outcome.BAD_STATUS, calls)
            raise refusal(self.name, method, self._shown(response))
        try:
            reply, unknown = read(response.body)
        except IllegalReply as why:
            self._ledger.refuse(method, Outcome.ILLEGAL, calls)
            raise self._illegal(method, response, why) from why
        if unknown:
            self._ledger.unknown_fields += len(unknown)
            self._tell_of(method, unknown)
        return reply

    def _tell_of(self, method: Route, unknown: Unknown) -> None:
        """Say of each key once that nobody knows it, and of each method that it has no ``requeue``; of so many, since a
        plugin might make up new ones for ever."""
        told = self._told
        name = method.method if isinstance(method, BatchMethod) else method
        for key in (without(each, self.secrets)[:LONGEST_KEY] for each in unknown):
            misplaced = key == REQUEUE and not name.requeues
            about = f"{name} {key}" if misplaced else key
            if len(told) > MAX_TOLD:
                return
            if about in told:
                continue
            told.add(about)
            if len(told) > MAX_TOLD:
                _log.warning("more unknown keys in replies, of which nothing more is said", name=self.name)
                return
            if misplaced:
                _log.warning("a reply to this method has no requeue, ignored", name=self.name, method=name)
                continue
            meant = meant_by(method, key)
            log = _log.bind(name=self.name, method=method, key=key)
            log = log.bind(hint=f"did you mean {meant}?") if meant else log
            log.warning("unknown key in a reply, ignored")

    def judge_within(self, method: Route, response: Response, why: IllegalReply | None = None) -> None:
        """The same for what stands for one reply in a batch, or is a bad one: returns for 404, raises for all others.

        There a 404 is that call's silence: the method is known by its path, which was answered.
        """
        if why is not None:
            self._ledger.refuse(method, Outcome.ILLEGAL, 1)
            raise self._illegal(method, response, why) from why
        if response.status == 404:
            self._ledger.count(method, Outcome.UNSUPPORTED)
            return
        if response.status in PATIENCE:
            self._ledger.fail_within(method, blame=response.status != 429)
        else:
            self._ledger.count(method, Outcome.BAD_STATUS)
        raise refusal(self.name, method, self._shown(response))

    def _illegal(self, method: Route, response: Response, why: IllegalReply) -> FatalError:
        why.args = (without(str(why), self.secrets),)
        return illegal(self.name, method, self._shown(response), why)

    def _shown(self, response: Response) -> Response:
        """What may be shown of it. The whole is looked through, not what will be shown: that may end in a secret."""
        body = without(response.body, self.secrets)
        return response if body is response.body else msgspec.structs.replace(response, body=body)

    def failed(self, method: Route, error: LaneError, *, calls: int = 1) -> TransientError | FatalError:
        """The error for a reply that did not arrive."""
        failure = self._failure(method, error, calls)
        failure.__cause__ = error
        return failure

    def _failure(self, method: Route, error: LaneError, calls: int) -> TransientError | FatalError:
        if self.closed:
            self._ledger.count(method, Outcome.CANCELLED, calls)
            return NotSent(self.name, method, "the client was closed", outcome=Outcome.CANCELLED)
        if isinstance(error, Malformed):
            self._ledger.lose(method, Outcome.MALFORMED, calls)
            return FatalError(self.name, method, without(str(error), self.secrets), outcome=Outcome.MALFORMED)
        if isinstance(error, Forbidden):
            # To try again would not help before somebody has changed something: names may come to lead elsewhere.
            self._ledger.lose(method, Outcome.FORBIDDEN, calls)
            if str(error) != self._forbidden:
                self._forbidden = str(error)
                _log.error("plugin is where it may not be", name=self.name, problem=str(error))
            return FatalError(self.name, method, str(error), outcome=Outcome.FORBIDDEN)
        outcome = next(outcome for kind, outcome in _BROKEN.items() if isinstance(error, kind))
        if outcome is Outcome.UNTRUSTED and not self.unreachable:
            _log.error("plugin cannot be trusted", name=self.name, problem=str(error))
        self.unreachable = self.unreachable or isinstance(error, Unreachable)
        blame = not isinstance(error, Exhausted | Dark)  # elsewhere the plugin may be well
        self._ledger.fail(method, outcome, blame=blame, calls=calls)
        return TransientError(self.name, method, str(error), outcome=outcome)

    def not_sent(
        self, method: Route, outcome: Literal[Outcome.BREAKER_OPEN, Outcome.PAST_DEADLINE], *, calls: int = 1
    ) -> NotSent:
        """The error for what was held back."""
        self._ledger.count(method, outcome, calls)
        return NotSent(self.name, method, _NOT_SENT[outcome], outcome=outcome)


_NOT_SENT: Final = {
    Outcome.PAST_DEADLINE: "the deadline has passed, nothing was sent",
    Outcome.BREAKER_OPEN: "it has failed too often, nothing is sent for now (breaker open)",
}
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
    if isinstance(error.__cause__, Dark):
        return False
    return error.outcome in _BROKEN.values() and error.outcome is not Outcome.OWN_FAULT
