"""Following the ConfigMaps of a cluster: listed once, then watched, and listed anew where the watch lost its place.

What is known stays known while the API server is away.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, NamedTuple, Protocol

from rpc.logs import get_logger

FIRST_PAUSE: Final = 0.5
"""Seconds at most before a first attempt to go on; the pause doubles with each that fails."""
LONGEST_PAUSE: Final = 30.0
"""Seconds: so late, at most, is it noticed that the API server is back."""
_LASTING: Final = 1.0
"""Seconds for which a watch lasts that is not worth a pause before the next."""

_log = get_logger(__name__)

Manifest = dict[str, Any]
Manifests = Mapping[str, Manifest]
"""ConfigMaps by name."""


class ClusterError(Exception):
    """The API server could not be asked, or did not do what it was asked; the message is one line that says what."""


class Gone(ClusterError):
    """The API server does not know any more what happened since the version that was asked for (410)."""


class Listing(NamedTuple):
    """All ConfigMaps at one moment, and the name of that moment."""

    manifests: Manifests
    version: str


class Event(NamedTuple):
    """``kind`` is ADDED, MODIFIED, DELETED, or BOOKMARK, which is about nothing but the ``version``."""

    kind: str
    name: str
    manifest: Manifest
    version: str


class Session(Protocol):
    """Connections to an API server. Everything raises `ClusterError`."""

    async def list(self) -> Listing: ...
    def watch(self, version: str) -> AsyncGenerator[Event, None]:
        """What happens after that moment, until the API server ends the watch."""
        ...


class Cluster(Protocol):
    """Where ConfigMaps are."""

    def session(self) -> AbstractAsyncContextManager[Session]: ...


async def follow(
    cluster: Cluster,
    found: Callable[[Manifests], Awaitable[None]],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Tell `found` of what there is, now and after each change, until cancelled.

    Each reason of a failure is said once until that is over, which is said as well.
    """
    failures, said = 0, set[str]()
    while True:
        try:
            async with cluster.session() as session:
                known, version = await session.list()
                await found(known)
                while True:
                    began = clock()
                    async with aclosing(session.watch(version)) as events:
                        async for event in events:
                            failures = _over(said)
                            version = event.version or version
                            if event.kind != "BOOKMARK":
                                known = _after(known, event)
                                await found(known)
                    if clock() - began >= _LASTING:
                        failures = _over(said)
                    else:
                        failures += 1
                        await sleep(_pause(failures))
        except Gone:
            failures += 1
            if failures == 1:
                continue
        except ClusterError as error:
            failures += 1
            if str(error) not in said:
                said.add(str(error))
                _log.error("cannot follow configmaps, keeping what was found", problem=str(error))
        await sleep(_pause(failures))


def _after(known: Manifests, event: Event) -> Manifests:
    others = {name: manifest for name, manifest in known.items() if name != event.name}
    return others if event.kind == "DELETED" else {**others, event.name: event.manifest}


def _over(said: set[str]) -> int:
    """Say so, where a failure was said; how many there are then."""
    if said:
        _log.info("configmaps are followed again")
        said.clear()
    return 0


def _pause(failures: int) -> float:
    """At random, so that many who lost one API server do not come back at once."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (min(failures, 16) - 1))
    return longest * random.uniform(0.5, 1)
