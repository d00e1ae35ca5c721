"""Getting a connected socket: names resolved once for all who wait, IPv6 and IPv4 raced (RFC 8305), within a time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection

from rpc.address import Address
from rpc.destinations import ANYWHERE, Destinations
from rpc.lanes import OWN_FAULTS, Exhausted, Forbidden, Unreachable

T = TypeVar("T")

STAGGER: Final = 0.25
"""Seconds that one address is given, at most, before the next is tried too (RFC 8305, section 8)."""
_TRUST: Final = 10.0
"""Seconds for which a resolved name is believed; a failed connect ends that at once."""


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


def permitted(destinations: Destinations, host: str, addresses: Sequence[T], number: Callable[[T], str]) -> list[T]:
    """Those of the `addresses` of `host` that may be dialled. ``number`` is such a one's IP address.

    Raises `Forbidden` where there are addresses, and none may be.
    """
    refusals = [destinations.refusal(host, number(address)) for address in addresses]
    kept = [address for address, refusal in zip(addresses, refusals, strict=True) if refusal is None]
    if not kept and refusals:
        raise Forbidden(refusals[0])
    return kept


class Dialer:
    """Dials one address. ``timeout``: seconds for name and connect together; ``destinations``: what may be dialled."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        clock: Callable[[], float],
        destinations: Destinations = ANYWHERE,
    ) -> None:
        self._destinations = destinations
        self._address = address
        self._timeout = timeout
        self._clock = clock
        self._resolving: asyncio.Task[Sequence[AddrInfoType]] | None = None
        self._addresses: Sequence[AddrInfoType] = ()
        self._believed_until = 0.0
        self._last_good: object = None
        """The socket address that answered last."""

    async def dial(self) -> socket.socket:
        """A connected, non-blocking socket, the caller's to close. Raises `Unreachable`, `Exhausted`, `Forbidden`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await (self._dial_unix() if self._address.scheme == "unix" else self._dial_tcp())
        except TimeoutError as error:
            raise Unreachable(f"no connection to {self._address} within the connect timeout") from error
        except (OSError, RuntimeError, ValueError) as error:  # uvloop's RuntimeError, a name without any address
            kind = Exhausted if isinstance(error, OSError) and error.errno in OWN_FAULTS else Unreachable
            # Of a refused connect asyncio only says that the call failed; a name's error has a negative number.
            number = error.errno if isinstance(error, OSError) else None
            why = os.strerror(number) if number and number > 0 else getattr(error, "strerror", None) or error
            raise kind(f"cannot connect to {self._address}: {why}") from error

    def close(self) -> None:
        """Stop resolving. (The system's resolver cannot be interrupted; its answer is dropped.)"""
        if self._resolving is not None:
            self._resolving.cancel()

    async def _dial_unix(self) -> socket.socket:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connecting, self._address.socket)
        except BaseException:
            connecting.close()
            raise
        return connecting

    async def _dial_tcp(self) -> socket.socket:
        addresses = self._addresses if self._clock() < self._believed_until else await self._resolve()
        # The one that answered last goes first, and the others not long after it, since it may have gone dark.
        addresses = sorted(addresses, key=lambda info: info[4] != self._last_good)
        try:
            stagger = min(STAGGER, self._timeout / (len(addresses) + 1))
            connected = _to_another(await start_connection(addresses, happy_eyeballs_delay=stagger))
        except BaseException:
            self._believed_until = 0.0
            self._last_good = None
            raise
        with contextlib.suppress(OSError):  # it may have hung up already, which the first write will tell
            self._last_good = connected.getpeername()
        return connected

    async def _resolve(self) -> Sequence[AddrInfoType]:
        resolving = self._resolving
        if resolving is None:
            resolving = self._resolving = asyncio.create_task(self._look_up())
            resolving.add_done_callback(self._resolved)
        # Shielded: a caller whose time is up must not take the answer from the others. Taken from the task, which may
        # be done while `_resolved` has not been told yet.
        return await asyncio.shield(resolving)

    async def _look_up(self) -> Sequence[AddrInfoType]:
        loop = asyncio.get_running_loop()
        host = self._address.host
        found = await loop.getaddrinfo(host, self._address.port, type=socket.SOCK_STREAM)
        return permitted(self._destinations, host, found, lambda info: str(info[4][0]))

    def _resolved(self, resolving: asyncio.Task[Sequence[AddrInfoType]]) -> None:
        self._resolving = None
        if not resolving.cancelled() and resolving.exception() is None:
            self._addresses = resolving.result()
            self._believed_until = self._clock() + _TRUST
