"""One plugin, called: what it may be asked, and how long one waits for it."""

from __future__ import annotations

import asyncio
import typing
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import orjson

from rpc.address import parse_address
from rpc.attempts import Attempts
from rpc.batches import Announcement, CallBatch
from rpc.breaker import BreakerPolicy, BreakerState
from rpc.budget import Budget
from rpc.credentials import Credentials
from rpc.delivery import Delivery
from rpc.destinations import ANYWHERE, Destinations
from rpc.errors import FatalError
from rpc.journeys import Journeys
from rpc.judging import Judge
from rpc.lanes import Balance, Broken, OwnLane, Waiting
from rpc.ledger import Ledger
from rpc.logs import get_logger
from rpc.methods import SPELLINGS, Method, Route, Spelling
from rpc.observing import RequestObserver
from rpc.renewal import Renewal
from rpc.replies import Unknown, decode_object, validate
from rpc.retries import RetryPolicy
from rpc.sizing import BatchPolicy
from rpc.spellings import NOT_FOUND_TTL, Spellings
from rpc.stats import ClientStats
from rpc.tally import Tally
from rpc.tls import Tls
from rpc.window import Outcomes

if TYPE_CHECKING:
    from rpc.lanes.aiohttp import AiohttpLane
    from rpc.lanes.wire import WireLane
    from rpc.tracing import Tracing

LaneName = Literal["auto", "aiohttp", "wire"]
Protocol = Literal["auto"] | Spelling

