"""What there is to see of the calls to plugins: one record for each request, told once, when it is over."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rpc.methods import Route
from rpc.stats import Outcome


class Request(NamedTuple):
    """One HTTP request to a plugin, or one that was held back, and what came of it.

    ``method`` is the canonical name, with ``.batch`` behind it for one that carried several ``calls``. ``body`` and
    ``reply`` are what was sent and what came back, empty where nothing did. ``waited`` are the seconds until it had a
    permit: time of ours. ``travelled`` are those from the first byte sent to the last byte read: the plugin's and the
    network's. ``ended`` is when, as `time.monotonic` says.
    """

    plugin: str
    method: Route
    calls: int
    body: bytes
    reply: bytes
    waited: float
    travelled: float
    outcome: Outcome
    ended: float


class RequestObserver(Protocol):
    """Told of every request of a client, from within its event loop: it must be quick, and must not raise."""

    def requested(self, request: Request) -> None:
        """A request is over."""
        ...
