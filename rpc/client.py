"""One plugin, called: spelling, breaker, permits, retries and the status table, above the lane that carries the bytes.

The way of a call that goes well is `Client.exchange`, `Client._send` and the lane; everything else is off that way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, Literal, Self

import orjson

from rpc.address import parse_address
from rpc.batches import Announcement, Bundle
from rpc.batching import Batching, Outcomes, Parcel
from rpc.breaker import BreakerPolicy, BreakerState
from rpc.budget import Budget
from rpc.errors import FatalError, NotSent, TransientError
from rpc.judging import Judge, blames_the_peer
from rpc.lanes import Broken, Lane, LaneError, Response
from rpc.lanes.aiohttp import AiohttpLane
from rpc.lanes.wire import WireLane
from rpc.ledger import Ledger
from rpc.line import Line, Receiver
from rpc.methods import BatchMethod, Method, Route, Spelling
from rpc.replies import EMPTY, IllegalReply, Reply, decode, decode_object, validate
from rpc.retries import RetryPolicy, retry
from rpc.sizing import BatchPolicy
from rpc.spellings import Spellings
from rpc.stats import ClientStats, Outcome

LaneName = Literal["auto", "aiohttp", "wire"]
Protocol = Literal["auto"] | Spelling

_DEFAULT_RETRY = RetryPolicy()
_DEFAULT_BREAKER = BreakerPolicy()
_DEFAULT_BATCH = BatchPolicy()


class Client:
    """Calls one plugin. An async context manager, open between ``async with`` and its end; for one event loop.

    ``address`` is an http, https or ``unix:///path`` address; ``name`` is what errors and statistics call the plugin,
    by default its address. ``timeout`` is the total time of one HTTP exchange in seconds, ``concurrency`` the most of
    them at a time, ``max_body`` the most bytes of a reply that are read; ``token`` is sent as a bearer token
    (RFC 6750). ``budget`` is given where several clients are to share one. Raises `ValueError` where one of them makes
    no sense.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str | None = None,
        lane: LaneName = "auto",
        protocol: Protocol = "auto",
        timeout: float = 1.0,
        concurrency: int | Literal["adaptive"] = "adaptive",
        token: str | None = None,
        max_body: int = 4 * 1024 * 1024,
        retry: RetryPolicy = _DEFAULT_RETRY,
        breaker: BreakerPolicy = _DEFAULT_BREAKER,
        batch: BatchPolicy = _DEFAULT_BATCH,
        budget: Budget | None = None,
    ) -> None:
        self.address = parse_address(address)
        self.name = name or address
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout must be a positive, finite number of seconds, not {timeout}")
        if concurrency != "adaptive" and concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, or 'adaptive', not {concurrency}")
        if max_body < 2:
            raise ValueError(f"max_body must be at least 2 bytes, the size of an empty object, not {max_body}")
        if lane == "wire" and self.address.scheme == "https":
            raise ValueError("the wire lane does not speak https; use lane 'auto' or 'aiohttp'")
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise ValueError("a token is printable ASCII")
        self._lane_name = lane
        self._timeout = timeout
        self._max_body = max_body
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

        self._spellings = Spellings(protocol, self.address.prefix)
        self._paths = self._spellings.paths
        self._asking: dict[Route, asyncio.Future[TransientError | None]] = {}
        self._ledger = Ledger(self.name, None if concurrency == "adaptive" else concurrency, breaker, budget)
        self._breaker = self._ledger.breaker
        self._permits = self._ledger.permits
        self._policy = retry
        self._judge = Judge(self.name, self._ledger, self._spellings)
        self._batching = Batching(self, self._ledger, self._judge, self._spellings, batch, retry, timeout)
        self._lane: Lane | None = None
        self._post: Callable[[str, bytes], Awaitable[Response]] = _never_opened

    async def __aenter__(self) -> Self:
        if self._lane is None:
            make = AiohttpLane if self._lane_name == "aiohttp" or self.address.scheme == "https" else WireLane
            self._lane = make(self.address, timeout=self._timeout, max_body=self._max_body, headers=self._headers)
            self._post = self._lane.post
            self._judge.closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls in flight end with `NotSent`, which is transient. Idempotent."""
        lane, self._lane, self._post = self._lane, None, _closed
        self._judge.closed = True
        if lane is not None:
            await lane.aclose()

    def __repr__(self) -> str:
        return f"<Client {self.name!r} at {self.address}>"

    @property
    def budget(self) -> Budget:
        """What its retries are paid from."""
        return self._ledger.budget

    @property
    def stats(self) -> ClientStats:
        """What it has seen so far."""
        return self._ledger.summary()

    @property
    def breaker(self) -> BreakerState:
        """Whether anything is sent to the plugin now, as in `stats`, which take far longer to put together."""
        return self._breaker.state(monotonic())

    def supports(self, method: Method) -> bool:
        """False once the plugin has answered 404 in every spelling; calling it would be answered without being sent."""
        return method not in self._spellings.refused

    def spelling(self, method: Method) -> Spelling | None:
        """The spelling in which the plugin has answered `method`, None where it has not (yet)."""
        return self._spellings.found.get(method)

    async def call(
        self, method: str, args: Mapping[str, object], *, deadline: float | None = None
    ) -> dict[str, Any] | None:
        """Call `method` by its canonical name and return the plugin's reply, ``None`` where it is unsupported.

        ``args`` is the JSON object to send, ``deadline`` as for `exchange`. Raises `TransientError`, `FatalError`, and
        `ValueError` for a name that is no method of the protocol.
        """
        known = Method(method)
        try:
            body = orjson.dumps(args)
        except orjson.JSONEncodeError as error:
            raise FatalError(self.name, known, f"the arguments cannot be sent as JSON: {error}") from error
        try:
            response = await self._attempt(known, body, deadline)
        except TransientError as failure:
            response = await self._try_again(failure, known, body, deadline)
        if response is None:
            return None
        if not response.body:
            return {}
        try:
            document = decode_object(response.body)
            self._ledger.unknown_fields += validate(known, document)[1]
        except IllegalReply as error:
            raise self._judge.illegal(known, response, error) from error
        return document

    async def exchange(
        self, method: Method, body: bytes, deadline: float | None = None, *, patient: bool = False
    ) -> Reply | None:
        """Send `body`, an encoded JSON object, and return the typed reply, None where the method is unsupported.

        A reply without content is `EMPTY`. After ``deadline``, in the loop's time, nothing is sent any more. Raises
        `TransientError` once retries are used up too, at once as `NotSent`, and `FatalError`. While another call is the
        open breaker's probe, one that is ``patient`` waits for what comes of it, where others are not sent.
        """
        path = self._paths.get(method)
        try:
            if path is None or not self._breaker.closed:
                response = await self._attempt(method, body, deadline, patient=patient)
            else:
                response = await self._send(method, path, body, deadline)
                if response.status != 200:
                    response = self._judge.judge(method, response)
        except TransientError as failure:
            response = await self._try_again(failure, method, body, deadline, patient=patient)
        if response is None:
            return None
        return self._decode(method, response)

    # Batches

    def takes_batches(self, method: Method) -> bool | None:
        """Whether the plugin takes batches of `method`; None where it has not been asked yet."""
        return self._batching.taken(method)

    @property
    def generation(self) -> int:
        """How often the plugin was unreachable and came back: each time it may be another one."""
        return self._judge.generation

    @property
    def announcement(self) -> Announcement | None:
        """What the plugin last said in a batch about what need not be sent again; None where it said nothing."""
        return self._batching.announcement

    async def exchange_batch(
        self, method: Method, bundle: Bundle, outcomes: Outcomes, *, tolerant: bool = False
    ) -> None:
        """Send the calls of `bundle`, as many in one request as serves the plugin best, and fill in `outcomes`.

        An outcome is a `Reply` or a `FatalError`; those still None in the end are to be sent one by one, since the
        plugin takes no batches. Raises `TransientError` for the first call that fails so for good, with the outcomes so
        far in place; with ``tolerant`` it is an outcome instead.
        """
        await self._batching.exchange(method, bundle, outcomes, tolerant=tolerant)

    async def attempt_batch(self, batch: BatchMethod, body: bytes, parcel: Parcel) -> Response | None:
        """One request with a batch, None for 404. Raises `TransientError` and `FatalError`."""
        return await self._attempt(batch, body, None, parcel, patient=True)

    @property
    def direct(self) -> bool:
        """Whether a `line` is worth having: the lane can hand replies over without a future."""
        return isinstance(self._lane, WireLane)

    def line(self, receiver: Receiver) -> Line:
        """A line for one caller, who is told of replies instead of awaiting them. Only where the client is `direct`."""
        assert isinstance(self._lane, WireLane)
        return Line(receiver, self._lane, self._paths, self._ledger, self._judge, self)

    # The ways of a line that `exchange` goes as well

    def read(self, method: Method, response: Response) -> Reply | None:
        """What a complete HTTP reply says. Raises `TransientError` and `FatalError`."""
        judged = self._judge.judge(method, response)
        return None if judged is None else self._decode(method, judged)

    def broken(self, method: Method, error: LaneError) -> TransientError | FatalError:
        """The error for a reply that did not arrive."""
        return self._judge.failed(method, error)

    async def exchange_again(self, failure: TransientError, method: Method, body: bytes) -> Reply | None:
        """Go on after a first attempt that failed, as `exchange` would."""
        response = await self._try_again(failure, method, body, None, patient=True)
        return None if response is None else self._decode(method, response)

    def _decode(self, method: Method, response: Response) -> Reply:
        content = response.body
        if content == b"{}" or not content:
            return EMPTY
        try:
            reply, unknown = decode(method, content)
        except IllegalReply as error:
            raise self._judge.illegal(method, response, error) from error
        self._ledger.unknown_fields += unknown
        return reply

    async def _try_again(
        self, failure: TransientError, method: Method, body: bytes, deadline: float | None, *, patient: bool = False
    ) -> Response | None:
        if isinstance(failure, NotSent):
            raise failure

        async def again() -> Response | None:
            self._ledger.retries += 1
            return await self._attempt(method, body, deadline, patient=patient)

        return await retry(
            again, failure, self._policy, self.budget, deadline=deadline, clock=monotonic, sleep=asyncio.sleep
        )

    async def _attempt(
        self,
        method: Route,
        body: bytes,
        deadline: float | None,
        parcel: Parcel | None = None,
        *,
        patient: bool = False,
    ) -> Response | None:
        """One attempt in full generality: as the breaker's probe, finding the spelling."""
        calls = _count(parcel)
        probing = False
        while not self._breaker.closed and not probing:
            probing = self._breaker.try_probe(monotonic())
            if not probing:
                if not (patient and self._breaker.probing):
                    raise self._judge.not_sent(method, Outcome.BREAKER_OPEN, calls=calls)
                await self._ledger.probe_ended()
        verdict: bool | None = None
        try:
            path = self._paths.get(method)
            if path is None:
                response = await self._discover(method, body, deadline, probing=probing, parcel=parcel)
            else:
                response = await self._send(method, path, body, deadline, probing=probing, parcel=parcel)
            response = None if response is None else self._judge.judge(method, response, calls=calls)
            verdict = True
            return response
        except TransientError as error:
            verdict = False if blames_the_peer(error) else None
            raise
        except FatalError:
            verdict = True  # wrong as it is, it is an answer
            raise
        finally:
            if probing:
                self._ledger.end_probe(verdict)

    async def _send(
        self,
        method: Route,
        path: str,
        body: bytes,
        deadline: float | None,
        *,
        probing: bool = False,
        parcel: Parcel | None = None,
    ) -> Response:
        permits = self._permits
        if permits.in_flight < permits.limit:
            permits.in_flight += 1
        else:
            await permits.wait()
        try:
            if not self._breaker.closed and not probing:  # it opened while this call waited
                raise self._judge.not_sent(method, Outcome.BREAKER_OPEN, calls=_count(parcel))
            start = monotonic()
            if deadline is not None and start >= deadline:
                raise self._judge.not_sent(method, Outcome.PAST_DEADLINE)
            response = await self._post(path, body)
        except LaneError as error:
            raise self._judge.failed(method, error, calls=_count(parcel)) from error
        except asyncio.CancelledError:
            self._ledger.outcomes[Outcome.CANCELLED] += _count(parcel)
            raise
        finally:
            permits.release()
        now = monotonic()
        self._judge.arrived(now, start)
        if parcel is not None:
            parcel.seconds = now - start
        return response

    async def _discover(
        self, method: Route, body: bytes, deadline: float | None, *, probing: bool, parcel: Parcel | None
    ) -> Response | None:
        """Ask for a method not known yet, spelling by spelling. One caller asks, the others wait for what it learns."""
        spellings = self._spellings
        while (asking := self._asking.get(method)) is not None:
            # Shielded: a waiter that is cancelled must not take the others with it.
            failure = await asyncio.shield(asking)
            if failure is not None:
                raise failure.again() from failure
            if (path := self._paths.get(method)) is not None:
                return await self._send(method, path, body, deadline, probing=probing, parcel=parcel)
        if method in spellings.refused:
            return None
        answer = self._asking[method] = asyncio.get_running_loop().create_future()
        failure = None
        try:
            for spelling, path in spellings.candidates(method):
                try:
                    response = await self._send(method, path, body, deadline, probing=probing, parcel=parcel)
                except FatalError:
                    spellings.settle(method, spelling)
                    raise
                if response.status != 404:
                    spellings.settle(method, spelling)
                    return response
                self._ledger.outcomes[Outcome.UNSUPPORTED] += 1
            spellings.refuse(method)
            return None
        except TransientError as error:
            failure = error
            raise
        finally:
            del self._asking[method]
            answer.set_result(failure)


def _count(parcel: Parcel | None) -> int:
    return 1 if parcel is None else parcel.calls


async def _never_opened(path: str, body: bytes) -> Response:
    raise RuntimeError("the client is not open: use it inside `async with`")


async def _closed(path: str, body: bytes) -> Response:
    raise Broken("the client was closed")
