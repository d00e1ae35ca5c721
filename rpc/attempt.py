"""One request to one plugin, from the permit to the verdict, told of what happens by callbacks.

The connection that reads a reply calls the attempt, which calls its receiver, which sends the next request, all in one
turn of the event loop and with no future between. At a hundred thousand calls a second a coroutine, a future and a turn
each would cost more than all the rest of a call that goes well.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from rpc.errors import NotSent, PluginError
from rpc.judging import Judge, Reading
from rpc.lanes import Lane, LaneError, Response
from rpc.ledger import Ledger
from rpc.methods import Route
from rpc.observing import Request, RequestObserver
from rpc.spans import About
from rpc.stats import Outcome

if TYPE_CHECKING:
    from rpc.tracing import RequestTracing

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class HeldBack(Exception):
    """Nothing was sent: the breaker opened while the request waited for its permit."""


class Means(Protocol):
    """What an attempt is made with: those of one client."""

    lane: Lane
    ledger: Ledger
    judge: Judge
    observer: RequestObserver | None
    tracing: RequestTracing | None


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
    ``about`` are the nodes that it asks about; ``observer`` takes the place of the client's.
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
        "_tally",
        "_turn",
        "calls",
        "travelled",
    )

    def __init__(
        self,
        means: Means,
        receiver: Receiver[T],
        route: Route,
        read: Reading[T],
        *,
        empty: T | None = None,
        calls: int = 1,
        deadline: float | None = None,
        probing: bool = False,
        about: About | None = None,
        observer: RequestObserver | None = None,
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
        self._lane, self._observer = means.lane, observer or means.observer
        if means.tracing is not None:
            self._lane, self._observer = means.tracing.follow(self._lane, self._observer, route, calls, about)
        self._ledger = ledger = means.ledger
        self._breaker = ledger.breaker
        self._permits = ledger.permits
        self._tally = ledger.tallies[route]
        self._judge = means.judge
        self._turn = _Turn(self)
        self._on_it = False
        self._start = self._queued = 0.0

    @property
    def sent(self) -> float:
        """When the last request was, as `time.monotonic` says."""
        return self._start

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
        """Nobody waits any more, nor will; the receiver is told nothing, and the lane closes the connection."""
        self.withdraw()
        if self._on_it:
            self._on_it = False
            self._permits.release()
            self._ledger.count(self._route, Outcome.CANCELLED, self.calls)
            if self._observer is not None:
                self._tell(self._observer, Outcome.CANCELLED, monotonic())
        # All of them may refer back here: with them, what was asked would stay until the garbage collector comes by.
        del self._turn, self._receiver, self._lane, self._observer

    # What the lane sees (`rpc.lanes.Waiting`)

    def done(self) -> bool:
        return not self._on_it

    def set_result(self, result: Response, /) -> None:
        if not self._on_it:
            return
        self._on_it = False
        try:
            now = monotonic()
            if now >= self._ledger.turn:
                self._ledger.tell(now)
            tally = self._tally
            tally.replies = replies = tally.replies + 1
            if replies >= tally.due:
                tally.time(self._start - self._queued, now - self._start)
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
                    raise
            if self._observer is not None:
                self._tell(self._observer, outcome, now, body)
        except Exception as error:
            self._fail(error)
            return
        try:
            permits = self._permits
            permits.in_flight -= 1
            if permits.turns:
                permits.hand_over()
            self._receiver.answered(reply, now)
        except Exception as error:
            self._receiver.failed(error)

    def set_exception(self, exception: Exception, /) -> None:
        if not self._on_it:
            return
        self._on_it = False
        try:
            if not isinstance(exception, LaneError):
                raise exception
            failure = self._judge.failed(self._route, exception, calls=self.calls)
            now = monotonic()
            if failure.outcome is not Outcome.CANCELLED:
                self._tally.time_failure(self._start - self._queued, now - self._start)
            if self._observer is not None:
                self._tell(self._observer, failure.outcome, now)
            error: Exception = failure
        except Exception as mistake:
            error = mistake
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Tell the receiver before the permit is given back: whoever waits for it may be told to wait no more."""
        try:
            self._receiver.failed(error)
        except Exception as mistake:
            self._receiver.failed(mistake)
        finally:
            self._permits.release()

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
