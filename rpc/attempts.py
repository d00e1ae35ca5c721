"""One request to one plugin, from the permit to the verdict, and the attempts that a call may take.

An `Attempt` is told of what happens by callbacks: the connection that reads a reply calls the attempt, which calls its
receiver, which sends the next request, all in one turn of the event loop and with no future between. At a hundred
thousand calls a second a coroutine, a future and a turn each would cost more than all the rest of a call that goes
well. `Attempts` puts coroutines on top of that, for whatever is not plain sailing: a path to be found, a breaker that
is not closed, a retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from rpc.errors import FatalError, NotSent, PluginError, TransientError
from rpc.judging import Judge, blames_the_peer
from rpc.lanes import Lane, LaneError, Response
from rpc.ledger import Ledger
from rpc.methods import Route
from rpc.observing import Request, RequestObserver
from rpc.retries import RetryPolicy, retry
from rpc.spellings import Spellings
from rpc.stats import Outcome

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

Reading = Callable[[bytes], tuple[T, int]]
"""What a good reply's body says, and how many unknown fields it has. Raises `rpc.replies.IllegalReply`."""
_Send = Callable[[str], Awaitable[tuple[T | None, float]]]


class HeldBack(Exception):
    """Nothing was sent: the breaker opened while the request waited for its permit."""


class Receiver(Protocol[T_contra]):
    """Who is told what came of an attempt. It may make the next attempt from within."""

    def answered(self, reply: T_contra | None, now: float) -> None:
        """What the plugin replied, None for 404. `now` is when it came, as `time.monotonic` says."""
        ...

    def failed(self, error: Exception) -> None:
        """A `PluginError`, `HeldBack`, or a mistake of ours, which is to end whatever it happened in."""
        ...


class Attempt(Generic[T]):
    """At most one request to `route` at a time, to be used again for the next.

    ``empty`` is what a reply of ``{}``, or of nothing, is read as; None where that is read like any other. After
    ``deadline``, in the loop's time, nothing is sent. One that is ``probing`` goes to a breaker that is not closed.
    """

    __slots__ = (
        "_body",
        "_breaker",
        "_deadline",
        "_empty",
        "_judge",
        "_lane",
        "_ledger",
        "_observer",
        "_on_it",
        "_path",
        "_permits",
        "_probing",
        "_queued",
        "_read",
        "_receiver",
        "_route",
        "_start",
        "_turn",
        "calls",
        "travelled",
    )

    def __init__(
        self,
        attempts: Attempts,
        receiver: Receiver[T],
        route: Route,
        read: Reading[T],
        *,
        empty: T | None = None,
        calls: int = 1,
        deadline: float | None = None,
        probing: bool = False,
    ) -> None:
        self._receiver = receiver
        self._route = route
        self._read = read
        self._empty = empty
        self._deadline = deadline
        self._probing = probing
        self.calls = calls
        self.travelled = 0.0
        """Seconds that the last reply took, unless it was ``empty``."""
        self._lane = attempts.lane
        self._ledger = ledger = attempts.ledger
        self._breaker = ledger.breaker
        self._permits = ledger.permits
        self._judge = attempts.judge
        self._observer = attempts.observer
        self._turn = _Turn(self)
        self._on_it = False
        self._start = self._queued = 0.0

    def send(self, path: str, body: bytes, now: float) -> None:
        """Send `body`; the receiver is told what comes of it.

        `now` is what `time.monotonic` says, or said when the reply came that is being acted upon: one reading of the
        clock does for the end of one request and the beginning of the next.
        """
        self._path = path
        self._body = body
        self._queued = self._start = now
        permits = self._permits
        if permits.in_flight >= permits.limit:
            self._turn.waits = True
            permits.queue(self._turn)
            return
        permits.in_flight += 1
        if self._deadline is not None:
            self.permitted()
            return
        self._on_it = True
        self._lane.send(path, body, self)

    def permitted(self) -> None:
        """A permit is there."""
        try:
            self._start = now = monotonic()
            if self._deadline is not None and now >= self._deadline:
                raise self._judge.not_sent(self._route, Outcome.PAST_DEADLINE)
            if not (self._breaker.closed or self._probing):
                raise HeldBack
            self._on_it = True
            self._lane.send(self._path, self._body, self)
        except Exception as error:
            self._on_it = False
            self._permits.release()
            if self._observer is not None and isinstance(error, NotSent):
                self._tell(self._observer, error.outcome, now)
            self._receiver.failed(error)

    def withdraw(self) -> None:
        """Do not wait for a permit any more."""
        self._turn.waits = False

    def cancel(self) -> None:
        """Nobody waits any more; the receiver is told nothing, and the lane closes the connection."""
        self.withdraw()
        if self._on_it:
            self._on_it = False
            self._permits.release()
            self._ledger.outcomes[Outcome.CANCELLED] += self.calls
            if self._observer is not None:
                self._tell(self._observer, Outcome.CANCELLED, monotonic())

    # What the lane sees (`rpc.lanes.Waiting`)

    def done(self) -> bool:
        return not self._on_it

    def set_result(self, result: Response, /) -> None:
        if not self._on_it:
            return
        self._on_it = False
        try:
            now = monotonic()
            permits = self._permits
            permits.in_flight -= 1
            if permits.turns:
                permits.hand_over()
            self._ledger.answer(now, self._start)
            if self._judge.unreachable:
                self._judge.came_back()
            body = result.body
            if result.status == 200 and (body == b"{}" or not body) and self._empty is not None:
                reply: T | None = self._empty
                outcome = Outcome.ANSWERED
            else:
                self.travelled = now - self._start
                try:
                    reply = self._judge.read(self._route, result, self._read, self.calls)
                    outcome = Outcome.UNSUPPORTED if reply is None else Outcome.ANSWERED
                except PluginError as error:
                    if self._observer is not None:
                        self._tell(self._observer, error.outcome, now, body)
                    self._receiver.failed(error)
                    return
            if self._observer is not None:
                self._tell(self._observer, outcome, now, body)
            self._receiver.answered(reply, now)
        except Exception as error:
            self._receiver.failed(error)

    def set_exception(self, exception: Exception, /) -> None:
        if not self._on_it:
            return
        self._on_it = False
        try:
            self._permits.release()
            if not isinstance(exception, LaneError):
                raise exception
            error = self._judge.failed(self._route, exception, calls=self.calls)
            if self._observer is not None:
                self._tell(self._observer, error.outcome, monotonic())
            self._receiver.failed(error)
        except Exception as mistake:
            self._receiver.failed(mistake)

    def _tell(self, observer: RequestObserver, outcome: Outcome, now: float, reply: bytes = b"") -> None:
        observer.requested(
            Request(
                self._judge.name,
                self._route,
                self.calls,
                self._body,
                reply,
                self._start - self._queued,
                now - self._start,
                outcome,
                now,
            )
        )


