"""A plugin that is stopped, as in a rolling restart: whoever has asked is answered, and nobody waits for long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rpc.plugin import Plugin
from tests.rpc.plugin.peers import Peer, request

BOTH = ["/workflow.preOperate", "/workflow.postOperate"]
GRACE = 30.0
"""Seconds that no test takes."""


@asynccontextmanager
async def stopping(plugin: Plugin, before: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    """The plugin was served, `before` was done, and then it has begun to stop."""
    ready, stop = asyncio.Event(), asyncio.Event()
    address = ""

    async def serve() -> None:
        nonlocal address
        async with plugin.serve(grace=GRACE) as address:
            ready.set()
            await stop.wait()

    serving = asyncio.create_task(serve())
    await ready.wait()
    await before(address)
    stop.set()
    for _ in range(20):  # until it listens no more
        await asyncio.sleep(0)
    yield
    await serving


@pytest.mark.parametrize("path", BOTH)
async def test_who_has_connected_may_ask_once(plugin: Plugin, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpc.plugin.listening._FLUSH", GRACE)  # however busy this machine is
    peers: list[Peer] = []

    async def connect(address: str) -> None:
        peers.append(await Peer.of(address))

    async with stopping(plugin, connect):
        await peers[0].send(request(path, b'{"a":1}'))
        status, headers, body = await peers[0].answer()
        assert (status, headers["connection"], body) == (200, "close", b'{"workflow":{"a":1}}')
        assert await peers[0].rest() == b""
        await peers[0].close()


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize("sent", [5, -5])
async def test_a_request_of_which_half_has_come_is_answered(plugin: Plugin, path: str, sent: int) -> None:
    peers: list[Peer] = []
    whole = request(path, b'{"a":1}')

    async def begin(address: str) -> None:
        peers.append(await Peer.of(address))
        await peers[0].send(request(path))
        await peers[0].answer()
        await peers[0].send(whole[:sent])
        for _ in range(5):  # until it has arrived, over the loopback
            await asyncio.sleep(0)

    async with stopping(plugin, begin):
        await peers[0].send(whole[sent:])
        status, headers, body = await peers[0].answer()
        assert (status, headers["connection"], body) == (200, "close", b'{"workflow":{"a":1}}')
        assert await peers[0].rest() == b""
        await peers[0].close()


async def test_an_idle_connection_is_closed_at_once(plugin: Plugin) -> None:
    peers: list[Peer] = []

    async def ask(address: str) -> None:
        peers.append(await Peer.of(address))
        await peers[0].send(request(BOTH[0]))
        await peers[0].answer()

    async with stopping(plugin, ask):
        assert await peers[0].rest() == b""
        await peers[0].close()


async def test_who_has_connected_and_was_not_taken_in_yet_is_answered(plugin: Plugin) -> None:
    """To close the port at once would reset it, with the request that it has sent."""
    with socket.socket() as connected:

        async def connect(address: str) -> None:
            # All in one turn of the loop: it is the kernel alone that has heard of it.
            connected.connect(("127.0.0.1", int(address.rpartition(":")[2])))
            connected.sendall(request(BOTH[0], b'{"a":1}'))

        async with stopping(plugin, connect):
            connected.setblocking(False)
            answer = b""
            while piece := await asyncio.get_running_loop().sock_recv(connected, 65536):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Connection: close\r\n" in answer


async def test_a_function_whose_caller_is_gone_comes_to_its_end() -> None:
    plugin, begun, go_on, ended = Plugin("p"), asyncio.Event(), asyncio.Event(), False

    @plugin.on("workflow.preOperate")
    async def work(args: dict[str, Any]) -> None:
        nonlocal ended
        begun.set()
        await go_on.wait()
        ended = True

    async def ask(address: str) -> None:
        peer = await Peer.of(address)
        await peer.send(request(BOTH[0]))
        await begun.wait()
        peer.reset()
        await peer.close()

    async with stopping(plugin, ask):
        go_on.set()
    assert ended


@pytest.mark.parametrize("turns", range(8))
async def test_a_request_that_comes_at_the_last_moment_keeps_nobody_from_stopping(turns: int) -> None:
    """In one of these turns its function is cancelled before it has made its first step."""
    plugin = Plugin("p")
    plugin.on("workflow.preOperate")(lambda args: None)

    @plugin.on("workflow.postOperate")
    async def wait(args: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    with socket.socket() as connected:

        async def ask() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            connected.sendall(request(BOTH[1]))

        async with asyncio.timeout(GRACE), plugin.serve() as address:
            connected.connect(("127.0.0.1", int(address.rpartition(":")[2])))
            connected.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(connected, request(BOTH[0]))
            await asyncio.get_running_loop().sock_recv(connected, 65536)
            asking = asyncio.create_task(ask())
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_unix_socket_of_whoever_comes_after_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with AsyncExitStack() as after:
        async with Plugin("before").serve(unix=path):
            await after.enter_async_context(Plugin("after").serve(unix=path))
        _, writer = await asyncio.open_unix_connection(path)
        writer.close()
        await writer.wait_closed()
    assert not path.exists()


async def test_nobody_is_taken_in_any_more(plugin: Plugin) -> None:
    address = ""

    async def remember(served: str) -> None:
        nonlocal address
        address = served

    async with stopping(plugin, remember):
        with pytest.raises(ConnectionRefusedError):
            await Peer.of(address)


async def test_who_has_connected_and_says_nothing_is_not_waited_for_long(plugin: Plugin) -> None:
    peers: list[Peer] = []

    async def connect(address: str) -> None:
        peers.append(await Peer.of(address))

    async with stopping(plugin, connect):
        assert await peers[0].rest() == b""
        await peers[0].close()
