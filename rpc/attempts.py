"""The attempts that a call may take: coroutines on top of `rpc.attempt`, for whatever is not plain sailing.

That is a path to be found, a breaker that is not closed, a retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

from rpc.attempt import Attempt, HeldBack
from rpc.errors import FatalError, NotSent, PluginError, TransientError
from rpc.judging import Judge, Reading, blames_the_peer
from rpc.lanes import Lane
from rpc.ledger import Ledger
from rpc.methods import Route, Spelling
from rpc.observing import Request, RequestObserver
from rpc.renewal import Renewal, is_refusal
from rpc.retries import RetryPolicy, retry
from rpc.spans import About
from rpc.spellings import Spellings
from rpc.stats import Outcome

if TYPE_CHECKING:
    from rpc.tracing import RequestTracing

T = TypeVar("T")

_Send = Callable[[str], Awaitable[tuple[T | None, float]]]


class _Awaited(Generic[T]):
    """A receiver that can be awaited."""

    __slots__ = ("reply",)

    def __init__(self) -> None:
        self.reply: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()

    def answered(self, reply: T | None, now: float) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)

    def failed(self, error: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(error)


class Attempts:
    """One client's attempts. ``lane`` is set while the client is open."""

    def __init__(
        self,
        ledger: Ledger,
        judge: Judge,
        spellings: Spellings,
        policy: RetryPolicy,
        lane: Lane,
        observer: RequestObserver | None,
        renewal: Renewal,
    ) -> None:
        self.ledger = ledger
        self.renewal = renewal
        self.judge = judge
        self.spellings = spellings
        self.policy = policy
        self.lane = lane
        self.observer = observer
        self.tracing: RequestTracing | None = None
        self._asking: dict[Route, asyncio.Future[TransientError | None]] = {}

    async def call(
        self,
        route: Route,
        body: bytes,
        read: Reading[T],
        *,
        deadline: float | None = None,
        patient: bool = False,
        failure: PluginError | None = None,
        sent: float = 0.0,
        about: About | None = None,
        observer: RequestObserver | None = None,
    ) -> T | None:
        """The plugin's reply, None for 404, after retries where they are needed.

        After ``deadline``, in the loop's time, nothing is sent any more. While another request is the open breaker's
        probe, one that is ``patient`` waits for what comes of it, where others are not sent. With ``failure`` the first
        attempt has been made, `sent` at that time. ``observer`` is told in place of the client's. Raises
        `TransientError` and `FatalError`.
        """

        async def attempt(refused: tuple[PluginError, float] | None = None) -> T | None:
            reply, _ = await self.once(
                route, body, read, deadline=deadline, patient=patient, refused=refused, about=about, observer=observer
            )
            return reply

        async def again() -> T | None:
            self.ledger.retries += 1
            return await attempt()

        if failure is None or is_refusal(failure):
            try:
                return await attempt((failure, sent) if failure is not None else None)
            except TransientError as error:
                failure = error
        if not isinstance(failure, TransientError) or self._stands(failure):
            raise failure
        return await retry(
            again, failure, self.policy, self.ledger.budget, deadline=deadline, clock=monotonic, sleep=asyncio.sleep
        )

    def is_final(self, failure: PluginError) -> bool:
        """Whether a call that failed so the first time is certain not to be made again."""
        if self.renewal.possible and is_refusal(failure):
            return False
        return not isinstance(failure, TransientError) or self._stands(failure)

    def _stands(self, failure: TransientError) -> bool:
        return isinstance(failure, NotSent) or self.policy.attempts == 1

    async def once(
        self,
        route: Route,
        body: bytes,
        read: Reading[T],
        *,
        calls: int = 1,
        deadline: float | None = None,
        patient: bool = False,
        refused: tuple[PluginError, float] | None = None,
        about: About | None = None,
        observer: RequestObserver | None = None,
    ) -> tuple[T | None, float]:
        """One attempt in full generality, as the breaker's probe, finding the spelling: its reply, and the seconds.

        Where it is refused for its credentials, and there are others by now, it is made once more with each of those.
        That ``refused``, with the time when it was sent, was made already.
        """
        breaker = self.ledger.breaker
        while True:
            probing = False
            while not breaker.closed and not probing:
                probing = breaker.try_probe(monotonic())
                if not probing:
                    if not (patient and breaker.probing):
                        raise self._not_sent(route, calls)
                    await self.ledger.probe_ended()
            verdict: bool | None = None
            try:
                send = partial(
                    self._send,
                    route,
                    body,
                    read,
                    calls=calls,
                    deadline=deadline,
                    probing=probing,
                    refused=refused,
                    about=about,
                    observer=observer,
                )
                answer = await self._find(route, send)
                verdict = True
                return answer
            except HeldBack:
                if not patient:
                    raise self._not_sent(route, calls) from None
            except TransientError as error:
                verdict = False if blames_the_peer(error) else None
                raise
            except FatalError:
                verdict = True  # wrong as it is, it is an answer
                raise
            finally:
                if probing:
                    self.ledger.end_probe(verdict)

    async def _find(self, route: Route, send: _Send[T]) -> tuple[T | None, float]:
        """Where the path is not known, ask in each spelling in turn. One does, others wait for what it learns."""
        spellings = self.spellings
        while (path := spellings.paths.get(route)) is None:
            if spellings.refuses(route):
                return None, 0.0
            asking = self._asking.get(route)
            if asking is None:
                return await self._ask_around(route, send)
            # Shielded: a waiter that is cancelled must not take the others with it.
            failure = await asyncio.shield(asking)
            if failure is not None:
                raise failure.again() from failure
        reply, seconds = await send(path)
        if reply is None:
            spellings.refuse(route)
        return reply, seconds

    async def _ask_around(self, route: Route, send: _Send[T]) -> tuple[T | None, float]:
        spellings = self.spellings
        answer = self._asking[route] = asyncio.get_running_loop().create_future()
        failure = None
        try:
            for spelling, path in spellings.candidates(route):
                try:
                    reply, seconds = await send(path)
                except PluginError as error:
                    if error.status is not None or isinstance(error, FatalError):  # it was answered
                        self._settle(route, spelling)
                    raise
                if reply is not None:
                    self._settle(route, spelling)
                    return reply, seconds
                if spellings.refuses(route):  # it said which methods there are
                    return None, 0.0
            spellings.refuse(route)
            return None, 0.0
        except TransientError as error:
            failure = None if route in spellings.paths else error
            raise
        finally:
            del self._asking[route]
            answer.set_result(failure)

    def _settle(self, route: Route, spelling: Spelling) -> None:
        if self.spellings.settle(route, spelling):
            self.judge.replaced()

    async def _send(
        self,
        route: Route,
        body: bytes,
        read: Reading[T],
        path: str,
        *,
        calls: int,
        deadline: float | None,
        probing: bool,
        refused: tuple[PluginError, float] | None,
        about: About | None,
        observer: RequestObserver | None,
    ) -> tuple[T | None, float]:
        while True:
            if refused is not None and not await self.renewal.since(refused[1]):
                raise refused[0]
            awaited: _Awaited[T] = _Awaited()
            attempt = Attempt(
                self,
                awaited,
                route,
                read,
                calls=calls,
                deadline=deadline,
                probing=probing,
                about=about,
                observer=observer,
            )
            attempt.send(path, body, monotonic())
            try:
                return await awaited.reply, attempt.travelled
            except PluginError as error:
                if not (self.renewal.possible and is_refusal(error)):
                    raise
                refused = error, attempt.sent
            finally:
                attempt.cancel()

    def _not_sent(self, route: Route, calls: int) -> NotSent:
        error = self.judge.not_sent(route, Outcome.BREAKER_OPEN, calls=calls)
        if self.observer is not None:
            now = monotonic()
            self.observer.requested(Request(self.judge.name, route, calls, b"", b"", 0.0, 0.0, error.outcome, now))
        return error
