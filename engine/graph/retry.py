"""A retried template: a Retry node whose children are the attempts (Argo's processNodeRetries)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.expressions import ExpressionError, evaluate
from engine.graph.invocation import Invocation
from engine.node import ERROR, FAILED, SUCCEEDED, Node
from engine.scope import Scope
from engine.substitution import environment
from engine.variables import parse_time
from rpc.durations import parse_duration

if TYPE_CHECKING:
    from engine.graph.graph import Graph

ALWAYS, ON_FAILURE, ON_ERROR, ON_TRANSIENT = "Always", "OnFailure", "OnError", "OnTransientError"


class Retry:
    """The body of a retried invocation. `limit` retries are `limit` + 1 attempts; without one it never gives up."""

    def __init__(self, graph: Graph, invocation: Invocation, strategy: Mapping[str, Any]) -> None:
        self.graph = graph
        self.invocation = invocation
        self.strategy = strategy
        self.attempts: list[str] = []

    def start(self) -> None:
        self._attempt()

    def abandon(self, phase: str, message: str) -> None:
        """Nothing to close: the attempts are nodes of their own."""

    def _attempt(self) -> None:
        outer, number = self.invocation, len(self.attempts)
        node = self.graph.store[outer.node_id]
        attempt = Invocation(
            self, number, f"{node.name}({number})", outer.call, outer.context, outer.boundary, on_exit=outer.on_exit
        )
        attempt.depth = outer.depth
        attempt.template = outer.template
        attempt.variables = outer.variables
        attempt.attempt = {"retries": str(number), **self._last_retry()}
        self.attempts.append("")
        self.graph.invoke(attempt, self.graph.store.adopt(attempt.name))

    def child_created(self, key: int, node_id: str) -> None:
        self.attempts[key] = node_id
        self.graph.store.link(self.invocation.node_id, node_id)

    def child_done(self, key: int, node: Node) -> None:
        self.child_created(key, node.id)
        if node.daemoned and not node.fulfilled:
            self.graph.daemon_up(self.invocation, node.pod_ip)
        elif not node.unsuccessful:
            self._end(SUCCEEDED, "", node)
        else:
            self._consider(node)

    def _end(self, phase: str, message: str, last: Node) -> None:
        self.graph.finish(self.invocation, phase, message, outputs=last.outputs)

    def _consider(self, last: Node) -> None:
        """Decide, by the rules of Argo and in their order, whether a failed attempt is followed by another."""
        strategy, graph = self.strategy, self.graph
        if graph.closed(self.invocation) is not None:
            self._end(last.phase, last.message, last)
            return
        delay = 0.0
        try:
            backoff = strategy.get("backoff")
            if backoff:
                delay = self._delay(backoff)
                first = graph.store[self.attempts[0]]
                if backoff.get("maxDuration") and first.started_at:
                    end = parse_time(first.started_at).timestamp() + parse_duration(str(backoff["maxDuration"]))
                    if graph.now > end:
                        self._end(last.phase, "Max duration limit exceeded", last)
                        return
                    if graph.now + delay > end:
                        self._end(last.phase, "Backoff would exceed max duration limit", last)
                        return
            limit = strategy.get("limit")
            allowed = None if limit in (None, "") else int(str(limit))
        except ValueError as error:
            self._end(ERROR, f"retryStrategy: {error}", last)
            return
        # With an expression the default is to retry errors as well: the expression is there to tell.
        policy = strategy.get("retryPolicy") or (ALWAYS if strategy.get("expression") else ON_FAILURE)
        if policy not in (ALWAYS, ON_FAILURE, ON_ERROR, ON_TRANSIENT):
            self._end(ERROR, f"{policy} is not a valid RetryPolicy", last)
        elif policy != ALWAYS and policy != {FAILED: ON_FAILURE, ERROR: ON_ERROR}.get(last.phase):
            self._end(last.phase, last.message, last)
        elif allowed is not None and len(self.attempts) > allowed:
            self._end(last.phase, "No more retries left", last)
        else:
            self._try_again(last, delay)

    def _try_again(self, last: Node, delay: float) -> None:
        expression = self.strategy.get("expression")
        if expression:
            scope = Scope(self.graph.scope_of(self.invocation), self._last_retry())
            try:
                wanted = evaluate(str(expression), environment(scope))
            except ExpressionError as error:
                self._end(ERROR, f"retryStrategy.expression: {error}", last)
                return
            if wanted is not True:
                self._end(last.phase, "retryStrategy.expression evaluated to false", last)
                return
        if delay <= 0:
            self._attempt()
            return
        finished = parse_time(last.finished_at).timestamp() if last.finished_at else self.graph.now
        self.graph.store.touch(self.invocation.node_id).message = f"Backoff for {_humanized(delay)}"
        self.graph.at(finished + delay, self._after_backoff)

    def _after_backoff(self) -> None:
        node = self.graph.store[self.invocation.node_id]
        if not node.fulfilled:
            self.graph.store.touch(node.id).message = ""
            self._attempt()

    def _delay(self, backoff: Mapping[str, Any]) -> float:
        """Seconds to wait: duration x factor^(attempts - 1), at most `cap`."""
        if not backoff.get("duration"):
            raise ValueError("no base duration specified for retryStrategy")
        base = parse_duration(_with_unit(backoff["duration"]))
        factor = float(backoff["factor"]) if backoff.get("factor") not in (None, "") else 1.0
        delay = base * factor ** (len(self.attempts) - 1) if factor > 0 else base
        return min(delay, parse_duration(_with_unit(backoff["cap"]))) if backoff.get("cap") else delay

    def _last_retry(self) -> dict[str, Any]:
        """Argo's ``lastRetry.*``; before the first retry they have the values of no attempt at all."""
        if not self.attempts or not self.attempts[-1]:
            return {f"lastRetry.{key}": value for key, value in _NO_ATTEMPT.items()}
        last = self.graph.store[self.attempts[-1]]
        duration = 0
        if last.started_at and last.finished_at:
            duration = int((parse_time(last.finished_at) - parse_time(last.started_at)).total_seconds())
        return {
            "lastRetry.exitCode": str((last.outputs or {}).get("exitCode", "-1")),
            "lastRetry.status": last.phase,
            "lastRetry.duration": str(duration),
            "lastRetry.message": last.message,
        }


_NO_ATTEMPT = {"exitCode": "0", "status": "", "duration": "0", "message": ""}


def _with_unit(value: object) -> str:
    """A bare number is a number of seconds (Argo's parseStringToDuration)."""
    text = str(value)
    return f"{text}s" if text.isdigit() else text


def _humanized(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, seconds_ = divmod(rest, 60)
    parts = [
        f"{hours} hours" * bool(hours),
        f"{minutes} minutes" * bool(minutes),
        f"{seconds_} seconds" * bool(seconds_),
    ]
    return " ".join(part for part in parts if part) or "0 seconds"
