"""Trying again what failed transiently: exponential backoff with full jitter, inside the budget and the deadline.

(Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.) This is the way of the failures only: a call
that succeeds at once never comes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from rpc.budget import Budget
from rpc.errors import NotSent, TransientError
from rpc.spans import RESENT

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` includes the first, 1 means no retries; `backoff` and `max_backoff` are seconds.

    The wait before the n-th retry is random between 0 and ``min(max_backoff, backoff * 2 ** (n - 1))``, or what the
    plugin's Retry-After asks for. Without a deadline a Retry-After over `max_backoff` is left to the caller.
    """

    attempts: int = 3
    backoff: float = 0.05
    max_backoff: float = 1.0


async def retry(
    attempt: Callable[[], Awaitable[T]],
    failure: TransientError,
    policy: RetryPolicy,
    budget: Budget,
    *,
    deadline: float | None,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    price: Callable[[], int] = lambda: 1,
) -> T:
    """Go on after `failure`, the outcome of the first attempt. Raises the last attempt's error.

    ``price`` says what the next attempt takes from the budget, in retries.

    It stops at `policy.attempts`, when the budget is spent, when a wait would reach past the `deadline`, and at
    `NotSent`, since what holds a call back here is not over in a moment.
    """
    failed = [failure]
    jitter = wait_random_exponential(multiplier=policy.backoff, max=policy.max_backoff)

    def wait(state: RetryCallState) -> float:
        asked = _error(state).retry_after
        return jitter(state) if asked is None else asked

    def stop(state: RetryCallState) -> bool:
        if stop_after_attempt(policy.attempts)(state):
            return True
        pause = state.upcoming_sleep
        late = pause > policy.max_backoff if deadline is None else clock() + pause >= deadline
        return late or not budget.spend(clock(), price())

    resent = RESENT.get()

    async def attempts() -> T:
        nonlocal resent
        if failed:
            raise failed.pop()
        resent += 1
        before = RESENT.set(resent)
        try:
            return await attempt()
        finally:
            RESENT.reset(before)

    return await AsyncRetrying(retry=retry_if_exception(_may_pass), wait=wait, stop=stop, sleep=sleep, reraise=True)(
        attempts
    )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, NotSent)


def _error(state: RetryCallState) -> TransientError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, TransientError)
    return error
