"""What a fleet asks of that which its shards run on: one is started, mail is exchanged with it, it is known to be gone.

`engine.cluster.processes` has child processes and sockets, `engine.cluster.actors` actors of a Ray cluster. None of
them knows what a mail says.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Protocol, Self

SHARD: Final = "engine.cluster.shard:Shard"
"""What makes the `Served` of a shard of its settings, where it runs: ``"module:callable"``."""


UNDER_WAY: Final = 3
"""Exchanges with a shard, at most. Two wait for what it has to say, the second of which brought what there was to be
said to it; where there is more to be said, the third has the first answered."""


class TransportError(Exception):
    """There is nothing for shards to run on, or one could not be started: says in one line what, and why."""


class Gone(Exception):
    """A shard is no more, and will not answer again: says in one line which, and why."""


class Link(Protocol):
    """One incarnation of a shard, as its driver sees it."""

    name: str
    """For logs and people: ``shard 3 (process 4711)``."""

    async def exchange(self, mail: bytes) -> bytes:
        """Send mail, and wait for the shard's.

        `UNDER_WAY` may be, which are answered in the order in which they were sent. A shard that was merely stopped, or
        is stuck, does not answer, and nothing says so: a deadline is the caller's. One whose wait is cancelled was sent
        all the same, and its answer is lost. Raises `Gone`.
        """
        ...

    async def kill(self) -> None:
        """End the shard at once, be it stopped or stuck; it may be gone already. Who waits for an answer is told."""
        ...

    async def close(self) -> None:
        """End the shard in good order, within seconds, after which it is killed. It is drained already."""
        ...


class Transport(Protocol):
    """An async context manager: entering it raises `TransportError`; what it started and still runs is killed at the
    end."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def start(self, number: int, settings: bytes) -> Link:
        """Start a shard, and wait until it can be sent mail. The number is for its name alone: there may be two of it
        for a while. Raises `TransportError`, also where the shard refuses its settings; who cancels leaves nothing
        behind."""
        ...


class Served(Protocol):
    """A shard, where it runs: an async context manager, which is left once the driver closes the link or is gone.

    What it raises, on being entered or by `exchange`, ends the shard, and the driver is told.
    """

    deadline: float
    """Seconds without an exchange after which its process ends at once, whatever it does: its driver is gone, or has
    taken it for dead, and others have its workflows."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def exchange(self, mail: bytes) -> bytes:
        """Take mail, and wait until there is some to be sent back. Called again while others wait, which are answered
        before, the first of them at once where there are `UNDER_WAY`."""
        ...
