"""Getting a connected socket: names looked up once for all who wait, addresses raced (RFC 8305), within a time."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection

from rpc.address import Address
from rpc.destinations import ANYWHERE, Destinations
from rpc.lanes import OWN_FAULTS, Balance, Exhausted, Forbidden, Unreachable
from rpc.lanes.addresses import Addresses, SocketAddress

C = TypeVar("C")
T = TypeVar("T")

STAGGER: Final = 0.25
"""Seconds that one address is given, at most, before the next is tried too (RFC 8305, section 8)."""
_CONNECT_SHARE: Final = 0.9


def connect_timeout(timeout: float) -> float:
    """Seconds that a connect may take of a call's ``timeout``: it must fail a little before the call does, so that a
    blackhole is told from a slow plugin."""
    return timeout * _CONNECT_SHARE


def is_own_end(connected: socket.socket) -> bool:
    """Whether a TCP connection is one to itself.

    The system may give the client's end the very port that a plugin of this machine listens on when it is not down, and
    TCP lets both ends meet in one (RFC 9293, 3.5, simultaneous open): our request would come back as the reply.
    """
    try:
        return bool(connected.getsockname() == connected.getpeername())
    except OSError:  # it is closed already
        return False


def _to_another(connected: socket.socket) -> socket.socket:
    if is_own_end(connected):
        connected.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return connected


async def _race(addresses: Sequence[AddrInfoType], stagger: float) -> socket.socket:
    """The first of them that is connected; each after the first is tried so many seconds behind the one before.

    A cancellation that comes while aiohappyeyeballs calls off the others is swallowed there, and would be lost.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    connected = await start_connection(addresses, happy_eyeballs_delay=stagger, interleave=0)
    if task.cancelling() > before:
        connected.close()
        raise asyncio.CancelledError
    return connected


def permitted(destinations: Destinations, host: str, addresses: Sequence[T], number: Callable[[T], str]) -> list[T]:
    """Those of the `addresses` of `host` that may be dialled. ``number`` is such a one's IP address.

    Raises `Forbidden` where there are addresses, and none may be.
    """
    refusals = [destinations.refusal(host, number(address)) for address in addresses]
    kept = [address for address, refusal in zip(addresses, refusals, strict=True) if refusal is None]
    if not kept and refusals:
        raise Forbidden(refusals[0])
    return kept


def address_of(connected: socket.socket) -> SocketAddress | None:
    """The other end's, None of a unix socket or where it has hung up already, which the first write will tell."""
    try:
        return None if connected.family == socket.AF_UNIX else connected.getpeername()
    except OSError:
        return None


class Dialer(Generic[C]):
    """Dials one address. ``timeout``: seconds for name and connect together; ``destinations``: what may be dialled.

    ``addresses`` are those of its name. They are to be told of what becomes of connections, ``C``.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        clock: Callable[[], float],
        destinations: Destinations = ANYWHERE,
        balance: Balance = "first",
    ) -> None:
        self._destinations = destinations
        self._address = address
        self._timeout = timeout
        self._clock = clock
        self._looking_up: asyncio.Task[None] | None = None
        self.addresses: Addresses[C] = Addresses(balance)

    async def dial(self) -> tuple[socket.socket, SocketAddress | None]:
        """A connected, non-blocking socket, the caller's to close, and which of the name's addresses it leads to.

        None where that cannot be told: whoever dials 0.0.0.0 is connected to 127.0.0.1. Raises `Unreachable`,
        `Exhausted`, `Forbidden`.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return (await self._dial_unix(), None) if self._address.scheme == "unix" else await self._dial_tcp()
        except TimeoutError as error:
            raise Unreachable(f"no connection to {self._address} within the connect timeout") from error
        except (OSError, RuntimeError, ValueError) as error:  # uvloop's RuntimeError, a name without any address
            kind = Exhausted if _is_own_fault(error) else Unreachable
            # Of a refused connect asyncio only says that the call failed; a name's error has a negative number.
            number = error.errno if isinstance(error, OSError) else None
            why = os.strerror(number) if number and number > 0 else getattr(error, "strerror", None) or error
            raise kind(f"cannot connect to {self._address}: {why}") from error

    def keep_up(self) -> None:
        """Look the name up again where that is due, since connections to it are in use. Nobody waits for it."""
        if self.addresses.is_known and self.addresses.is_stale(self._clock()):
            self._look_up()

    def close(self) -> None:
        """Stop looking up. (The system's resolver cannot be interrupted; its answer is dropped.)"""
        if self._looking_up is not None:
            self._looking_up.cancel()

    async def _dial_unix(self) -> socket.socket:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connecting, self._address.socket)
        except BaseException:
            connecting.close()
            raise
        return connecting

    async def _dial_tcp(self) -> tuple[socket.socket, SocketAddress | None]:
        addresses = self.addresses
        if not addresses.any_good or addresses.is_stale(self._clock()):
            await self._know()
        race = addresses.race(self._clock())
        # Each has its turn within the timeout: it may be that all but the last have gone dark.
        stagger = min(STAGGER, self._timeout / (len(race) + 1))
        try:
            connected = _to_another(await _race(race, stagger))
        except BaseException as error:
            if _is_own_fault(error):
                addresses.called_off(race)
            else:
                addresses.reached(race, None, self._clock())
            raise
        address = address_of(connected)
        if all(address != info[4] for info in race):
            addresses.called_off(race)
            return connected, None
        addresses.reached(race, address, self._clock())
        return connected, address

    async def _know(self) -> None:
        """Wait for the addresses, or where there are older ones, not too long: whoever tells names may be away."""
        looking_up = self._look_up()
        await asyncio.wait([looking_up], timeout=self._timeout / 4 if self.addresses.is_known else None)
        if not self.addresses.is_known:
            await looking_up

    def _look_up(self) -> asyncio.Task[None]:
        """The lookup that is under way, for all who wait."""
        if self._looking_up is None:
            self._looking_up = asyncio.create_task(self._find())
            self._looking_up.add_done_callback(self._looked_up)
        return self._looking_up

    async def _find(self) -> None:
        host = self._address.host
        try:
            found = await _infos(host, self._address.port)
            self.addresses.found(permitted(self._destinations, host, found, lambda info: str(info[4][0])))
        except Forbidden:
            self.addresses.found([])
            raise
        finally:
            self.addresses.asked(self._clock())

    def _looked_up(self, looking_up: asyncio.Task[None]) -> None:
        self._looking_up = None
        if not looking_up.cancelled():
            looking_up.exception()  # it has been raised where somebody waited for it


async def _infos(host: str, port: int) -> Sequence[AddrInfoType]:
    """What `socket.getaddrinfo` says. It may block where it has to ask somebody, which for a number it has not."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _is_own_fault(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in OWN_FAULTS
