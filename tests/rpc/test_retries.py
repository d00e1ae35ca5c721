"""Retries, in virtual time: when, how often, and when not."""

from __future__ import annotations

import pytest

from rpc.budget import Budget
from rpc.errors import FatalError, NotSent, PluginError, TransientError
from rpc.retries import RetryPolicy, retry

POLICY = RetryPolicy(attempts=4, backoff=0.1, max_backoff=0.15)


class Call:
    """Attempts with given outcomes, an Exception or a value, on a clock that only `sleep` moves."""

    def __init__(self, *outcomes: Exception | str, budget: Budget | None = None) -> None:
        self.outcomes = list(outcomes)
        self.now = 100.0
        self.sleeps: list[float] = []
        self.budget = budget or Budget(self.now)

    async def attempt(self) -> str:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    async def run(self, failure: TransientError, policy: RetryPolicy = POLICY, deadline: float | None = None) -> str:
        return await retry(
            self.attempt,
            failure,
            policy,
            self.budget,
            deadline=deadline,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


def transient(retry_after: float | None = None) -> TransientError:
    return TransientError("p", "m", "again", retry_after=retry_after)


async def test_the_waits_grow_and_are_random_below_their_bound() -> None:
    call = Call(transient(), transient(), "done")
    assert await call.run(transient()) == "done"
    assert len(call.sleeps) == 3
    for seconds, bound in zip(call.sleeps, [0.1, 0.15, 0.15], strict=True):
        assert 0 <= seconds <= bound


async def test_retry_stops_at_the_number_of_attempts_with_the_last_error() -> None:
    last = transient()
    call = Call(transient(), transient(), last)
    with pytest.raises(TransientError) as caught:
        await call.run(transient())
    assert caught.value is last
    assert not call.outcomes


async def test_one_attempt_means_no_retries() -> None:
    call = Call("never")
    first = transient()
    with pytest.raises(TransientError) as caught:
        await call.run(first, RetryPolicy(attempts=1))
    assert caught.value is first
    assert call.budget.spent == 0


@pytest.mark.parametrize("error", [FatalError("p", "m", "no"), NotSent("p", "m", "breaker open")])
async def test_what_cannot_pass_is_not_tried_again(error: PluginError) -> None:
    call = Call(error, "never")
    with pytest.raises(type(error)) as caught:
        await call.run(transient())
    assert caught.value is error
    assert call.outcomes == ["never"]


async def test_retry_after_is_waited_for() -> None:
    call = Call(transient(0.12), "done")
    assert await call.run(transient(0.05)) == "done"
    assert call.sleeps == [0.05, 0.12]


async def test_a_long_retry_after_is_waited_for_only_within_a_deadline() -> None:
    call = Call("done")
    assert await call.run(transient(7.0), deadline=108.0) == "done"
    assert call.sleeps == [7.0]
    call = Call("never")
    with pytest.raises(TransientError) as caught:
        await call.run(transient(7.0))
    assert caught.value.retry_after == 7.0


async def test_retry_stops_at_the_deadline() -> None:
    call = Call(transient(2.0), transient(2.0), "never")
    with pytest.raises(TransientError):
        await call.run(transient(2.0), deadline=105.0)
    assert call.sleeps == [2.0, 2.0]
    assert call.outcomes == ["never"]
    assert call.budget.spent == 2


async def test_retry_stops_when_the_budget_is_spent() -> None:
    budget = Budget(100.0)
    while budget.spend(100.0):
        pass
    call = Call("never", budget=budget)
    with pytest.raises(TransientError):
        await call.run(transient())
    assert call.sleeps == []
