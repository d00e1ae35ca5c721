"""Many calls of one method to one plugin, in as few requests as it takes; what must go one by one goes by a `Window`.

A batch is a request of `rpc.attempts` like any other as far as spelling, breaker, permits and the status table go. What
is different: the plugin need not have it, a whole batch that fails may be sent again in halves, and each reply in it is
judged by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Final

from rpc.attempts import Attempts
from rpc.batches import Announcement, BatchReply, CallBatch, Illegal, decode_batch
from rpc.errors import FatalError, NotSent, TransientError
from rpc.fanout import fan_out
from rpc.journeys import Following, Journeys
from rpc.lanes import Response, TooLarge
from rpc.ledger import WHATEVER_THE_SIZE
from rpc.methods import BATCHES, Method
from rpc.replies import EMPTY, Reply, TooManyValues, Unknown
from rpc.retries import retry
from rpc.sizing import BatchPolicy, BatchSize
from rpc.window import Outcomes, Window

_TOO_LARGE: Final = 413
_HALVES: Final = 2
_AT_A_TIME: Final = 8
"""Batches under way from the calls of one `ask`."""
_NONE: Final = BatchReply((), None, ())


class NoBatches(Exception):
    """The plugin does not take batches of this method."""


class Delivery:
    """What one client knows of how its plugin is best asked."""

    def __init__(self, attempts: Attempts, policy: BatchPolicy, timeout: float) -> None:
        self.attempts = attempts
        self._announcement: tuple[int, Announcement] | None = None
        self._policy = policy
        self._sizes = {method: BatchSize(policy, timeout) for method in BATCHES}
        self._probing: dict[Method, asyncio.Future[TransientError | None]] = {}

    async def deliver(
        self,
        method: Method,
        batch: CallBatch,
        outcomes: Outcomes,
        *,
        tolerant: bool,
        width: int,
        journeys: Journeys | None = None,
    ) -> None:
        """See `rpc.Client.ask`."""
        if self.attempts.spellings.refuses(method):
            outcomes[:] = [EMPTY] * len(outcomes)
            return
        if batch.calls and self.takes_batches(method) is not False:
            await self._in_batches(method, batch, outcomes, tolerant=tolerant, journeys=journeys)
        if None not in outcomes:
            return
        left = [place for place, outcome in enumerate(outcomes) if outcome is None]
        window = Window(self.attempts, method, batch, outcomes, iter(left), tolerant=tolerant, journeys=journeys)
        await window.run(min(width, len(left)))

    def takes_batches(self, method: Method) -> bool | None:
        """Whether the plugin takes batches of `method`; None where nobody has asked it yet."""
        batch, spellings = BATCHES.get(method), self.attempts.spellings
        if batch is None or not self._policy.enabled or spellings.refuses(batch):
            return False
        return True if batch in spellings.paths and method not in self._probing else None

    @property
    def announcement(self) -> Announcement | None:
        """What the plugin last said of cached replies; None where this one has not."""
        said = self._announcement
        return said[1] if said is not None and said[0] == self.attempts.judge.generation else None

    @announcement.setter
    def announcement(self, announcement: Announcement) -> None:
        self._announcement = self.attempts.judge.generation, announcement

    async def _in_batches(
        self, method: Method, batch: CallBatch, outcomes: Outcomes, *, tolerant: bool, journeys: Journeys | None
    ) -> None:
        size = self._sizes[method]
        shipment = _Shipment(self, method, batch, outcomes, size, tolerant=tolerant, journeys=journeys)
        calls, most = len(batch.calls), self._policy.max_bytes
        first = batch.cut(0, size.limit, most)

        def groups() -> Iterator[range]:
            group = first
            yield group
            while group.stop < calls and self.takes_batches(method) is not False:
                group = batch.cut(group.stop, size.limit, most)
                yield group

        async def send(group: range) -> None:
            with contextlib.suppress(NoBatches):
                while (taken := self.takes_batches(method)) is not False:
                    if taken:
                        await shipment.settle(group)
                        return
                    if await self._probe(method, shipment, group):
                        return

        if first.stop == calls:
            await send(first)
        else:
            await fan_out(send, groups(), min(_AT_A_TIME, -(-calls // size.limit)))

    async def _probe(self, method: Method, shipment: _Shipment, group: range) -> bool:
        """Send the first batch of all. One caller does; the others wait for what it learns, and are told False."""
        asking = self._probing.get(method)
        if asking is not None:
            failure = await asyncio.shield(asking)
            if failure is not None:
                shipment.give_up(group, failure.again())
                return True
            return False
        answer = self._probing[method] = asyncio.get_running_loop().create_future()
        failure = None
        try:
            await shipment.settle(group)
        except TransientError as error:
            failure = error
            raise
        finally:
            del self._probing[method]
            # A failure of a plugin that is known to take batches by now is that batch's own.
            answer.set_result(None if BATCHES[method] in self.attempts.spellings.paths else failure)
        return True


class _Shipment:
    """The calls of one `Delivery.deliver` that travel in batches, by their places."""

    def __init__(
        self,
        delivery: Delivery,
        method: Method,
        batch: CallBatch,
        outcomes: Outcomes,
        size: BatchSize,
        *,
        tolerant: bool,
        journeys: Journeys | None,
    ) -> None:
        self._delivery = delivery
        self._attempts = delivery.attempts
        self._judge = delivery.attempts.judge
        self._ledger = delivery.attempts.ledger
        self._method = method
        self._route = BATCHES[method]
        self._batch = batch
        self._outcomes = outcomes
        self._size = size
        self._tolerant = tolerant
        self._journeys = journeys
        self._within: TransientError | None = None
        """What the last answered batch had to say against its calls, as opposed to a failure of all of it."""

    async def settle(self, group: Sequence[int]) -> None:
        """Give each call of the group its outcome. Raises `TransientError` for the first without one, `NoBatches`."""
        left = list(group)
        policy = self._attempts.policy
        try:
            await self._send(left)
        except TransientError as failure:
            if not self._may_be_too_many(left, failure):
                await self._again(partial(self._send, left), left, failure, policy.attempts, lambda: len(left))
                return
            self._size.failed(len(left))
            # Paid by the request: since batches get smaller by it, halving cannot go on and on as retries could.
            await self._again(partial(self._halve, left), left, failure, 2, lambda: _HALVES)

    def _may_be_too_many(self, left: Sequence[int], failure: TransientError) -> bool:
        if failure is self._within or isinstance(failure, NotSent) or failure.outcome in WHATEVER_THE_SIZE:
            return False
        return len(left) > 1

    async def _again(
        self,
        send: Callable[[], Awaitable[None]],
        left: list[int],
        failure: TransientError,
        most: int,
        price: Callable[[], int],
    ) -> None:
        """Go on after a failure within the retry policy and the budget, ``most`` attempts in all."""

        async def attempt() -> None:
            self._ledger.retries += len(left)
            await send()

        try:
            if isinstance(failure, NotSent):
                raise failure
            await retry(
                attempt,
                failure,
                replace(self._attempts.policy, attempts=most),
                self._ledger.budget,
                deadline=None,
                clock=monotonic,
                sleep=asyncio.sleep,
                price=price,
            )
        except TransientError as error:
            self.give_up(left, error)

    def give_up(self, group: Sequence[int], failure: TransientError) -> None:
        """The failure stands. Raises it, unless failures are outcomes like others here."""
        if not self._tolerant:
            raise failure
        for place in group:
            if self._outcomes[place] is None:
                self._outcomes[place] = failure

    async def _halve(self, left: Sequence[int]) -> None:
        middle = len(left) // 2
        await self.settle(left[:middle])
        await self.settle(left[middle:])

    async def _send(self, left: list[int]) -> None:
        """One request. Takes those out of `left` that have their outcome, and raises why the others do not."""
        count, journeys = len(left), self._journeys
        following = Following(journeys, self._attempts.observer, tuple(left)) if journeys is not None else None
        try:
            about = self._batch.about if self._attempts.tracing is not None else None
            reply, seconds = await self._attempts.once(
                self._route,
                self._batch.encode(left),
                partial(self._read, count),
                calls=count,
                patient=True,
                about=None if about is None else partial(map, about, left),
                observer=following,
            )
        except FatalError as error:
            if count > 1 and (error.status == _TOO_LARGE or isinstance(error.__cause__, TooLarge | TooManyValues)):
                self._size.failed(count)
                self._ledger.retries += count
                await self._halve(left)
                return
            for place in left:
                self._outcomes[place] = error
            return
        if reply is _NONE:
            self._attempts.spellings.refuse(self._route)
        if reply is None or reply is _NONE:
            raise NoBatches
        self._ledger.unpack(self._route, count)
        if reply.announcement is not None:
            self._delivery.announcement = reply.announcement
        self._size.answered(count, seconds)
        self._take(left, reply.replies)

    def _read(self, count: int, body: bytes) -> tuple[BatchReply, Unknown]:
        reply = decode_batch(self._method, body, count)
        return (_NONE, ()) if reply is None else (reply, reply.unknown)

    def _take(self, left: list[int], replies: Sequence[Reply | Response | Illegal]) -> None:
        outcomes = self._outcomes
        if replies.count(EMPTY) == len(left) == left[-1] - left[0] + 1:
            outcomes[left[0] : left[-1] + 1] = [EMPTY] * len(left)
            left.clear()
            return
        again: list[int] = []
        failure: TransientError | None = None
        for place, reply in zip(left, replies, strict=True):
            if isinstance(reply, Reply):
                outcomes[place] = reply
                continue
            try:
                if isinstance(reply, Illegal):
                    self._judge.judge_within(self._method, reply.response, reply.why)
                else:
                    self._judge.judge_within(self._method, reply)
                outcomes[place] = EMPTY  # a 404
            except FatalError as error:
                outcomes[place] = error
            except TransientError as error:
                again.append(place)
                failure = failure or error
        left[:] = again
        self._within = failure
        if failure is not None:
            raise failure
