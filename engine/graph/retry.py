"""A retried template: a Retry node whose children are the attempts (Argo's processNodeRetries)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from engine.expressions import ExpressionError, evaluate
from engine.graph.ends import come_up, finish, found_up
from engine.graph.graph import Invoking
from engine.graph.invocation import Body, Invocation
from engine.model.node import ERROR, FAILED, SUCCEEDED, Node
from engine.substitution.text import environment
from engine.substitution.variables import parse_time, seconds

ALWAYS: Final = "Always"
ON_FAILURE: Final = "OnFailure"
ON_ERROR: Final = "OnError"
ON_TRANSIENT: Final = "OnTransientError"
POLICIES: Final[dict[str, tuple[str, ...]]] = {
    ALWAYS: (FAILED, ERROR),
    ON_FAILURE: (FAILED,),
    ON_ERROR: (ERROR,),
    ON_TRANSIENT: (FAILED, ERROR),
}
"""The phases of an attempt after which there may be another one, by `retryPolicy`."""

# What Argo takes for a network that may be there again the next time (util/errors.IsTransientErr).
_TRANSIENT: Final = re.compile(
    r"exceeded quota|is forbidden: exceeded|please apply your changes to the latest version|TLS handshake timeout|"
    r"i/o timeout|net/http: timeout awaiting response headers|connection timed out|connection reset by peer|"
    r"transport: authentication handshake failed|connection refused|no such host|EOF|"
    r"etcdserver: (?:request timed out|leader changed)|unexpected end of file"
)


class RetryError(ValueError):
    """A strategy that makes no sense; the message is the node's."""


def integer(value: object, field: str) -> int | None:
    """What Argo reads as an IntOrString; None where there is none. Raises `RetryError`."""
    if value is None or value == "":
        return None
    if not re.fullmatch(r"[+-]?\d{1,9}", str(value)):
        raise RetryError(f"retryStrategy.{field}: expected an integer, got {value!r}")
    return int(str(value))


def duration(value: object) -> float:
    """Seconds, which may be less than none. Raises `RetryError`."""
    try:
        return seconds(value)
    except ValueError as error:
        raise RetryError(f"unable to parse {value} as a duration: {error}") from error