TIMEOUT: Final = 1.0
"""Seconds of one HTTP exchange, unless a plugin is given its own."""
MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of a reply, likewise."""
WIDTH: Final = 128
"""Calls of one `Client.ask` that travel at a time, unless its caller says otherwise."""

_log = get_logger(__name__)

_DEFAULT_RETRY = RetryPolicy()
_DEFAULT_BREAKER = BreakerPolicy()
_DEFAULT_BATCH = BatchPolicy()


def _lane_of(name: LaneName) -> type[AiohttpLane | WireLane]:
    """The lane to travel by. It is imported here: aiohttp takes longer than all of ours, and most do without it."""
    if name == "aiohttp":
        from rpc.lanes.aiohttp import AiohttpLane

        return AiohttpLane
    from rpc.lanes.wire import WireLane

    return WireLane


class Client:
    """Calls one plugin. An async context manager, open between ``async with`` and its end; for one event loop.

    ``address`` is an http, https or ``unix:///path`` address; ``name`` is what errors and statistics call the plugin,
    by default its address. ``timeout`` is the total time of one HTTP exchange in seconds, ``concurrency`` the most of
    them at a time, ``max_body`` the most bytes of a reply that are read; ``token`` is sent as a bearer token
    (RFC 6750), ``headers`` besides, and both are shown by nothing; ``tls`` is for an https address, by default with the
    system's authorities. Where the plugin refuses them, those are read again that are a `Secret` with a file, or TLS's.
    A 404 is believed for ``not_found_ttl`` seconds. Of a name with several addresses the first that answers has all
    connections, or with ``balance="all"`` they are spread over all of them. ``budget`` is given where several clients
    are to share one, ``observer`` is told of every request. ``destinations`` says what addresses may be dialled: a call
    where none may is a `FatalError`. Raises `ValueError` where one of them makes no sense.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str | None = None,
        lane: LaneName = "auto",
        protocol: Protocol = "auto",
        timeout: float = TIMEOUT,
        concurrency: int | Literal["adaptive"] = "adaptive",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        max_body: int = MAX_BODY,
        not_found_ttl: float = NOT_FOUND_TTL,
        retry: RetryPolicy = _DEFAULT_RETRY,
        breaker: BreakerPolicy = _DEFAULT_BREAKER,
        batch: BatchPolicy = _DEFAULT_BATCH,
        budget: Budget | None = None,
        observer: RequestObserver | None = None,
        destinations: Destinations = ANYWHERE,
        balance: Balance = "first",
    ) -> None:
        self.address = parse_address(address)
        self.name = name or address
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout must be a positive, finite number of seconds, not {timeout}")
        if not not_found_ttl > 0:
            raise ValueError(f"not_found_ttl must be a positive number of seconds, not {not_found_ttl}")
        if concurrency != "adaptive" and concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, or 'adaptive', not {concurrency}")
        if max_body < 2:
            raise ValueError(f"max_body must be at least 2 bytes, the size of an empty object, not {max_body}")
        for option, value, choices in (
            ("protocol", protocol, ("auto", *SPELLINGS)),
            ("lane", lane, typing.get_args(LaneName)),
            ("balance", balance, typing.get_args(Balance)),
        ):
            if value not in choices:
                expected = " or ".join(f'"{choice}"' for choice in choices)
                raise ValueError(f"{option} must be {expected}, not {value!r}")
        if tls is not None and self.address.scheme != "https":
            raise ValueError(f"tls is for https addresses, not {self.address}")
        self._credentials = Credentials(token, headers or {}, tls)
        self._lane_name: LaneName = lane
        self._destinations = destinations
        self._balance: Balance = balance
        self._timeout = timeout
        self._max_body = max_body

        self._spellings = Spellings(protocol, self.address.prefix, not_found_ttl)
        self._ledger = Ledger(self.name, None if concurrency == "adaptive" else concurrency, breaker, budget)
        self._judge = Judge(self.name, self._ledger, self._spellings)
        self._judge.secrets = self._credentials.secrets
        self._renewal = Renewal(lambda: self._credentials, self.renew, monotonic, asyncio.sleep)
        self._attempts = Attempts(
            self._ledger, self._judge, self._spellings, retry, _NEVER_OPENED, observer, self._renewal
        )
        self._delivery = Delivery(self._attempts, batch, timeout)
        self._lane: OwnLane | None = None
        self.on_secrets: Callable[[tuple[str, ...]], object] | None = None
        """Who is told of the credentials that `renew` puts in force, before they are sent."""

    async def __aenter__(self) -> Self:
        if self._lane is None:
            self._lane = _lane_of(self._lane_name)(
                self.address,
                timeout=self._timeout,
                max_body=self._max_body,
                headers=self._credentials.lines,
                destinations=self._destinations,
                balance=self._balance,
                tls=self._credentials.tls,
            )
            self._say_if_unverified()
            self._attempts.lane = self._lane
            self._judge.closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls in flight end with `NotSent`, which is transient. Idempotent."""
        lane, self._lane = self._lane, None
        self._attempts.lane = _CLOSED
        self._judge.closed = True
        if lane is not None:
            await lane.aclose()

    def renew(self, credentials: Credentials) -> None:
        """Send these from now on, and trust as they say; what is under way goes on to its end. Open or not."""
        before, self._credentials = self._credentials, credentials
        if credentials == before:
            return
        # What the old ones were sent with may be answered, and tell of them, yet.
        self._judge.secrets = (*credentials.secrets, *before.secrets)
        if self.on_secrets is not None:
            self.on_secrets(credentials.secrets)
        if self._lane is not None:
            self._lane.renew(credentials)
            if credentials.tls != before.tls:
                self._say_if_unverified()
        self._renewal.changed()

    async def reread(self, credentials: Credentials) -> None:
        """The same, as their files are by now."""
        await self._renewal.read(credentials)

    def _say_if_unverified(self) -> None:
        tls = self._credentials.tls
        if tls is not None and not tls.verify:
            _log.warning(
                "the plugin's certificate is not verified: whoever answers may be anybody",
                name=self.name,
                address=str(self.address),
            )

    def __repr__(self) -> str:
        return f"<Client {self.name!r} at {self.address}>"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of the credentials in force nobody else should see."""
        return self._credentials.secrets

    @property
    def budget(self) -> Budget:
        """What its retries are paid from."""
        return self._ledger.budget

    @property
    def stats(self) -> ClientStats:
        """What it has seen so far."""
        return self._ledger.summary()

    @property
    def tallies(self) -> Mapping[Route, Tally]:
        """What it has seen so far of each method, and of its batches: calls by outcome, and how long they took."""
        return self._ledger.tallies

    @property
    def breaker(self) -> BreakerState:
        """Whether anything is sent to the plugin now, as in `stats`, which take far longer to put together."""
        return self._ledger.breaker.state(monotonic())

    @property
    def limit(self) -> int:
        """How many requests may be under way now, likewise."""
        return self._ledger.permits.limit

    @property
    def observer(self) -> RequestObserver | None:
        """Who is told of every request; to be set at any time, it counts from the next `ask` or `call` on."""
        return self._attempts.observer

    @observer.setter
    def observer(self, observer: RequestObserver | None) -> None:
        self._attempts.observer = observer

    def trace(self, tracing: Tracing | None) -> None:
        """Make a span of every request, from the next `ask` or `call` on; see `rpc.tracers.find_tracing`."""
        self._attempts.tracing = tracing.requests_to(self.name, self.address) if tracing is not None else None

    def supports(self, method: Method) -> bool:
        """False once the plugin has answered 404 in every spelling, for ``not_found_ttl`` seconds.

        For as long a call is answered without being sent.
        """
        return not self._spellings.refuses(method)

    def in_doubt(self, method: Method) -> bool:
        """Whether the plugin did not have the method, but so long ago that it is asked again."""
        return self._spellings.in_doubt(method)

    def spelling(self, method: Method) -> Spelling | None:
        """The spelling in which the plugin has answered `method`, None where it has not (yet)."""
        return self._spellings.found.get(method)

    def takes_batches(self, method: Method) -> bool | None:
        """Whether the plugin takes batches of `method`; None where it has not been asked yet."""
        return self._delivery.takes_batches(method)

    @property
    def generation(self) -> int:
        """How often the plugin was unreachable and came back, or had a method that it did not have before: each time it
        may be another one."""
        return self._judge.generation

    @property
    def announcement(self) -> Announcement | None:
        """What the plugin last said in a batch about what need not be sent again; None where it said nothing."""
        return self._delivery.announcement

    async def call(
        self, method: str, args: Mapping[str, object], *, deadline: float | None = None
    ) -> dict[str, Any] | None:
        """Call `method` by its canonical name and return the plugin's reply, ``None`` where it is unsupported.

        ``args`` is the JSON object to send. After ``deadline``, in the loop's time, nothing is sent any more. Raises
        `TransientError` once retries are used up too, at once as `NotSent`; `FatalError`; and `ValueError` for a name
        that is no method of the protocol.
        """
        known = Method(method)
        try:
            body = orjson.dumps(args)
        except orjson.JSONEncodeError as error:
            raise FatalError(self.name, known, f"the arguments cannot be sent as JSON: {error}") from error
        return await self._attempts.call(known, body, partial(_document, known), deadline=deadline)

    async def ask(
        self,
        method: Method,
        batch: CallBatch,
        outcomes: Outcomes,
        *,
        tolerant: bool = False,
        width: int = WIDTH,
        journeys: Journeys | None = None,
    ) -> None:
        """Make the calls of `batch`, in as few requests as the plugin takes, and put what came of each in `outcomes`.

        ``outcomes`` has a None for each call. It gets a `Reply`, which is `EMPTY` where there is nothing in it or the
        plugin does not know the method, or a `FatalError`. Of calls that travel one by one there are at most `width`
        at a time. A call that fails transiently after its retries makes an outcome if ``tolerant``; else that
        `TransientError` is raised, with the outcomes so far in place and no call in flight. ``journeys`` is told which
        requests carried which calls.
        """
        await self._delivery.deliver(method, batch, outcomes, tolerant=tolerant, width=width, journeys=journeys)


def _document(method: Method, body: bytes) -> tuple[dict[str, Any], Unknown]:
    if not body:
        return {}, ()
    document = decode_object(body)
    return document, validate(method, document)[1]


class _NoLane:
    """What carries calls while the client is not open."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None = None) -> None:
        waiting.set_exception(self._error)

    async def aclose(self) -> None:
        """There is nothing to close."""


_NEVER_OPENED = _NoLane(RuntimeError("the client is not open: use it inside `async with`"))
_CLOSED = _NoLane(Broken("the client was closed"))
