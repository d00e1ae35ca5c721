"""Watching a loop call by call: how long each took, and for how much of the loop none was under way.

An observer of the client's requests. It costs half a microsecond or so a call: loops whose processor time is to be
compared run without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from bench.latencies import Latencies
from registry import Plugin, Registry
from rpc import Method, Outcome, Request
from rpc.methods import BATCHES

_NOT_SENT = (Outcome.BREAKER_OPEN, Outcome.PAST_DEADLINE)
_PRE = (Method.NODE_PRE_EXECUTE, BATCHES[Method.NODE_PRE_EXECUTE])


class Observation:
    """What was seen since it began."""

    def __init__(self) -> None:
        self.latencies: dict[str, Latencies] = {}
        """Of travelling, by plugin. What a request waited for its permit is no doing of the plugin's."""
        self.body = b""
        """The last `node.preExecute` that was sent."""
        self._gaps: list[tuple[float, float]] = [(monotonic(), float("inf"))]
        """When nothing is known to have been under way, in order."""

    def requested(self, request: Request) -> None:
        """See `rpc.RequestObserver`."""
        latencies = self.latencies.get(request.plugin)
        if latencies is None:
            latencies = self.latencies[request.plugin] = Latencies()
        latencies.add(request.travelled)
        if request.method in _PRE:
            self.body = request.body
        began = request.ended - request.travelled - request.waited
        if began <= self._gaps[-1][0]:
            self._close(began, request.ended)
        else:
            self._gaps[-1:] = [(self._gaps[-1][0], began), (request.ended, float("inf"))]

    def _close(self, began: float, ended: float) -> None:
        """Requests end in order, so what is known of the time before this one began stays as it is."""
        gaps = self._gaps
        gaps.pop()
        while gaps and gaps[-1][1] > began:
            start, _ = gaps.pop()
            if start < began:
                gaps.append((start, began))
                break
        gaps.append((ended, float("inf")))

    def idle(self) -> float:
        """Seconds in which no call was under way, until now."""
        return sum(min(end, monotonic()) - start for start, end in self._gaps)


@contextmanager
def observed(plugins: tuple[Plugin, ...]) -> Iterator[Observation]:
    """Have the requests to all these plugins observed for as long as the context lasts."""
    observation = Observation()
    for plugin in plugins:
        plugin.client.observer = observation
    try:
        yield observation
    finally:
        for plugin in plugins:
            plugin.client.observer = None


def sent(plugin: Plugin) -> int:
    """Attempts so far that touched a socket."""
    return sum(count for outcome, count in plugin.client.stats.outcomes.items() if outcome not in _NOT_SENT)


class HiddenRegistry(Registry):
    """A registry that can hide its plugins, so that a graph is loaded without a call."""

    hidden = False

    @contextmanager
    def lease(self) -> Iterator[tuple[Plugin, ...]]:
        with super().lease() as plugins:
            yield () if self.hidden else plugins
