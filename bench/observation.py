"""Watching a loop call by call: how long each took, and for how much of the loop none was under way.

It stands between the engine and the client, whichever way a call takes there, and costs it a microsecond or so: loops
whose processor time is to be compared run without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any, cast

from bench.latencies import Latencies
from registry import Plugin, Registry
from rpc import Bundle, Client, Method, Outcomes, PluginError, Receiver, Reply


class Observation:
    """What was seen since it began."""

    def __init__(self) -> None:
        self.latencies: dict[str, Latencies] = {}
        self.body = b""
        """The last `node.preExecute` that was sent."""
        self.idle = 0.0
        """Seconds in which no call was under way, until `end`."""
        self._idle_since = perf_counter()
        self._under_way = 0

    def begun(self, method: Method, body: bytes) -> float:
        """A call begins; returns the time."""
        now = perf_counter()
        if not self._under_way:
            self.idle += now - self._idle_since
        self._under_way += 1
        if method is Method.NODE_PRE_EXECUTE:
            self.body = body
        return now

    def ended(self, began: float, latencies: Latencies) -> None:
        """A call ends, one way or another."""
        now = perf_counter()
        self._under_way -= 1
        if not self._under_way:
            self._idle_since = now
        latencies.add(now - began)

    def end(self) -> None:
        """The loop is over."""
        self.idle += perf_counter() - self._idle_since


class _Observed:
    """A client whose every call is timed; in all else it is the client."""

    def __init__(self, client: Client, observation: Observation) -> None:
        self._client = client
        self._exchange = client.exchange
        self._observation = observation
        self._latencies = observation.latencies.setdefault(client.name, Latencies())

    async def exchange(self, method: Method, body: bytes, *, patient: bool = False) -> Reply | None:
        began = self._observation.begun(method, body)
        try:
            return await self._exchange(method, body, patient=patient)
        finally:
            self._observation.ended(began, self._latencies)

    async def exchange_batch(
        self, method: Method, bundle: Bundle, outcomes: Outcomes, *, tolerant: bool = False
    ) -> None:
        """Timed as a whole: calls that travel together wait for each other."""
        began = self._observation.begun(method, bundle.calls[-1].body)
        try:
            await self._client.exchange_batch(method, bundle, outcomes, tolerant=tolerant)
        finally:
            self._observation.ended(began, self._latencies)

    def line(self, receiver: Receiver) -> _ObservedLine:
        return _ObservedLine(self._client, receiver, self._observation, self._latencies)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _ObservedLine:
    """A line whose every call is timed: what the caller takes for the line, and the line for its receiver."""

    def __init__(self, client: Client, receiver: Receiver, observation: Observation, latencies: Latencies) -> None:
        self._line = client.line(self)
        self._receiver = receiver
        self._observation = observation
        self._latencies = latencies
        self._began: float | None = None

    def send(self, method: Method, body: bytes, now: float) -> None:
        self._began = self._observation.begun(method, body)
        self._line.send(method, body, now)

    def cancel(self) -> None:
        self._line.cancel()
        self._end()

    def replied(self, reply: Reply | None, now: float) -> None:
        self._end()
        self._receiver.replied(reply, now)

    def failed(self, error: PluginError) -> None:
        self._end()
        self._receiver.failed(error)

    def _end(self) -> None:
        if self._began is not None:
            self._observation.ended(self._began, self._latencies)
            self._began = None


class WatchedRegistry(Registry):
    """A registry that can hide its plugins, so that a graph is loaded without a call, or have their calls observed."""

    hidden = False
    observation: Observation | None = None

    @contextmanager
    def lease(self) -> Iterator[tuple[Plugin, ...]]:
        with super().lease() as plugins:
            yield () if self.hidden else self._watched(plugins)

    def _watched(self, plugins: Sequence[Plugin]) -> tuple[Plugin, ...]:
        observation = self.observation
        if observation is None:
            return tuple(plugins)
        # To the type checker a stand-in is no client; to the engine it is, since it has all that a client has.
        return tuple(replace(each, client=cast(Client, _Observed(each.client, observation))) for each in plugins)
