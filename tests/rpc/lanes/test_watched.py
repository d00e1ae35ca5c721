"""A connection of the aiohttp lane."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from rpc.lanes.watched import WatchedProtocol
from rpc.permits import Permits


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_reply_that_came_before_a_write_failed_is_read(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def lose() -> bytes:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as mine:
            mine.connect(listening.getsockname())
            mine.setblocking(False)
            peer, _ = listening.accept()
            transport, protocol = await loop.create_connection(lambda: WatchedProtocol(loop, Permits(1)), sock=mine)
            protocol.set_response_params()
            with peer:
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                protocol.connection_lost(ConnectionResetError())  # before the loop has looked at the socket again
            _, body = await protocol.read()
            transport.abort()
            return await body.read()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        assert runner.run(lose()) == b"{}"
