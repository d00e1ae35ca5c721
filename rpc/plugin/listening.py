"""What all connections of a served plugin have in common, and how much of this process strangers may take.

Whoever can reach the port can send, token or not. So there are at most so many connections, their unanswered requests
are bounded in all, and none is waited for without an end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rpc.plugin.connection import Connection

ROOM: Final = 4
"""Request bodies of the largest size that all connections together may have under way."""
_ROUND: Final = 1.0
"""Seconds between two looks at how long peers have been waited for."""


class Listener:
    """The connections there are, at most ``most``, and ``held``, the bytes of their unanswered requests' bodies."""

    def __init__(self, most: int, max_body: int) -> None:
        self.connections: set[Connection] = set()
        self.held = 0
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

    def close(self) -> None:
        """No more looking around."""
        if self._timer is not None:
            self._timer.cancel()
