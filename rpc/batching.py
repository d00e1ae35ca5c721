"""Many calls about nodes in few requests: whether the plugin takes batches, how large they are, and what to do when one
fails.

A batch is a call of `rpc.client` like any other as far as spelling, breaker, permits and the status table go. What is
different: the plugin need not have it (then the caller makes single calls), a whole batch that fails may be sent again
in halves, and each reply in it is judged by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from rpc.batches import Announcement, Bundle, Illegal, decode_batch
from rpc.errors import FatalError, NotSent, PluginError, TransientError
from rpc.fanout import fan_out
from rpc.lanes import Response, TooLarge, Unreachable
from rpc.methods import BATCHES, BatchMethod, Method
from rpc.replies import EMPTY, IllegalReply, Reply, TooManyValues
from rpc.retries import RetryPolicy, retry
from rpc.sizing import BatchPolicy, BatchSize

if TYPE_CHECKING:
    from rpc.client import Client
    from rpc.judging import Judge
    from rpc.ledger import Ledger
    from rpc.spellings import Spellings

_TOO_LARGE: Final = 413
_HALVES: Final = 2
_AT_A_TIME: Final = 8
"""Requests under way from the calls of one `exchange`, where it takes several."""

Outcomes = list[Reply | PluginError | None]
"""What came of each call so far: its reply, why there is none, or None while it has no outcome."""


class NoBatches(Exception):
    """The plugin does not take batches of this method."""


class Parcel:
    """A batch on its way: how many calls it has and, once it is answered, how many seconds that took."""

    __slots__ = ("calls", "seconds")

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.seconds = 0.0


class Batching:
    """What one client knows of its plugin's batches."""

    def __init__(
        self,
        client: Client,
        ledger: Ledger,
        judge: Judge,
        spellings: Spellings,
        policy: BatchPolicy,
        retry: RetryPolicy,
        timeout: float,
    ) -> None:
        self.client = client
        self.ledger = ledger
        self.judge = judge
        self.spellings = spellings
        self.retry = retry
        self._announcement: tuple[int, Announcement] | None = None
        self._policy = policy
        self._sizes = {method: BatchSize(policy, timeout) for method in BATCHES}
        self._probing: dict[Method, asyncio.Future[TransientError | None]] = {}

    def taken(self, method: Method) -> bool | None:
        """Whether the plugin takes batches of `method`; None where nobody has asked it yet."""
        batch = BATCHES.get(method)
        if batch is None or not self._policy.enabled or batch in self.spellings.refused:
            return False
        return True if batch in self.spellings.paths and method not in self._probing else None

    @property
    def announcement(self) -> Announcement | None:
        """What the plugin last said of standing replies; None where this one has not."""
        said = self._announcement
        return said[1] if said is not None and said[0] == self.judge.generation else None

    @announcement.setter
    def announcement(self, announcement: Announcement) -> None:
        self._announcement = self.judge.generation, announcement

    async def exchange(self, method: Method, bundle: Bundle, outcomes: Outcomes, *, tolerant: bool) -> None:
        """See `rpc.Client.exchange_batch`."""
        size = self._sizes[method]
        delivery = _Delivery(self, method, bundle, outcomes, size, tolerant=tolerant)
        calls = len(bundle.calls)

        def groups() -> Iterator[range]:
            at = 0
            while at < calls and self.taken(method) is not False:
                group = bundle.cut(at, size.limit, self._policy.max_bytes)
                at = group.stop
                yield group

        async def deliver(group: range) -> None:
            with contextlib.suppress(NoBatches):
                while (taken := self.taken(method)) is not False:
                    if taken:
                        await delivery.settle(group)
                        return
                    if await self._probe(method, delivery, group):
                        return

        await fan_out(deliver, groups(), min(_AT_A_TIME, -(-calls // size.limit)))

    async def _probe(self, method: Method, delivery: _Delivery, group: range) -> bool:
        """Send the first batch of all. One caller does; the others wait for what it learns, and are told False."""
        asking = self._probing.get(method)
        if asking is not None:
            failure = await asyncio.shield(asking)
            if failure is not None:
                delivery.give_up(group, failure.again())
                return True
            return False
        answer = self._probing[method] = asyncio.get_running_loop().create_future()
        failure = None
        try:
            await delivery.settle(group)
        except TransientError as error:
            failure = error
            raise
        finally:
            del self._probing[method]
            # A failure of a plugin that is known to take batches by now is that batch's own.
            answer.set_result(None if BATCHES[method] in self.spellings.paths else failure)
        return True


class _Delivery:
    """The calls of one `exchange`, by their places."""

    def __init__(
        self,
        batching: Batching,
        method: Method,
        bundle: Bundle,
        outcomes: Outcomes,
        size: BatchSize,
        *,
        tolerant: bool,
    ) -> None:
        self._batching = batching
        self._client = batching.client
        self._judge = batching.judge
        self._ledger = batching.ledger
        self._method = method
        self._batch: BatchMethod = BATCHES[method]
        self._bundle = bundle
        self._outcomes = outcomes
        self._size = size
        self._tolerant = tolerant
        self._within: TransientError | None = None
        """What the last answered batch had to say against its calls, as opposed to a failure of all of it."""

    async def settle(self, group: Sequence[int]) -> None:
        """Give each call of the group its outcome. Raises `TransientError` for the first without one, `NoBatches`."""
        left = list(group)
        try:
            await self._send(left)
        except TransientError as failure:
            if not self._may_be_too_many(left, failure):
                await self._again(partial(self._send, left), left, failure, self._batching.retry, lambda: len(left))
                return
            self._size.failed(len(left))
            # Paid by the request: since batches get smaller by it, halving cannot go on and on as retries could.
            once = replace(self._batching.retry, attempts=2)
            await self._again(partial(self._halve, left), left, failure, once, lambda: _HALVES)

    def _may_be_too_many(self, left: Sequence[int], failure: TransientError) -> bool:
        if failure is self._within or isinstance(failure, NotSent) or isinstance(failure.__cause__, Unreachable):
            return False
        return len(left) > 1

    async def _again(
        self,
        send: Callable[[], Awaitable[None]],
        left: list[int],
        failure: TransientError,
        policy: RetryPolicy,
        price: Callable[[], int],
    ) -> None:
        """Go on after a failure within the retry policy and the budget."""

        async def attempt() -> None:
            self._ledger.retries += len(left)
            await send()

        try:
            if isinstance(failure, NotSent):
                raise failure
            await retry(
                attempt,
                failure,
                policy,
                self._client.budget,
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
        count = len(left)
        parcel = Parcel(count)
        try:
            response = await self._client.attempt_batch(self._batch, self._bundle.encode(left), parcel)
            decoded = None if response is None else self._decode(response, count)
        except FatalError as error:
            if count > 1 and (error.status == _TOO_LARGE or isinstance(error.__cause__, TooLarge | TooManyValues)):
                self._size.failed(count)
                self._ledger.retries += count
                await self._halve(left)
                return
            for place in left:
                self._outcomes[place] = error
            return
        if decoded is None:
            raise NoBatches
        self._size.answered(count, parcel.seconds)
        self._take(left, decoded)

    def _decode(self, response: Response, count: int) -> Sequence[Reply | Response | Illegal] | None:
        try:
            decoded = decode_batch(self._method, response.body, count)
        except IllegalReply as error:
            raise self._judge.illegal(self._batch, response, error, calls=count) from error
        if decoded is None:
            self._batching.spellings.refuse(self._batch)
            return None
        self._ledger.unpack(count)
        self._ledger.unknown_fields += decoded.unknown
        if decoded.announcement is not None:
            self._batching.announcement = decoded.announcement
        return decoded.replies

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
                    raise self._judge.illegal(self._method, reply.response, reply.why)
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
