"""Is anybody there, and who? One connection, opened and closed, with no request on it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from time import monotonic
from typing import Final

from rpc.address import Address
from rpc.destinations import ANYWHERE, Destinations
from rpc.lanes import Forbidden, LaneError
from rpc.lanes.dialing import Dialer
from rpc.tls import Tls, foreign_protocol

NOBODY: Final = "nobody answers at"
"""How a problem begins that is not with who answers."""


async def can_connect(
    address: Address, timeout: float, destinations: Destinations = ANYWHERE, tls: Tls | None = None
) -> str | None:
    """Why no connection to `address` can be made within `timeout` seconds; None where one can.

    For an https address TLS is spoken, too, by `tls` or else with the system's authorities. Says nothing of HTTP: that
    is a call's to find out.
    """
    dialer: Dialer[object] = Dialer(address, timeout=timeout, clock=monotonic, destinations=destinations)
    try:
        connected, _ = await dialer.dial()
    except Forbidden as error:
        return str(error)
    except LaneError as error:
        if isinstance(error.__cause__, TimeoutError):
            return f"{NOBODY} {address} within {timeout:g}s"
        return f"{NOBODY} {address}: {str(error).removeprefix(f'cannot connect to {address}: ')}"
    finally:
        dialer.close()
    if address.scheme != "https":
        connected.close()
        return None
    reader, writer = await asyncio.open_connection(sock=connected)
    try:
        return await _shake_hands(address, timeout, tls, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _shake_hands(
    address: Address, timeout: float, tls: Tls | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str | None:
    settings = tls if tls is not None else Tls()
    name = settings.name(address.host)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secured = settings.context.wrap_bio(incoming, outgoing, server_hostname=name)

    heard = b""

    async def listen() -> None:
        nonlocal heard
        writer.write(outgoing.read())
        heard = await reader.read(65536)
        if heard:
            incoming.write(heard)
        else:
            incoming.write_eof()

    shaken = False
    try:
        async with asyncio.timeout(timeout):
            while not shaken:
                with contextlib.suppress(ssl.SSLWantReadError):
                    secured.do_handshake()
                    shaken = True
                    if (problem := foreign_protocol(secured)) is not None:
                        return f"TLS with {address} failed: {problem}"
                    break
                await listen()
            # In TLS 1.3 it is only after our end of the handshake that a plugin says what it makes of our certificate.
            # So take leave, and listen to what it says to that.
            with contextlib.suppress(ssl.SSLWantReadError):
                secured.unwrap()
            silent = secured.version() == "TLSv1.3"  # where whoever is content says so, with tickets for later
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    secured.read(1)
                    return None
                await listen()
                silent = silent and not heard
                if not heard:
                    break
    except TimeoutError:
        return None if shaken else f"TLS with {address} failed: no handshake within {timeout:g}s"
    except (ssl.SSLError, ConnectionError) as error:
        if shaken and isinstance(error, ssl.SSLZeroReturnError):
            return None
        why: OSError = error
    else:
        if not silent:
            return None
        why = ssl.SSLEOFError()
    return f"TLS with {address} failed: {settings.failure(why)}"
