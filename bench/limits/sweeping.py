"""How near the adaptive limit comes to the best fixed one, for plugins of several kinds.

First a sweep over fixed numbers finds the best one. Then it and an adaptive client call the same server in short turns,
one after the other, and each turn of the one is compared with the turns of the other beside it: what a neighbour does
to the machine it does to both. A second adaptive client is new each time, so that its learning is in its figure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from statistics import fmean, median
from typing import Any, Final

import msgspec

from bench import servers
from bench.plugin_server import Behaviour
from rpc import BatchPolicy, BreakerPolicy, Client, Method, Outcome, RetryPolicy
from rpc.batches import Call, CallBatch

FIXED: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
CALLERS: Final = 128
"""As many nodes as the engine has under way at a time."""
_PASSES: Final = 8
"""Over the fixed numbers."""
_NEW_EVERY: Final = 2
"""Turns of the settled client for one of a new one."""
_SHORT: Final = 0.1
_TURN: Final = 0.5
_LEARNING: Final = 3.0
"""Seconds of a turn: in the sweep, in the duel, and of a client that begins from nothing."""
_SAMPLE_SECONDS: Final = 0.02
_CALL = Call(b'{"workflow":{},"template":{}', "leaf", b"{}", b',"node":{"message":"%b"}}' % (b"x" * 400))
_ASKING = 8
"""Who ask at the same time, so that there are always as many calls as callers: none waits for another's last."""
_ROUND = 100

Watch = Callable[[str], None]


class Sample(msgspec.Struct, frozen=True):
    """The limit at a time, in seconds since the client was made."""

    second: float
    limit: int


class Fixed(msgspec.Struct, frozen=True):
    """A fixed number of calls at a time, and the calls/s that it came to."""

    limit: int
    calls_per_second: float


class Adaptive(msgspec.Struct, frozen=True, kw_only=True):
    """An adaptive client: its calls/s, and those over the best fixed number's, turn by turn.

    ``limits`` are those of its last turn.
    """

    name: str
    calls_per_second: float
    shares: list[float]
    limits: list[Sample]

    @property
    def share(self) -> float:
        """The median of its turns."""
        return median(self.shares)


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of server. ``failures`` counts calls that were not answered, of everyone."""

    server: str
    about: str
    fixed: list[Fixed]
    settled: Adaptive
    learning: Adaptive
    failures: int

    @property
    def best(self) -> Fixed:
        """The fixed number with the most calls/s."""
        return _best(self.fixed)


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
    "nginx": ("nginx, one worker", _nginx),
    "http.server": ("Python's http.server, one thread, a backlog of 5", servers.plain),
}


async def sweep(name: str, turns: int, watch: Watch) -> Sweep:
    """Measure one kind of server, with so many turns of a settled client. Raises `servers.Missing`."""
    about, start = SERVERS[name]
    with start() as address:
        async with AsyncExitStack() as stack:
            watch(f"{name}: fixed numbers")
            clients = {limit: await stack.enter_async_context(_client(address, limit)) for limit in FIXED}
            fixed = await _compare(clients)
            best = clients[_best(fixed).limit]
            adaptive = await stack.enter_async_context(_client(address, None))
            await drive(adaptive, _LEARNING)
            settled, learning = _Duel("adaptive", best), _Duel("adaptive, from the start", best)
            failures = 0
            for number in range(turns):
                watch(f"{name}: turn {number + 1} of {turns}")
                await settled.turn(adaptive, _TURN)
                if number % _NEW_EVERY == 0:
                    async with _client(address, None) as fresh:
                        await learning.turn(fresh, _LEARNING)
                        failures += _failures(fresh)
            failures += sum(map(_failures, (*clients.values(), adaptive)))
    return Sweep(
        server=name,
        about=about,
        fixed=fixed,
        settled=settled.adaptive(),
        learning=learning.adaptive(),
        failures=failures,
    )


async def _compare(clients: Mapping[int, Client]) -> list[Fixed]:
    """The calls/s of each, from several passes over all, up and down. Each pass is compared in itself.

    The machine may well be twice as fast in one pass as in the next.
    """
    for client in clients.values():
        await drive(client, _SHORT)  # its connections open
    passes: list[dict[int, float]] = []
    for number in range(_PASSES):
        order = sorted(clients, reverse=bool(number % 2))
        passes.append({limit: await drive(clients[limit], _SHORT) for limit in order})
    level = median(fmean(rates.values()) for rates in passes)
    return [Fixed(limit, level * median(rates[limit] / fmean(rates.values()) for rates in passes)) for limit in clients]


def _best(fixed: Sequence[Fixed]) -> Fixed:
    return max(fixed, key=lambda each: each.calls_per_second)


class _Duel:
    """An adaptive client's turns, each between two of the best fixed client's."""

    def __init__(self, name: str, best: Client) -> None:
        self._name = name
        self._best = best
        self._rates: list[float] = []
        self._shares: list[float] = []
        self._limits: list[Sample] = []

    async def turn(self, client: Client, seconds: float) -> None:
        self._limits = []
        before = await drive(self._best, seconds / 2)
        rate = await drive(client, seconds, self._limits)
        after = await drive(self._best, seconds / 2)
        self._rates.append(rate)
        self._shares.append(2 * rate / (before + after))

    def adaptive(self) -> Adaptive:
        return Adaptive(name=self._name, calls_per_second=median(self._rates), shares=self._shares, limits=self._limits)


def _client(address: str, limit: int | None) -> Client:
    return Client(
        address,
        protocol="short",
        concurrency=limit or "adaptive",
        timeout=10.0,
        retry=RetryPolicy(attempts=1),
        batch=BatchPolicy(enabled=False),
        breaker=BreakerPolicy(min_calls=1 << 60),
    )


def _failures(client: Client) -> int:
    return client.stats.attempts - client.stats.outcomes[Outcome.ANSWERED]


async def drive(client: Client, seconds: float, limits: list[Sample] | None = None, *, callers: int = CALLERS) -> float:
    """Call for `seconds`; returns calls/s. ``limits`` is filled with samples of the limit."""
    await client.call("node.preExecute", {})  # the spelling is asked for by one caller alone
    clock = asyncio.get_running_loop().time
    before, began = client.stats.outcomes[Outcome.ANSWERED], clock()
    until = began + seconds
    asking = min(_ASKING, callers)
    calling = [asyncio.create_task(_call(client, callers // asking, until)) for _ in range(asking)]
    while (now := clock()) < until:
        if limits is not None:
            limits.append(Sample(now - began, client.limit))
        await asyncio.sleep(min(_SAMPLE_SECONDS, until - now))
    done = client.stats.outcomes[Outcome.ANSWERED] - before
    took = clock() - began
    await asyncio.gather(*calling)
    if not done:  # a turn in which the machine was busy with something else
        done, took = client.stats.outcomes[Outcome.ANSWERED] - before, clock() - began
    return done / took


async def _call(client: Client, width: int, until: float) -> None:
    """Call again and again, so many calls at a time, until the time is over."""
    clock, batch = asyncio.get_running_loop().time, CallBatch(b"{}", [_CALL] * _ROUND)
    while clock() < until:
        await client.ask(Method.NODE_PRE_EXECUTE, batch, [None] * _ROUND, tolerant=True, width=width)
