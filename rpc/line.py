"""One caller's line to a plugin: calls one after the other, each reply handed over on the spot.

`Client.exchange` is how one asks for a reply: a coroutine, a future and a turn of the event loop each. At a hundred
thousand calls a second those cost more than all the rest of a call that goes well. A line does without them: the
connection that reads a reply calls the line, which calls its receiver, which sends the next request, all in one go.
Whatever is not plain sailing (an unknown path, a breaker that is not closed, a retry) is left to `exchange`'s own ways,
in a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from rpc.errors import FatalError, PluginError, TransientError
from rpc.judging import Judge
from rpc.lanes import LaneError, Response
from rpc.lanes.wire import WireLane
from rpc.ledger import Ledger
from rpc.methods import Method, Route
from rpc.replies import EMPTY, Reply
from rpc.stats import Outcome

if TYPE_CHECKING:
    from rpc.client import Client


class Receiver(Protocol):
    """Who is told what came of a call. It may call `Line.send` from within, and must not raise."""

    def replied(self, reply: Reply | None, now: float) -> None:
        """What `Client.exchange` would have returned. `now` is when it came, as `time.monotonic` says."""
        ...

    def failed(self, error: PluginError) -> None:
        """What `Client.exchange` would have raised."""
        ...


class Line:
    """At most one call at a time. Towards the lane it is what waits for the reply (`rpc.lanes.connection.Waiting`)."""

    __slots__ = (
        "_body",
        "_breaker",
        "_client",
        "_judge",
        "_ledger",
        "_method",
        "_on_it",
        "_path",
        "_paths",
        "_permits",
        "_post",
        "_receiver",
        "_start",
        "_task",
        "_turn",
    )

    def __init__(
        self,
        receiver: Receiver,
        lane: WireLane,
        paths: Mapping[Route, str],
        ledger: Ledger,
        judge: Judge,
        client: Client,
    ) -> None:
        self._receiver = receiver
        self._post = lane.post_to
        self._paths = paths
        self._ledger = ledger
        self._breaker = ledger.breaker
        self._permits = ledger.permits
        self._judge = judge
        self._client = client
        self._turn = _Turn(self)
        self._on_it = False
        self._task: asyncio.Task[Reply | None] | None = None
        self._start = 0.0

    def send(self, method: Method, body: bytes, now: float) -> None:
        """Call `method` with `body`, an encoded JSON object; the receiver is told what comes of it, later.

        `now` is what `time.monotonic` says, or said when the reply came that is being acted upon: one reading of the
        clock does for the end of one call and the beginning of the next.
        """
        path = self._paths.get(method)
        self._method, self._body = method, body
        if path is None or not self._breaker.closed:
            self._follow(self._client.exchange(method, body, patient=True))
            return
        self._path = path
        permits = self._permits
        if permits.in_flight < permits.limit:
            permits.in_flight += 1
            self._on_it = True
            self._start = now
            post = self._post
            post(self, path, body, now)
        else:
            self._turn.waits = True
            permits.queue(self._turn)

    def permitted(self) -> None:
        """A permit was waited for and is there."""
        if self._breaker.closed:
            self._on_it = True
            self._start = now = monotonic()
            self._post(self, self._path, self._body, now)
        else:  # it opened meanwhile
            self._permits.release()
            self._follow(self._client.exchange(self._method, self._body, patient=True))

    def cancel(self) -> None:
        """Nobody waits any more; the receiver is told nothing, and the lane closes the connection."""
        self._turn.waits = False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        if self._on_it:
            self._on_it = False
            self._permits.release()
            self._ledger.outcomes[Outcome.CANCELLED] += 1

    # What the lane sees

    def done(self) -> bool:
        return not self._on_it

    def set_result(self, result: Response, /) -> None:
        if not self._on_it:
            return
        self._on_it = False
        now = monotonic()
        permits = self._permits
        permits.in_flight -= 1
        if permits.turns:
            permits.hand_over()
        self._ledger.answer(now, self._start)
        if self._judge.unreachable:
            self._judge.came_back()
        if result.status == 200 and (result.body == b"{}" or not result.body):
            self._receiver.replied(EMPTY, now)
            return
        try:
            reply = self._client.read(self._method, result)
        except TransientError as failure:
            self._follow(self._client.exchange_again(failure, self._method, self._body))
        except FatalError as error:
            self._receiver.failed(error)
        else:
            self._receiver.replied(reply, now)

    def set_exception(self, exception: LaneError, /) -> None:
        if not self._on_it:
            return
        self._on_it = False
        client = self._client
        self._permits.release()
        failure = client.broken(self._method, exception)
        if isinstance(failure, TransientError):
            self._follow(client.exchange_again(failure, self._method, self._body))
        else:
            self._receiver.failed(failure)

    # The long way

    def _follow(self, way: Coroutine[Any, Any, Reply | None]) -> None:
        self._task = asyncio.get_running_loop().create_task(way)
        self._task.add_done_callback(self._followed)

    def _followed(self, task: asyncio.Task[Reply | None]) -> None:
        abandoned = task is not self._task
        if task.cancelled():
            return
        error = task.exception()
        if abandoned:  # it had ended already when the line was cancelled
            return
        self._task = None
        if error is None:
            self._receiver.replied(task.result(), monotonic())
        elif isinstance(error, PluginError):
            self._receiver.failed(error)
        else:
            raise error


class _Turn:
    """A line's place in the queue for permits (`rpc.permits.Waiting`)."""

    __slots__ = ("_line", "waits")

    def __init__(self, line: Line) -> None:
        self._line = line
        self.waits = False

    def done(self) -> bool:
        return not self.waits

    def set_result(self, result: None, /) -> None:
        self.waits = False
        self._line.permitted()
