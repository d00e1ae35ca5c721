"""How the wire lane gets a connection: dialled, secured, and good by the settings and addresses that count by then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from rpc.address import Address
from rpc.destinations import Destinations
from rpc.lanes import Balance, LaneError, Unreachable, Untrusted
from rpc.lanes.connection import Connection, Owner
from rpc.lanes.dialing import Dialer, connect_timeout
from rpc.lanes.securing import Handshakes
from rpc.tls import Tls


class Connector:
    """Makes connections for their ``owner``. ``tls`` is for an https address; without it the system's authorities are.

    ``retired`` are those of no use any more, but for the calls that are under way on them.
    """

    def __init__(
        self,
        owner: Owner,
        address: Address,
        *,
        timeout: float,
        clock: Callable[[], float],
        destinations: Destinations,
        balance: Balance,
        tls: Tls | None,
    ) -> None:
        self._owner = owner
        self._host = address.host
        self._timeout = timeout
        self._clock = clock
        self._connect_timeout = connect_timeout(timeout)
        self.dialer: Dialer[Connection] = Dialer(
            address, timeout=self._connect_timeout, clock=clock, destinations=destinations, balance=balance
        )
        self._handshakes = Handshakes(tls, address.host, clock) if address.scheme == "https" else None
        self.retired: set[Connection] = set()

    def renew(self, tls: Tls | None) -> bool:
        """Shake hands by these settings from now on; whether that makes a difference."""
        if self._handshakes is None or tls == self._handshakes.tls:
            return False
        self._handshakes = Handshakes(tls, self._host, self._clock)
        return True

    async def connect(self) -> Connection:
        """A new connection, by the settings and to one of the addresses that count at its end. Raises `LaneError`."""
        while True:
            handshakes = self._handshakes
            try:
                connection = await self._connect_by(handshakes)
            except LaneError:
                if handshakes is self._handshakes:
                    raise
                continue
            if connection is None:
                continue
            if handshakes is self._handshakes and connection not in self.retired:
                return connection
            self.forget(connection)
            connection.transport.abort()

    async def _connect_by(self, handshakes: Handshakes | None) -> Connection | None:
        """None where it is to be tried again."""
        loop, addresses = asyncio.get_running_loop(), self.dialer.addresses
        until = loop.time() + self._connect_timeout
        deadline = self._clock() + self._timeout
        connected, address = await self.dialer.dial()
        connection = Connection(self._owner, connected, deadline)
        addresses.opened(connection, address)
        made = False
        try:
            if handshakes is not None:
                made = await handshakes.secure(connection, connected, until)
            else:
                connect = loop.create_unix_connection if connected.family == socket.AF_UNIX else loop.create_connection
                await connect(lambda: connection, sock=connected)
                made = True
        except (OSError, Unreachable) as error:
            addresses.failed(connection, self._clock())
            if isinstance(error, OSError):
                raise Unreachable(f"the connection broke as it was made: {error}") from error
            if isinstance(error, Untrusted) or not addresses.is_left(connection):
                raise
        finally:
            if not made:
                self.forget(connection)
        return connection if made else None

    def forget(self, connection: Connection) -> None:
        """It is gone."""
        self.retired.discard(connection)
        self.dialer.addresses.lost(connection)