class Retry(Body):
    """The body of a retried invocation. `limit` retries are `limit` + 1 attempts; without one it never gives up."""

    def __init__(self, calls: Invoking, invocation: Invocation, strategy: Mapping[str, Any]) -> None:
        self.graph = calls.graph
        self._calls = calls
        self.invocation = invocation
        self.strategy = strategy
        self.attempts: list[str] = []
        self.deadline: float | None = None
        """When the attempts are to be over that follow the first one."""
        self.backs_off = False
        """Whether the last attempt failed, and the next one waits for its time."""

    def start(self) -> None:
        node = self.graph.store[self.invocation.node_id]
        if node.daemoned:
            found_up(self.graph, self.invocation)
        self._attempt()

    def abandon(self, phase: str, message: str) -> None:
        """Nothing to close: the attempts are nodes of their own."""

    def _attempt(self) -> None:
        outer, number = self.invocation, len(self.attempts)
        name = f"{self.graph.store[outer.node_id].name}({number})"
        attempt = Invocation(self, number, name, outer.call, outer.context, outer.boundary, outer.on_exit, "retried")
        attempt.template = outer.template
        attempt.variables = outer.variables
        attempt.deadline = self.deadline
        attempt.attempt = {**self.graph.called(outer), "retries": str(number), **self._last_retry(unknown="0")}
        self.attempts.append("")
        self._calls.invoke(attempt, self.graph.store.adopt(attempt.name))

    def child_created(self, key: int, node_id: str) -> None:
        self.attempts[key] = node_id
        self.graph.store.link(self.invocation.node_id, node_id)

    def child_done(self, key: int, node: Node) -> None:
        if not node.daemoned:
            self._consider(node)
        elif not node.fulfilled:  # of one that has ended since it came up, that is told next
            come_up(self.graph, self.invocation, node.pod_ip)

    def child_raised(self, key: int, node: Node) -> None:
        if self._policy() in (ALWAYS, ON_ERROR, ON_TRANSIENT):
            self._consider(node)
        else:
            finish(self.graph, self.invocation, ERROR, node.message, raised=True)

    def child_lost(self, key: int, node: Node) -> None:
        self._consider(node)

    @property
    def running(self) -> Invocation | None:
        """The attempt under way, if it has its node."""
        last = self.attempts[-1] if self.attempts else ""
        return self.graph.live.get(last)

    def reconsider(self) -> None:
        """The time has come for the next attempt, or the workflow was told to end: there is no use in waiting."""
        if self.backs_off:
            self._consider(self.graph.store[self.attempts[-1]])

    def _policy(self) -> str:
        """With an expression the default is to retry errors as well: the expression is there to tell."""
        return self.strategy.get("retryPolicy") or (ALWAYS if self.strategy.get("expression") else ON_FAILURE)

    def _end(self, phase: str, message: str, last: Node) -> None:
        finish(self.graph, self.invocation, phase, message, outputs=last.outputs)

    def _consider(self, last: Node) -> None:
        """Decide, by Argo's rules and in their order, whether an attempt that has ended is followed by another."""
        if not self.graph.is_open(self.invocation):
            return
        self.backs_off = False
        node = self.graph.store[self.invocation.node_id]
        if node.message and not self.graph.replaying:
            self.graph.store.touch(node.id).message = ""
        if not last.unsuccessful:
            self._end(SUCCEEDED, "", last)
            return
        try:
            self._set_deadline()
            if self.graph.knows(f"{node.name}({len(self.attempts)})"):
                self._attempt()  # that was decided before this walk began
                return
            verdict = self._closed() or self._wait(last)
            if verdict is None and not self.backs_off:
                verdict = self._verdict(last)
        except (RetryError, ExpressionError) as error:
            finish(self.graph, self.invocation, ERROR, str(error), outputs=last.outputs, raised=True)
            return
        if verdict is not None:
            self._end(last.phase, verdict, last)
        elif not self.backs_off:
            self._go_on(last)

    def _closed(self) -> str | None:
        closing = self.graph.closing
        if closing.shutdown:
            return closing.stopped()
        if closing.expired and closing.deadline is not None:
            return f"retry exceeded workflow deadline {datetime.fromtimestamp(closing.deadline, UTC):%F %T +0000 UTC}"
        return None

    def _set_deadline(self) -> None:
        longest = (self.strategy.get("backoff") or {}).get("maxDuration")
        if longest not in (None, "") and self.deadline is None:
            first = self.graph.store[self.attempts[0]].started_at
            self.deadline = (parse_time(first).timestamp() if first else self.graph.now) + duration(longest)

    def _wait(self, last: Node) -> str | None:
        """Wait as long as `backoff` says, or say why that is too long."""
        backoff = self.strategy.get("backoff")
        if not backoff:
            return None
        if self.deadline is not None and self.graph.now > self.deadline:
            return "Max duration limit exceeded"
        delay = self._delay(backoff)
        due = self._ended(last) + delay
        if self.deadline is not None and due > self.deadline:
            return "Backoff would exceed max duration limit"
        limit = integer(self.strategy.get("limit"), "limit")
        # As in Argo: where retries are without limit there is no waiting between them.
        if self.graph.now < due and limit is not None and len(self.attempts) <= limit:
            message = f"Backoff for {humanized(delay)}"
            if self.graph.store[self.invocation.node_id].message != message:
                self.graph.store.touch(self.invocation.node_id).message = message
            self._sleep(due)
        return None

    def _ended(self, last: Node) -> float:
        return parse_time(last.finished_at).timestamp() if last.finished_at else self.graph.now

    def _go_on(self, last: Node) -> None:
        """Make the next attempt, after a breath where attempts that take no time would go on for ever."""
        timeless = self.strategy.get("limit") is None and last.started_at == last.finished_at
        if timeless and self.graph.now < self._ended(last) + BREATH:
            self._sleep(self._ended(last) + BREATH)
        else:
            self._attempt()

    def _sleep(self, until: float) -> None:
        self.backs_off = True
        sleeps = partial(self._sleeps, len(self.attempts))
        self.graph.timers.at(until, self.invocation.order, sleeps, self.reconsider)

    def _sleeps(self, attempts: int) -> bool:
        return self.backs_off and len(self.attempts) == attempts and self.graph.is_open(self.invocation)

    def _delay(self, backoff: Mapping[str, Any]) -> float:
        """Seconds to wait: duration x factor^(attempts - 1), at most `cap`."""
        if backoff.get("duration") in (None, ""):
            raise RetryError("no base duration specified for retryStrategy")
        delay = base = duration(backoff["duration"])
        factor = integer(backoff.get("factor"), "backoff.factor")
        if factor is not None and factor > 0:
            try:
                delay = base * float(factor) ** (len(self.attempts) - 1)
            except OverflowError:
                delay = base * LONGEST
        cap = duration(backoff["cap"]) if backoff.get("cap") not in (None, "") else LONGEST
        return min(delay, cap, LONGEST)

    def _verdict(self, last: Node) -> str | None:
        """Why there is no further attempt; None where there is one."""
        policy = self._policy()
        if policy not in POLICIES:
            raise RetryError(f"{policy} is not a valid RetryPolicy, expected {' or '.join(POLICIES)}")
        if last.phase not in POLICIES[policy] or (policy == ON_TRANSIENT and not _TRANSIENT.search(last.message)):
            return last.message
        limit = integer(self.strategy.get("limit"), "limit")
        if limit is not None and len(self.attempts) > limit:
            return "No more retries left"
        expression = self.strategy.get("expression")
        if expression:
            scope = {"retries": str(len(self.attempts) - 1), **self._last_retry(unknown="-1")}
            wanted = evaluate(str(expression), environment(scope), clock=self.graph.scope.clock)
            if not isinstance(wanted, bool):
                raise RetryError(f"retryStrategy.expression: expected a boolean, got {wanted!r}")
            if not wanted:
                return "retryStrategy.expression evaluated to false"
        return None

    def _last_retry(self, unknown: str) -> dict[str, Any]:
        """Argo's ``lastRetry.*``; before the first retry they have the values of no attempt at all.

        ``unknown`` is the exit code of an attempt that has none: to a template another one than to the expression
        (executeTemplate and buildRetryStrategyLocalScope in operator.go).
        """
        if not self.attempts or not self.attempts[-1]:
            return _NO_ATTEMPT
        last = self.graph.store[self.attempts[-1]]
        took = 0
        if last.started_at and last.finished_at:
            took = int((parse_time(last.finished_at) - parse_time(last.started_at)).total_seconds())
        return {
            "lastRetry.exitCode": str((last.outputs or {}).get("exitCode", unknown)),
            "lastRetry.status": last.phase,
            "lastRetry.duration": str(took),
            "lastRetry.message": last.message,
        }


BREATH: Final = 1.0
"""Seconds between attempts that take no time, where there may be any number of them: else a run would never end."""

LONGEST: Final = 9.0e9
"""Seconds: about as long as a Go duration can be."""

_NO_ATTEMPT: Final = {
    "lastRetry.exitCode": "0",
    "lastRetry.status": "",
    "lastRetry.duration": "0",
    "lastRetry.message": "",
}


_UNITS: Final = (
    ("year", 360 * 86400),
    ("month", 30 * 86400),
    ("week", 7 * 86400),
    ("day", 86400),
    ("hour", 3600),
    ("minute", 60),
    ("second", 1),
)


def humanized(duration: float) -> str:
    """Seconds in words, as nodes that wait show them (Argo's humanize.Duration)."""
    whole = int(duration)
    name, length = next((each for each in _UNITS if whole >= each[1]), _UNITS[-1])
    count = whole // length
    text = f"{count} {name}" if count == 1 else f"{count} {name}s"
    if whole < 60:
        return text
    if whole < 3600:
        return f"{text} {whole % 60} seconds"
    return f"{text} {whole // 60 % 60} minutes" if whole < 86400 else f"{text} {whole // 3600 % 24} hours"
