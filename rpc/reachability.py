"""Is anybody there? One connection, opened and closed, with no request on it."""

from __future__ import annotations

import asyncio
import contextlib

from rpc.address import Address


async def can_connect(address: Address, timeout: float) -> str | None:
    """Why no connection to `address` can be made within `timeout` seconds; None where one can.

    Says nothing of TLS or HTTP: those are a call's to find out.
    """
    try:
        async with asyncio.timeout(timeout):
            if address.scheme == "unix":
                _, writer = await asyncio.open_unix_connection(address.socket)
            else:
                _, writer = await asyncio.open_connection(address.host, address.port)
    except TimeoutError:
        return f"nobody answers at {address} within {timeout:g}s"
    except OSError as error:
        return f"nobody answers at {address}: {error.strerror or error}"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None