class _Turn:
    """An attempt's place in the queue for permits (`rpc.permits.Waiting`)."""

    __slots__ = ("_attempt", "waits")

    def __init__(self, attempt: Attempt[Any]) -> None:
        self._attempt = attempt
        self.waits = False

    def done(self) -> bool:
        return not self.waits

    def set_result(self, result: None, /) -> None:
        self.waits = False
        self._attempt.permitted()


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
    ) -> None:
        self.ledger = ledger
        self.judge = judge
        self.spellings = spellings
        self.policy = policy
        self.lane = lane
        self.observer = observer
        self._asking: dict[Route, asyncio.Future[TransientError | None]] = {}

    async def call(
        self,
        route: Route,
        body: bytes,
        read: Reading[T],
        *,
        deadline: float | None = None,
        patient: bool = False,
        failure: TransientError | None = None,
    ) -> T | None:
        """The plugin's reply, None for 404, after retries where they are needed.

        After ``deadline``, in the loop's time, nothing is sent any more. While another request is the open breaker's
        probe, one that is ``patient`` waits for what comes of it, where others are not sent. With ``failure`` the first
        attempt has been made. Raises `TransientError` and `FatalError`.
        """

        async def attempt() -> T | None:
            return (await self.once(route, body, read, deadline=deadline, patient=patient))[0]

        async def again() -> T | None:
            self.ledger.retries += 1
            return await attempt()

        if failure is None:
            try:
                return await attempt()
            except TransientError as error:
                failure = error
        if isinstance(failure, NotSent):
            raise failure
        return await retry(
            again, failure, self.policy, self.ledger.budget, deadline=deadline, clock=monotonic, sleep=asyncio.sleep
        )

    async def once(
        self,
        route: Route,
        body: bytes,
        read: Reading[T],
        *,
        calls: int = 1,
        deadline: float | None = None,
        patient: bool = False,
    ) -> tuple[T | None, float]:
        """One attempt in full generality, as the breaker's probe, finding the spelling: its reply, and the seconds."""
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
                send = partial(self._send, route, body, read, calls=calls, deadline=deadline, probing=probing)
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
            if route in spellings.refused:
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
                        spellings.settle(route, spelling)
                    raise
                if reply is not None:
                    spellings.settle(route, spelling)
                    return reply, seconds
            spellings.refuse(route)
            return None, 0.0
        except TransientError as error:
            failure = None if route in spellings.paths else error
            raise
        finally:
            del self._asking[route]
            answer.set_result(failure)

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
    ) -> tuple[T | None, float]:
        awaited: _Awaited[T] = _Awaited()
        attempt = Attempt(self, awaited, route, read, calls=calls, deadline=deadline, probing=probing)
        attempt.send(path, body, monotonic())
        try:
            return await awaited.reply, attempt.travelled
        finally:
            attempt.cancel()

    def _not_sent(self, route: Route, calls: int) -> NotSent:
        error = self.judge.not_sent(route, Outcome.BREAKER_OPEN, calls=calls)
        if self.observer is not None:
            now = monotonic()
            self.observer.requested(Request(self.judge.name, route, calls, b"", b"", 0.0, 0.0, error.outcome, now))
        return error
