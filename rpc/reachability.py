"""Is anybody there? One connection, opened and closed, with no request on it."""

from __future__ import annotations

from time import monotonic

from rpc.address import Address
from rpc.destinations import ANYWHERE, Destinations
from rpc.lanes import Forbidden, LaneError
from rpc.lanes.dialing import Dialer


async def can_connect(address: Address, timeout: float, destinations: Destinations = ANYWHERE) -> str | None:
    """Why no connection to `address` can be made within `timeout` seconds; None where one can.

    Says nothing of TLS or HTTP: those are a call's to find out.
    """
    dialer = Dialer(address, timeout=timeout, clock=monotonic, destinations=destinations)
    try:
        (await dialer.dial()).close()
    except Forbidden as error:
        return str(error)
    except LaneError as error:
        if isinstance(error.__cause__, TimeoutError):
            return f"nobody answers at {address} within {timeout:g}s"
        return f"nobody answers at {address}: {str(error).removeprefix(f'cannot connect to {address}: ')}"
    finally:
        dialer.close()
    return None
