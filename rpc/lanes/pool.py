"""Which connection carries which call, when to open another, and which one is not worth keeping: decisions only.

Nothing here awaits, reads a clock or touches a socket. Every method changes the state and returns what is to be done;
`rpc.lanes.wire` does it. ``C`` is a connection and ``W`` a call that waits for one, both opaque.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from rpc.lanes import MAX_NEWCOMERS

C = TypeVar("C")
W = TypeVar("W")

_STRIKES: Final = 3
"""Connections in a row that were no good after their first reply, until the peer is taken to be like that each time."""
_PROBE: Final = 64
"""With such a peer, every so many replies one connection is kept, to find out whether it still is like that."""


class Pool(Generic[C, W]):
    """The connections to one plugin.

    ``idle`` is a stack, the last one used on top, so that few connections stay warm and the rest can be let go; its
    user may pop from it directly. A *newcomer* is a connection that has not given its first reply: at most
    `MAX_NEWCOMERS` exist, those being opened included, because a peer may have accepted none of them yet.
    """

    def __init__(self) -> None:
        self.idle: list[C] = []
        self.connections: dict[C, int] = {}
        """Every open connection, and how many replies it has given; counting ends at two."""
        self.newcomers: set[C] = set()
        self.opening = 0
        self.waiting: deque[W] = deque()
        self.replays: deque[W] = deque()
        """Calls whose connection turned out stale. Only a new connection will do, or the next may be stale too."""
        self._starving: dict[C, int] = {}
        self._had_way: set[C] = set()
        self._reusable = False
        self._strikes = 0
        self._unkept = 0

    @property
    def steady(self) -> bool:
        """Whether a connection that gave a reply may simply take its next call, with nothing to decide."""
        return self.keeps and not self._starving

    @property
    def keeps(self) -> bool:
        """Whether the peer is known to keep a connection open after its reply."""
        return self._reusable and self._strikes < _STRIKES

    @property
    def _one_proven(self) -> bool:
        return len(self.connections) - len(self.newcomers) == 1

    def to_open(self) -> int:
        """How many connections to start opening now; they count as opening until `opened` or `refused`."""
        room = MAX_NEWCOMERS - self.opening - len(self.newcomers)
        count = max(0, min(room, len(self.waiting) + len(self.replays) - self.opening))
        self.opening += count
        return count

    def opened(self, connection: C) -> None:
        """One that was being opened is there. Ask `next_call` what to do with it."""
        self.opening -= 1
        self.connections[connection] = 0
        self.newcomers.add(connection)

    def refused(self) -> None:
        """One that was being opened could not be. Which call that fails, `next_call` says."""
        self.opening -= 1

    def next_call(self, *, new: bool) -> W | None:
        """The call whose turn it is: on a `new` connection (or for want of one) replays come first."""
        if new and self.replays:
            return self.replays.popleft()
        if self.waiting:
            return self.waiting.popleft()
        return None

    def rest(self, connection: C) -> bool:
        """No call is there for `connection`: put it on the stack, or say False if it should be closed.

        A server with one thread would sit there and wait for our request, so one that has not been used yet is kept
        only for a peer known to keep connections, and only if none is queuing up behind it.
        """
        if connection in self.newcomers and (len(self.newcomers) > 1 or not self.keeps):
            return False
        self.idle.append(connection)
        return True

    def answered(self, connection: C, *, reusable: bool) -> bool:
        """`connection` gave a reply, and says itself whether it is `reusable`. False if it should be closed."""
        replies = self.connections[connection] = self.connections[connection] + 1
        self._settle(connection)
        if replies > 1:
            self._strikes = 0
        self._reusable = reusable
        if not reusable:
            return False
        if self._starving and self._one_proven:
            newcomer, ways = self._starving.popitem()
            if ways > 1:
                self._starving[newcomer] = ways - 1
            return False
        if self.keeps:
            return True
        self._unkept += 1
        return self._unkept % _PROBE == 0

    def make_way(self, newcomer: C) -> C | None:
        """`newcomer` has waited long for its first reply. Returns a connection to close for its sake, or None.

        All replies so far may have come on one and the same connection because the peer has one thread, and listens
        there for our next request. Then this connection must go, now if it is idle, else after its next reply; and so
        must those that get ahead of `newcomer` in the peer's backlog, which are fewer than `MAX_NEWCOMERS`. Done once
        for each newcomer, since it may also be that its reply simply takes long.
        """
        if newcomer in self._had_way or not self._one_proven:
            return None
        self._had_way.add(newcomer)
        self._starving[newcomer] = MAX_NEWCOMERS
        return next((connection for connection in self.idle if connection not in self.newcomers), None)

    def lost(self, connection: C, *, silent: bool) -> None:
        """`connection` is gone. `silent`: soon after its last reply, and without another that can be believed."""
        replies = self.connections.pop(connection)
        self._settle(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        if silent and replies == 1:
            self._strikes += 1

    def _settle(self, connection: C) -> None:
        """`connection` is no newcomer any more."""
        self.newcomers.discard(connection)
        self._starving.pop(connection, None)
        self._had_way.discard(connection)
