"""What can be fuzzed: where the inputs come from, what must hold of each, and how many there are by default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any, Final, NamedTuple

from tests.fuzz import configurations, generate, manifests, replies
from tests.fuzz.checking import Checker, Disagreement, minimize
from tests.fuzz.generate import Input

Check = Callable[[Any], Awaitable[str]]
"""What came of a case, in a word. Raises `tests.fuzz.verdicts.Wrong`."""


class Target(NamedTuple):
    """One thing that is tried on inputs; ``checking`` is entered once for all of them."""

    generate: Callable[[Random], Any]
    checking: Callable[[], AbstractAsyncContextManager[Check]]
    inputs: int


@asynccontextmanager
async def _lanes() -> AsyncIterator[Check]:
    checker = Checker()

    async def check(case: Input) -> str:
        try:
            verdict = await checker.check(case)
        except Disagreement as found:
            raise await minimize(found) from found
        return verdict.outcome if isinstance(verdict.outcome, str) else "delivered"

    try:
        yield check
    finally:
        await checker.aclose()


def _by_itself(check: Check) -> Callable[[], AbstractAsyncContextManager[Check]]:
    @asynccontextmanager
    async def checking() -> AsyncIterator[Check]:
        yield check

    return checking


TARGETS: Final = {
    "lanes": Target(generate.generate, _lanes, 100_000),
    "replies": Target(replies.generate, _by_itself(replies.check), 5_000),
    "manifests": Target(manifests.generate, _by_itself(manifests.check), 5_000),
    "configurations": Target(configurations.generate, _by_itself(configurations.check), 20_000),
}
