"""What all connections of a served plugin have in common, and how much of this process strangers may take.

Whoever can reach the port can send, token or not. So there are at most so many connections, their unanswered requests
are bounded in all, and none is waited for without an end.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

ROOM: Final = 4
"""Request bodies of the largest size that all connections together may have under way."""
_ROUND: Final = 1.0
"""Seconds between two looks at how long peers have been waited for."""
_FLUSH: Final = 0.25
"""Seconds that a peer has to take its last reply when the plugin stops, or to send what it has just connected for."""


class Connected(Protocol):
    """What a listener needs of a connection. ``task`` is the function that it waits for, ``lost`` its end."""

    task: asyncio.Task[None] | None
    lost: asyncio.Future[None]

    def look_at_clock(self, now: float) -> None:
        """End what has taken too long."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether it is to be waited for."""
        ...

    def stop(self) -> None:
        """Take no more requests; what is under way is answered."""
        ...

    def hang_up(self) -> None:
        """Close if nothing is under way."""
        ...

    def deafen(self) -> None:
        """Begin nothing more."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Listener:
    """The connections there are, at most ``most``, and ``held``, the bytes of their unanswered requests' bodies."""

    def __init__(self, most: int, max_body: int) -> None:
        self.connections: set[Connected] = set()
        self.held = 0
        self.is_stopping = False
        self._most = most
        self._room = ROOM * max_body
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """Whether one connection more would be too many."""
        return len(self.connections) >= self._most

    @property
    def is_crowded(self) -> bool:
        """Whether requests under way take more than there is room for."""
        return self.held > self._room

    def look_around(self) -> None:
        """From now on, until `close`, tell connections the time, so that they end what takes too long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            connection.look_at_clock(now)
        self._timer = loop.call_later(_ROUND, self.look_around)

    async def close(self, grace: float) -> None:
        """No more looking around: stop all connections. Requests that are under way have `grace` seconds."""
        if self._timer is not None:
            self._timer.cancel()
        self.is_stopping = True
        connections = self.connections
        until = asyncio.get_running_loop().time() + grace
        for connection in list(connections):
            connection.stop()
        await self._closed(connections, min(grace, _FLUSH))  # who has just connected has so long to begin
        for connection in list(connections):
            connection.hang_up()
        busy = {connection for connection in connections if connection.is_busy}
        await self._closed(busy, until - asyncio.get_running_loop().time())
        for connection in connections:
            connection.deafen()
        await asyncio.sleep(0)  # who is cancelled before the first step is never awaited, nor comes to an end
        late = [connection.task for connection in connections if connection.task is not None]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._closed(connections, _FLUSH)  # what was answered is still on its way to the peer
        for connection in list(connections):
            connection.abort()
            await connection.lost

    async def _closed(self, connections: set[Connected], timeout: float) -> None:
        """Wait so many seconds at most for these to be closed."""
        lost = {connection.lost for connection in connections}
        if lost and timeout > 0:
            await asyncio.wait(lost, timeout=timeout)
