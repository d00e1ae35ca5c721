"""Calls that travel one by one: a fixed number of slots pull from the calls, so memory follows the slots.

A slot that hears of a reply sends its next call on the spot, from within the callback (`rpc.attempt`). There is no
task, future or turn of the event loop for a call that goes well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any

from rpc.attempt import Attempt, HeldBack
from rpc.attempts import Attempts
from rpc.batches import CallBatch
from rpc.errors import FatalError, PluginError, TransientError
from rpc.journeys import Following, Journeys
from rpc.methods import Method
from rpc.replies import EMPTY, Reply, decode
from rpc.spans import Subject

Outcomes = list[Reply | FatalError | TransientError | None]
"""What came of each call so far: its reply, why there is none, or None while it has no outcome."""


class Window:
    """The calls at ``places``, each of which is given its outcome. ``tolerant``: a transient failure is one."""

    def __init__(
        self,
        attempts: Attempts,
        method: Method,
        batch: CallBatch,
        outcomes: Outcomes,
        places: Iterator[int],
        *,
        tolerant: bool,
        journeys: Journeys | None = None,
    ) -> None:
        self.attempts = attempts
        self.method = method
        self.batch = batch
        self.outcomes = outcomes
        self.places = places
        self.tolerant = tolerant
        self.journeys = journeys
        self.read = partial(decode, method)
        self.context = copy_context()
        """In which the calls are made, wherever it is that a slot hears of the last one."""
        self._slots: list[_Slot] = []
        self._under_way = 0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, width: int) -> None:
        """Make all calls, at most `width` at a time.

        Raises the first `TransientError` unless tolerant, and whatever else went wrong on our side; then no call is
        left in flight, and none is sent.
        """
        self._slots = slots = [_Slot(self) for _ in range(width)]
        self._under_way = width
        try:
            for slot in slots:
                slot.turn_to_next(monotonic())
            await self._over
        finally:
            self._slots = []  # they refer back here
            # Whoever waits for a permit first, or one that is given back would go to them.
            for slot in slots:
                slot.attempt.withdraw()
            tasks = [task for slot in slots if (task := slot.cancel()) is not None]
            if tasks:
                await asyncio.wait(tasks)

    def ended(self) -> None:
        """A slot found nothing more to do."""
        self._under_way -= 1
        if self._under_way == 0 and not self._over.done():
            self._over.set_result(None)

    def fail(self, error: Exception) -> None:
        """Something went wrong that ends it all: on the spot, since replies may come before `run` gets on."""
        self.places = iter(())
        for slot in self._slots:
            slot.attempt.withdraw()
        if not self._over.done():
            self._over.set_exception(error)


class _Slot:
    """Makes one call after the other: the `rpc.attempt.Receiver` of an attempt."""

    __slots__ = (
        "_attempts",
        "_body",
        "_breaker",
        "_calls",
        "_following",
        "_method",
        "_outcomes",
        "_paths",
        "_place",
        "_task",
        "_window",
        "attempt",
    )

    def __init__(self, window: Window) -> None:
        self._window = window
        self._attempts = attempts = window.attempts
        self._paths = attempts.spellings.paths
        self._breaker = attempts.ledger.breaker
        self._method = window.method
        self._calls = window.batch.calls
        self._outcomes = window.outcomes
        journeys = window.journeys
        self._following = Following(journeys, attempts.observer) if journeys is not None else None
        self.attempt: Attempt[Reply] = Attempt(
            attempts, self, window.method, window.read, empty=EMPTY, about=self._subjects, observer=self._following
        )
        self._task: asyncio.Task[Reply | None] | None = None

    def turn_to_next(self, now: float) -> None:
        """Make the next call, if there is one."""
        for place in self._window.places:
            self._place = place
            if self._following is not None:
                self._following.places = (place,)
            call = self._calls[place]
            self._body = body = call.head + call.rest
            path = self._paths.get(self._method)
            if path is None or not self._breaker.closed:
                if path is None and self._attempts.spellings.refuses(self._method):  # another slot has learnt it
                    self._outcomes[place] = EMPTY
                    continue
                self._follow(None)
            else:
                self.attempt.send(path, body, now)
            return
        self._window.ended()

    def answered(self, reply: Reply | None, now: float) -> None:
        """See `rpc.attempt.Receiver`."""
        if reply is None:
            self._attempts.spellings.refuse(self._method)
            reply = EMPTY
        self._outcomes[self._place] = reply
        self.turn_to_next(now)

    def failed(self, error: Exception) -> None:
        """See `rpc.attempt.Receiver`."""
        if isinstance(error, PluginError) and not self._attempts.is_final(error):
            self._follow(error)
        elif isinstance(error, HeldBack):
            self._follow(None)
        else:
            self._settle(error)

    def _subjects(self) -> Iterable[Subject]:
        about = self._window.batch.about
        return () if about is None else (about(self._place),)

    def _settle(self, error: Exception) -> None:
        """The call has failed for good."""
        if isinstance(error, FatalError) or (isinstance(error, TransientError) and self._window.tolerant):
            self._outcomes[self._place] = error
            self.turn_to_next(monotonic())
        else:
            self._window.fail(error)

    def cancel(self) -> asyncio.Task[Reply | None] | None:
        """Abandon the call that is in flight; returns the task that is about to end for it, if there is one."""
        self.attempt.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    # The long way: finding the path, a breaker that is not closed, retries

    def _follow(self, failure: PluginError | None) -> None:
        # Patient: to fail now would abort the pass, and with it the probe, so that no breaker would ever close.
        call: Coroutine[Any, Any, Reply | None] = self._attempts.call(
            self._method,
            self._body,
            self._window.read,
            patient=True,
            failure=failure,
            sent=self.attempt.sent,
            about=self._subjects,
            observer=self._following,
        )
        self._task = asyncio.get_running_loop().create_task(call, context=self._window.context.copy())
        self._task.add_done_callback(self._followed)

    def _followed(self, task: asyncio.Task[Reply | None]) -> None:
        error = None if task.cancelled() else task.exception()
        if task is not self._task:  # the window was over before it was
            return
        self._task = None
        try:
            if error is None:
                self.answered(task.result(), monotonic())
            elif isinstance(error, Exception):
                self._settle(error)
        except Exception as mistake:
            self._window.fail(mistake)
