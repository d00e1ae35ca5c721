"""Which of a name's addresses is dialled, and which connections make way for others: decisions only.

An address is *failing* from a dial that it lost, a connection that it cut off, or a call of which nothing more was
heard, until a connection to it gives its first reply; and *gone* once it is in the name's record no more. Nothing here
awaits or touches a socket; the clock is told. ``C`` is a connection, opaque.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Final, Generic, TypeVar

from aiohappyeyeballs import AddrInfoType

from rpc.lanes import Balance

C = TypeVar("C")

SocketAddress = tuple[Any, ...]
LIFETIME: Final = 5.0
"""Seconds for which a record is believed, and an address that fails is left alone while others do not.

The system's resolver does not tell a record's own; CoreDNS gives the names of a Kubernetes cluster this one.
"""


class Addresses(Generic[C]):
    """Those of one name. An address goes by what `socket.connect` takes, such as ``("10.0.0.7", 4355)``."""

    def __init__(self, balance: Balance) -> None:
        self._balance = balance
        self._record: dict[SocketAddress, AddrInfoType] = {}
        self._failing: dict[SocketAddress, float] = {}
        """Since when, or when it was last tried."""
        self._load: Counter[SocketAddress] = Counter()
        """Connections, and dials that begin there."""
        self._at: dict[C, SocketAddress] = {}
        self._last_good: SocketAddress | None = None
        self._asked = -inf

    @property
    def is_known(self) -> bool:
        """Whether there are any."""
        return bool(self._record)

    @property
    def any_good(self) -> bool:
        """Whether there is one that is not failing."""
        return any(address not in self._failing for address in self._record)

    def is_stale(self, now: float) -> bool:
        """Whether it is time to look the name up."""
        return now - self._asked >= LIFETIME

    def asked(self, now: float) -> None:
        """The name was looked up, with or without success."""
        self._asked = now

    def found(self, record: Sequence[AddrInfoType]) -> None:
        """What is in the record. Others that were are gone."""
        families: Counter[int] = Counter()
        ranks: dict[SocketAddress, int] = {}
        for info in record:  # the families by turns (RFC 8305, section 4): one of them may lead nowhere
            ranks.setdefault(info[4], families[info[0]])
            families[info[0]] += 1
        self._record = {info[4]: info for info in sorted(record, key=lambda info: ranks[info[4]])}
        self._failing = {address: since for address, since in self._failing.items() if address in self._record}

    def race(self, now: float) -> list[AddrInfoType]:
        """All of them, in the order in which to try them; `reached` or `called_off` must be told how it ended."""
        order = sorted(self._record, key=lambda address: self._rank(address, now))
        if order:
            self._load[order[0]] += 1
            if order[0] in self._failing:
                self._failing[order[0]] = now  # the dials to come leave it alone
        return [self._record[address] for address in order]

    def _rank(self, address: SocketAddress, now: float) -> tuple[float, float]:
        since = self._failing.get(address, -inf)
        if self._balance == "first":
            return since, address != self._last_good
        return (-inf if self._may_be_good(address, now) else since), self._load[address]

    def _may_be_good(self, address: SocketAddress, now: float) -> bool:
        return now - self._failing.get(address, -inf) >= LIFETIME

    def reached(self, race: Sequence[AddrInfoType], address: SocketAddress | None, now: float) -> None:
        """`address` won, or None of them; those that were tried before it in vain are failing."""
        self.called_off(race)
        for info in race:
            if info[4] == address:
                self._last_good = address
                return
            self._fail(info[4], now)

    def called_off(self, race: Sequence[AddrInfoType]) -> None:
        """It came to no end, or to one that says nothing of the addresses."""
        if race:
            self._unload(race[0][4])

    def opened(self, connection: C, address: SocketAddress | None) -> None:
        """`connection` is one to `address`, which a unix socket has not."""
        if address is not None:
            self._at[connection] = address
            self._load[address] += 1

    def lost(self, connection: C) -> None:
        """`connection` is closed, or about to be and not to be counted any more."""
        if connection in self._at:
            self._unload(self._at.pop(connection))

    def _unload(self, address: SocketAddress) -> None:
        self._load[address] -= 1
        if not self._load[address]:
            del self._load[address]

    def answered(self, connection: C) -> None:
        """`connection` gave a reply."""
        if connection in self._at:
            self._failing.pop(self._at[connection], None)

    def failed(self, connection: C, now: float) -> None:
        """`connection` came to nothing."""
        if connection in self._at:
            self._fail(self._at[connection], now)

    def _fail(self, address: SocketAddress, now: float) -> None:
        if address in self._record:
            self._failing[address] = now

    def fell_silent(self, connection: C, sent: float, idle: Iterable[tuple[C, float]], now: float) -> list[C]:
        """Nothing came in all the time of a call, which was ``sent`` on `connection`. Returns connections to close.

        Where the other end has gone dark, each idle connection to it would cost a call more. So those of ``idle`` go
        that were not heard of since, each with the time until which it was; where none was, the address is failing.
        """
        address = self._at.get(connection)
        heard = {each: until for each, until in idle if self._at.get(each) == address}
        if all(until <= sent for until in heard.values()):
            self.failed(connection, now)
        return [each for each, until in heard.items() if until <= sent]

    def is_left(self, connection: C) -> bool:
        """Whether the address of `connection` is failing and another is not, so that the next dials go elsewhere."""
        return self._at.get(connection) in self._failing and self.any_good

    def superfluous(self, now: float) -> list[C]:
        """Connections to let go once they are idle, which are not counted from now on.

        Those are all to addresses that are gone; and where they are to be spread, one to the address with the most of
        them for each time that this is asked, as long as another, which may be good, has fewer by two or more.
        """
        gone = [connection for connection, address in self._at.items() if address not in self._record]
        if not gone and self._balance == "all" and len(self._record) > 1:
            load = self._load
            fewest = min((load[each] for each in self._record if self._may_be_good(each, now)), default=inf)
            fullest = max(self._record, key=lambda address: load[address])
            if load[fullest] - fewest > 1:
                gone = [connection for connection, address in self._at.items() if address == fullest][:1]
        for connection in gone:
            self.lost(connection)
        return gone
