"""A dial that is given up."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from rpc.address import Address
from rpc.lanes import dialing
from rpc.lanes.dialing import Dialer

TURNS = 8
"""More than it takes from a connect until the dial is done."""


def in_turns(turns: int, then: Callable[[], object]) -> None:
    """Have the event loop call `then` so many turns from now on."""
    loop = asyncio.get_running_loop()
    if turns:
        loop.call_soon(in_turns, turns - 1, then)
    else:
        then()


@pytest.mark.parametrize("turns", range(TURNS))
async def test_in_whatever_turn_it_is_cancelled_it_is_or_has_its_socket(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the one in which the other connects of a race are called off."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    never = asyncio.Event()
    taken: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        good = listener.getsockname()

        async def sock_connect(connecting: socket.socket, address: Any) -> None:
            if address != good:
                await never.wait()
            await connect(connecting, address)
            in_turns(turns, lambda: taken.append(dial.cancel()))

        async def look_up(*_: object, **__: object) -> list[Any]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.2", good[1])), (*kind, good)]

        monkeypatch.setattr(dialing, "STAGGER", 0.001)
        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        monkeypatch.setattr(loop, "getaddrinfo", look_up)
        dialer: Dialer[object] = Dialer(Address("http", "plugin.test", good[1]), timeout=30, clock=time.monotonic)
        dial = asyncio.create_task(dialer.dial())
        with suppress(asyncio.CancelledError):
            connected, _ = await dial
            connected.close()
        dialer.close()
    assert dial.cancelled() == (taken == [True])
