"""What is tried of a method: the example, then the same under circumstances that an engine brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import orjson

from engine.verifying import samples
from engine.verifying.effects import Arguments
from engine.verifying.exchanges import Answer, Exchanges, Failed, NobodyHome
from engine.verifying.judging import Problem, check_marks, document_of, read
from engine.verifying.report import Had
from rpc import Method
from rpc.lanes import BEWILDERED
from rpc.statuses import excerpt

_WIDTH: Final = 4
"""Calls at a time: as many as the engine begins with."""
_ROUNDS: Final = 10
_ONE_AFTER_THE_OTHER: Final = 6
_IN_A_ROW: Final = 5
SLOW: Final = 0.1
"""Seconds of a call; an engine's batches are as large as takes so long."""
_ERRORS: Final = ("status", "busy", "timeout", "no-reply")
"""What a plugin answers where it does not know what to do."""
_MOVES_ON: Final = (Method.TEMPLATE_EXECUTE, Method.TEMPLATE_STOP)
"""Methods about a job, whose replies say how far it is."""
_NOT_UNDERSTOOD: Final = "the next request on the connection is not understood"
_SHUT_OUT: Final = 0.5
"""Seconds after which a second connection is given up while the first is kept."""


class Asking:
    """One method of one plugin, asked. ``problems`` are those of the last check that do not make it fail."""

    def __init__(self, exchanges: Exchanges, had: Had, numbers: Iterator[int]) -> None:
        self.exchanges = exchanges
        self.had = had
        self.problems: list[Problem] = []
        self._numbers = numbers

    def number(self, many: int = 1) -> int:
        """That of a sample that was not used yet, of the first of so many."""
        first, *_ = [next(self._numbers) for _ in range(many)]
        return first

    def sample(self) -> Arguments:
        """Arguments about a node or workflow of their own."""
        return samples.sample(self.had.method, self.number())

    async def ask(self, arguments: Arguments, *, dribbled: bool = False) -> Answer:
        """A good answer, on a connection of its own. Raises `Failed`."""
        body = orjson.dumps(arguments)
        answer = await self.exchanges.ask(self.had.path, body, dribbled=dribbled)
        self.take(arguments, answer)
        if not dribbled and len(body) < len(samples.LARGE):
            self.had.seconds.append(answer.seconds)
        return answer

    def take(self, arguments: Arguments, answer: Answer) -> None:
        """Look at an answer to these arguments. Raises `Failed`."""
        self.problems += read(self.had.method, arguments, answer)
        check_marks(arguments, answer.body)

    async def under(self, circumstance: str, arguments: Arguments, *, dribbled: bool = False) -> Answer:
        """Ask where that may be too much. Raises `Failed`, of the circumstance's name where it is to blame."""
        try:
            return await self.ask(arguments, dribbled=dribbled)
        except Failed as failed:
            if failed.kind != "leak":
                await self.again(arguments, Failed(circumstance, failed.what), dribbled=dribbled)
            raise

    async def again(self, arguments: Arguments, blamed: Failed, *, dribbled: bool = False) -> None:
        """Raises what is blamed where there is no good answer this time either; else it may happen at any time."""
        try:
            await self.ask(arguments, dribbled=dribbled)
        except Failed:
            raise blamed from None


Check = Callable[[Asking], Awaitable[list[Problem]]]
"""Tries something, and returns what makes it no failure. Raises `Failed`."""


async def check_phases(asking: Asking) -> list[Problem]:
    """In each phase that the method is called in."""
    for phase, arguments in samples.in_phases(asking.had.method, asking.number(10)).items():
        try:
            await asking.ask(arguments)
        except Failed as failed:
            if failed.kind in _ERRORS:
                await asking.again(arguments, Failed("phases", f"in phase {phase}: {failed.what}"))
            raise
    return []


async def check_repeated(asking: Asking) -> list[Problem]:
    """The same call three times."""
    arguments = asking.sample()
    first = await asking.ask(arguments)
    again = [await asking.under("repeated", arguments) for _ in range(2)]
    if asking.had.method in _MOVES_ON or all(document_of(each) == document_of(first) for each in again):
        return []
    said = [excerpt(each.body).removeprefix(", ") for each in (first, *again)]
    return [Problem("varies", f"to the same call: {'; '.join(said)}")]


