"""How near the adaptive limit comes to the best fixed one, for plugins of several kinds.

For each kind a client of every fixed concurrency and two adaptive ones call the same server in turns, each for the same
time and with more callers than it may have calls in flight. One adaptive client is new in each round, so that its time
to learn is in its figure; the other goes on with what it has learnt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from statistics import median
from typing import Any, Final

import msgspec

from bench import servers
from bench.plugin_server import Behaviour
from rpc import BreakerPolicy, Client, Method, Outcome, PluginError, Reply, RetryPolicy

FIXED: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
CALLERS: Final = 128
"""As many nodes as the engine has under way at a time."""
_SAMPLE_SECONDS: Final = 0.02
_BODY: Final = b'{"workflow":{"metadata":{"name":"fan-out"}},"template":{"name":"work"},"node":{"message":"%b"}}' % (
    b"x" * 400
)

Watch = Callable[[str], None]


class Sample(msgspec.Struct, frozen=True):
    """The limit at a time, in seconds since the client was made."""

    second: float
    limit: int


class Entrant(msgspec.Struct, frozen=True, kw_only=True):
    """A client, and the calls/s of each of its rounds. ``limits`` are of an adaptive one's last round."""

    name: str
    rounds: list[float]
    failures: int
    limits: list[Sample] = []

    @property
    def calls_per_second(self) -> float:
        """The median of its rounds."""
        return median(self.rounds)


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of server: the fixed clients by their concurrency, and the two adaptive ones."""

    server: str
    about: str
    fixed: dict[int, Entrant]
    learning: Entrant
    settled: Entrant

    @property
    def best(self) -> int:
        """The fixed concurrency with the most calls/s."""
        return max(self.fixed, key=lambda limit: self.fixed[limit].calls_per_second)

    def share(self, adaptive: Entrant) -> float:
        """The calls/s of an adaptive client over the best fixed one's: the median of the rounds, each by itself."""
        pairs = zip(adaptive.rounds, self.fixed[self.best].rounds, strict=True)
        return median(ours / best for ours, best in pairs)


@contextmanager
def _plugin(latency_ms: float) -> Iterator[str]:
    replies: dict[Method, dict[str, Any]] = {Method.NODE_PRE_EXECUTE: {}}
    with servers.plugins([Behaviour(name="plugin", replies=replies, latency_ms=latency_ms)]) as running:
        yield running.addresses[0]


@contextmanager
def _nginx() -> Iterator[str]:
    with servers.nginx([Behaviour(name="plugin", replies={Method.NODE_PRE_EXECUTE: {}})]) as running:
        yield running.addresses[0]


SERVERS: Final[Mapping[str, tuple[str, Callable[[], AbstractContextManager[str]]]]] = {
    "plugin": ("a plugin on the SDK", lambda: _plugin(0.0)),
    "plugin-5ms": ("a plugin on the SDK that takes 5 ms", lambda: _plugin(5.0)),
    "plugin-50ms": ("a plugin on the SDK that takes 50 ms", lambda: _plugin(50.0)),
    "nginx": ("nginx, one worker", _nginx),
    "http.server": ("Python's http.server, one thread, a backlog of 5", servers.plain),
}


async def sweep(name: str, rounds: int, seconds: float, watch: Watch) -> Sweep:
    """Measure one kind of server. Raises `servers.Missing`."""
    about, start = SERVERS[name]
    with start() as address:
        async with AsyncExitStack() as stack:
            fixed = {limit: await stack.enter_async_context(_client(address, limit)) for limit in FIXED}
            settled = await stack.enter_async_context(_client(address, None))
            for client in (*fixed.values(), settled):  # connections open, spelling known, and for one something learnt
                await drive(client, seconds if client is settled else seconds / 4)
            taken: dict[int, list[float]] = {limit: [] for limit in FIXED}
            cold: list[float] = []
            warm: list[float] = []
            failures = 0
            for number in range(rounds):
                watch(f"{name}: round {number + 1} of {rounds}")
                async with _client(address, None) as fresh:
                    entrants = [(taken[limit], fixed[limit]) for limit in FIXED] + [(warm, settled), (cold, fresh)]
                    limits: dict[Client, list[Sample]] = {settled: [], fresh: []}
                    # Every other round the other way round, so that nobody always follows the same neighbour.
                    for rates, client in reversed(entrants) if number % 2 else entrants:
                        rates.append(await drive(client, seconds, limits.get(client)))
                    failures += _failures(fresh)
            return Sweep(
                server=name,
                about=about,
                fixed={
                    limit: Entrant(name=str(limit), rounds=taken[limit], failures=_failures(fixed[limit]))
                    for limit in FIXED
                },
                learning=Entrant(name="adaptive, new", rounds=cold, failures=failures, limits=limits[fresh]),
                settled=Entrant(
                    name="adaptive, settled", rounds=warm, failures=_failures(settled), limits=limits[settled]
                ),
            )


def _client(address: str, limit: int | None) -> Client:
    return Client(
        address,
        protocol="short",
        concurrency=limit or "adaptive",
        timeout=10.0,
        retry=RetryPolicy(attempts=1),
        breaker=BreakerPolicy(min_calls=1 << 60),
    )


def _failures(client: Client) -> int:
    return client.stats.attempts - client.stats.outcomes[Outcome.ANSWERED]


async def drive(client: Client, seconds: float, limits: list[Sample] | None = None) -> float:
    """Call with `CALLERS` callers for `seconds`; returns calls/s. ``limits`` is filled with samples of the limit."""
    await client.exchange(Method.NODE_PRE_EXECUTE, _BODY)  # the spelling is asked for by one caller alone
    clock = asyncio.get_running_loop().time
    began = clock()
    until = began + seconds
    callers = [_Caller(client, until) for _ in range(CALLERS)]
    for caller in callers:
        caller.call()
    while (now := clock()) < until:
        if limits is not None:
            limits.append(Sample(now - began, client.stats.limit))
        await asyncio.sleep(min(_SAMPLE_SECONDS, until - now))
    done = sum(caller.answered for caller in callers)
    took = clock() - began
    await asyncio.gather(*(caller.over for caller in callers))
    return done / took


class _Caller:
    """Calls again as soon as it is answered, until its time is over (`rpc.line.Receiver`)."""

    def __init__(self, client: Client, until: float) -> None:
        loop = asyncio.get_running_loop()
        self._line = client.line(self)
        self._clock = loop.time
        self._until = until
        self.answered = 0
        self.over: asyncio.Future[None] = loop.create_future()

    def call(self) -> None:
        if self._clock() < self._until:
            self._line.send(Method.NODE_PRE_EXECUTE, _BODY)
        else:
            self.over.set_result(None)

    def replied(self, reply: Reply | None) -> None:
        self.answered += 1
        self.call()

    def failed(self, error: PluginError) -> None:
        self.call()
