"""Both lanes, the wire lane over TLS too, on both event loops, against scripted peers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple

import pytest
import trustme
import uvloop

from rpc.address import Address
from rpc.lanes import Lane
from rpc.lanes.aiohttp import AiohttpLane
from rpc.lanes.wire import WireLane
from rpc.tls import Tls
from tests.asking import post
from tests.rpc.conformance.names import NAME, Name
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


Way = Literal["aiohttp", "wire", "tls"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a peer of its own, which is not scripted, is over plain TCP alone."""
    if {"lane", "way"} <= set(metafunc.fixturenames):
        ways: list[Way] = ["aiohttp", "wire", "tls"] if "peer" in metafunc.fixturenames else ["aiohttp", "wire"]
        metafunc.parametrize("way", ways, indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> Any:
    """How the lane under test and the peer speak with each other."""
    return getattr(request, "param", "wire")


class Trust(NamedTuple):
    """What a peer shows, and what its caller goes by."""

    server: ssl.SSLContext
    client: Tls


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    authority = trustme.CA()
    ca_file = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "plugin.test", "both.test", "rebound.test").configure_cert(context)
    return Trust(context, Tls(ca_file=ca_file))


@pytest.fixture
async def peer(way: Way, trust: Trust) -> AsyncIterator[MakePeer]:
    """``await peer(script, ...)`` starts a `Peer` on TCP, ``await peer(script, ..., path=...)`` on a unix socket.

    With ``plain`` it never speaks TLS.
    """
    started: list[tuple[asyncio.AbstractServer, Peer]] = []

    async def start(*scripts: Script, path: str = "", plain: bool = False) -> Peer:
        it = Peer(*scripts)
        if path:
            server: asyncio.AbstractServer = await asyncio.start_unix_server(it.accept, path, limit=1 << 26)
            it.address = Address("unix", socket=path)
        else:
            secure = trust.server if way == "tls" and not plain else None
            server = await asyncio.start_server(it.accept, "127.0.0.1", 0, limit=1 << 26, ssl=secure)
            port = server.sockets[0].getsockname()[1]
            it.address = Address("http" if secure is None else "https", "127.0.0.1", port)
        started.append((server, it))
        return it

    yield start
    for server, it in started:
        server.close()
        await it.stop()
        await server.wait_closed()
    failures = [failure for _, it in started for failure in it.failures]
    assert not failures, failures


@pytest.fixture
async def lane(way: Way, trust: Trust) -> AsyncIterator[MakeLane]:
    """``lane(address, ...)`` makes the lane under test; all are closed at the end."""
    made: list[Lane] = []

    def make(address: Address, **options: Any) -> Lane:
        defaults: dict[str, Any] = {"timeout": PATIENCE, "max_body": 1 << 20, "headers": {}}
        defaults["tls"] = trust.client if address.scheme == "https" else None
        it: Lane = (AiohttpLane if way == "aiohttp" else WireLane)(address, **defaults | options)
        made.append(it)
        return it

    yield make
    for it in made:
        await it.aclose()


@pytest.fixture
def play(lane: MakeLane, peer: MakePeer, way: Way) -> Callable[..., Awaitable[None]]:
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
            fed = cuts(case.raw)
            for how, pieces in fed if way != "tls" else (fed[0], fed[-1]):
                try:
                    await one(case, pieces, reused, options)
                except BaseException as error:
                    error.add_note(f"fed {how}, on a {'reused' if reused else 'fresh'} connection")
                    raise

    return run


@pytest.fixture
async def name(request: pytest.FixtureRequest, trust: Trust, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Name]:
    # A connection whose first reply takes long has no other given up for it: on a busy machine each may take long.
    monkeypatch.setattr("rpc.lanes.wire._PATIENCE", PATIENCE)
    it = Name(trust.server if getattr(request, "param", False) else None)
    loop = asyncio.get_running_loop()
    resolve: Callable[..., Awaitable[Any]] = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        return await (it.look_up() if host == NAME else resolve(host, port, **options))

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    yield it
    await it.stop()