async def check_leak(asking: Asking) -> list[Problem]:
    """Calls about several nodes, one after the other and back."""
    several = [asking.sample() for _ in range(3)]
    for arguments in (*several, *reversed(several)):
        await asking.under("repeated", arguments)
    return []


def _one(circumstance: str, make: Callable[[Method, int], Arguments], *, dribbled: bool = False) -> Check:
    """One call, of which such a sample is made."""

    async def check(asking: Asking) -> list[Problem]:
        arguments = make(asking.had.method, asking.number())
        await asking.under(circumstance, arguments, dribbled=dribbled)
        return []

    return check


async def check_concurrency(asking: Asking) -> list[Problem]:
    """Several at a time, each on a connection of its own: with a server of one thread they wait for each other."""
    typical = asking.had.typical or 0.0
    width = max(2, min(_WIDTH, int(asking.exchanges.timeout / 2 / max(typical, 0.001))))
    rounds = max(1, min(_ROUNDS, int(0.5 / max(typical, 0.001))))

    async def go_on() -> None:
        for _ in range(rounds):
            await asking.ask(asking.sample())

    several = await asyncio.gather(*(go_on() for _ in range(width)), return_exceptions=True)
    for failed in several:
        if isinstance(failed, Failed):
            for _ in range(_WIDTH * _ONE_AFTER_THE_OTHER):  # is it this, or does it happen at any time?
                await asking.ask(asking.sample())
            raise Failed("concurrency", f"{width} at a time: {failed.what}")
        if isinstance(failed, BaseException):
            raise failed
    return []


async def check_keep_alive(asking: Asking) -> list[Problem]:
    """Calls in a row on one connection, the first of them to a path that there is not; and another beside it."""
    try:
        return await _after_a_404(asking) + await _in_a_row(asking)
    except NobodyHome as error:
        raise Failed("no-reply", str(error)) from None


async def _after_a_404(asking: Asking) -> list[Problem]:
    async with asking.exchanges.connected() as connection:
        arguments = asking.sample()
        try:
            answer = await connection.ask(f"{asking.had.path}X", orjson.dumps(arguments))
        except Failed:
            return []  # which is found elsewhere
        if not answer.kept:
            return []
        try:
            bewildered = (await connection.ask(asking.had.path, orjson.dumps(arguments))).status in BEWILDERED
        except Failed as failed:
            raise Failed("keep-alive", f"after a 404 that keeps the connection: {failed.what}") from None
    return [Problem("unread-body", f"after a 404 {_NOT_UNDERSTOOD}")] if bewildered else []


async def _in_a_row(asking: Asking) -> list[Problem]:
    async with asking.exchanges.connected() as connection:
        for number in range(_IN_A_ROW):
            arguments = asking.sample()
            try:
                answer = await connection.ask(asking.had.path, orjson.dumps(arguments))
                if number and answer.status in BEWILDERED:
                    return [Problem("unread-body", f"after a reply {_NOT_UNDERSTOOD}")]
                asking.take(arguments, answer)
            except Failed as failed:
                if number and failed.kind != "leak":
                    raise Failed("keep-alive", f"request {number + 1} on a kept connection: {failed.what}") from None
                raise
            if not answer.kept:
                return [Problem("closes-connections", "the connection is closed after a reply")]
        shut_out = [Problem("one-connection", "no reply on a second connection while the first one is kept")]
        try:
            async with asyncio.timeout(_SHUT_OUT + 3 * (asking.had.typical or 0.0)):
                await asking.ask(asking.sample())
        except TimeoutError:
            return shut_out
        except Failed as failed:
            if failed.kind == "timeout":
                return shut_out
            raise
    return []


async def check_slow(asking: Asking) -> list[Problem]:
    """How long all these calls took."""
    typical = asking.had.typical
    return [Problem("slow", f"{typical * 1000:.0f} ms for a call")] if typical and typical > SLOW else []


CHECKS: Final[dict[str, Check]] = {
    "phases": check_phases,
    "repeated": check_repeated,
    "leak": check_leak,
    "unknown-fields": _one("unknown-fields", samples.with_unknown_fields),
    "large": _one("large", samples.large),
    "unicode": _one("unicode", samples.in_unicode),
    "dribbled": _one("dribbled", samples.sample, dribbled=True),
    "concurrency": check_concurrency,
    "keep-alive": check_keep_alive,
    "slow": check_slow,
}
"""What is tried once the example is answered, by name."""
