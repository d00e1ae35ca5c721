"""Both lanes, on both event loops, against scripted peers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop

from rpc.address import Address
from rpc.lanes import Lane
from rpc.lanes.aiohttp import AiohttpLane
from rpc.lanes.wire import WireLane
from tests.asking import post
from tests.rpc.conformance.peers import (
    GOOD,
    GOOD_REPLY,
    PATIENCE,
    Case,
    Line,
    MakeLane,
    MakePeer,
    Peer,
    Script,
    cuts,
    outcome,
    serve_well,
)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def peer() -> AsyncIterator[MakePeer]:
    """``await peer(script, ...)`` starts a `Peer` on TCP, ``await peer(script, ..., path=...)`` on a unix socket."""
    started: list[tuple[asyncio.AbstractServer, Peer]] = []

    async def start(*scripts: Script, path: str = "") -> Peer:
        it = Peer(*scripts)
        if path:
            server: asyncio.AbstractServer = await asyncio.start_unix_server(it.accept, path, limit=1 << 26)
            it.address = Address("unix", socket=path)
        else:
            server = await asyncio.start_server(it.accept, "127.0.0.1", 0, limit=1 << 26)
            it.address = Address("http", "127.0.0.1", server.sockets[0].getsockname()[1])
        started.append((server, it))
        return it

    yield start
    for server, it in started:
        server.close()
        await it.stop()
        await server.wait_closed()
    failures = [failure for _, it in started for failure in it.failures]
    assert not failures, failures


@pytest.fixture(params=[AiohttpLane, WireLane], ids=["aiohttp", "wire"])
def lane_class(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def lane(lane_class: Any) -> AsyncIterator[MakeLane]:
    """``lane(address, ...)`` makes the lane under test; all are closed at the end."""
    made: list[Lane] = []

    def make(address: Address, **options: Any) -> Lane:
        defaults = {"timeout": PATIENCE, "max_body": 1 << 20, "headers": {}}
        it: Lane = lane_class(address, **defaults | options)
        made.append(it)
        return it

    yield make
    for it in made:
        await it.aclose()


@pytest.fixture
def play(lane: MakeLane, peer: MakePeer) -> Callable[..., Awaitable[None]]:
    """``await play(case)`` feeds it whole, byte by byte and at random splits, on fresh and on reused connections."""

    async def one(case: Case, pieces: list[bytes], reused: bool, options: dict[str, Any]) -> None:
        async def script(line: Line) -> None:
            if reused:
                await line.request()
                await line.send(GOOD)
            await line.request()
            await line.send(*pieces)
            if case.ending == "fin":
                line.fin()
            elif case.ending == "reset":
                line.reset()
            elif case.kept:
                await serve_well(line)
            else:
                await line.gone()

        it = await peer(script, serve_well)
        under_test = lane(it.address, **options)
        if reused:
            assert await outcome(post(under_test, "/before", b"{}")) == GOOD_REPLY
        got = await outcome(post(under_test, "/tested", b"{}"))
        if isinstance(case.expected, type):
            assert isinstance(got, type), got
            assert issubclass(got, case.expected), got
        else:
            assert got == case.expected
        if not case.kept and case.ending == "stay":
            async with asyncio.timeout(PATIENCE):
                await it.lines[0].closed.wait()
        assert await outcome(post(under_test, "/after", b"{}")) == GOOD_REPLY
        assert len(it.lines) == (1 if case.kept else 2)
        await under_test.aclose()

    async def run(case: Case, **options: Any) -> None:
        for reused in (False, True):
            for how, pieces in cuts(case.raw):
                try:
                    await one(case, pieces, reused, options)
                except BaseException as error:
                    error.add_note(f"fed {how}, on a {'reused' if reused else 'fresh'} connection")
                    raise

    return run
