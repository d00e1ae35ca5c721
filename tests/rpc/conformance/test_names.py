"""Names with several addresses, whose records change: both lanes follow them alike."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trustme

from rpc.address import Address
from rpc.lanes import Broken, Dark, LaneError, TimedOut, Unreachable, Untrusted
from tests import ports
from tests.asking import post
from tests.rpc.conformance.conftest import Trust
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, PATIENCE, Line, MakeLane, Peer, Script, outcome, serve_well

NAME = "plugin.test"
SHORT = 0.5


class Name:
    """What ``plugin.test`` stands for: some of three peers, at one port. Hosts are 1, 2 and 3."""

    def __init__(self, secure: ssl.SSLContext | None) -> None:
        self._secure = secure
        self.peers: dict[int, Peer] = {}
        self.record: list[int] | OSError = []
        self.looked_up = 0
        self.answered: asyncio.Event | None = None
        """What whoever looks it up waits for."""
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._asked = asyncio.Event()

    @property
    def address(self) -> Address:
        return Address("http" if self._secure is None else "https", NAME, self.port)

    async def serve(self, host: int, *scripts: Script) -> Peer:
        self.peers[host] = it = Peer(*(scripts or (serve_well,)))
        await self.listen(it.accept, host, ssl=self._secure)
        return it

    async def hang_up(self, host: int) -> None:
        """Have this one close each connection as soon as it is there."""
        await self.listen(lambda _, writer: writer.close(), host)

    async def listen(self, accept: Any, host: int, **options: Any) -> None:
        server = await asyncio.start_server(accept, f"127.0.0.{host}", self.port, **options)
        self.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def serve_all(self, *scripts: Script) -> None:
        for host in (1, 2, 3):
            await self.serve(host, *scripts)
        self.record = [1, 2, 3]

    async def look_up(self) -> Any:
        self.looked_up += 1
        self._asked.set()
        if self.answered is not None:
            await self.answered.wait()
        if isinstance(self.record, OSError):
            raise self.record
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{host}", self.port)) for host in self.record]

    async def is_looked_up(self, times: int) -> None:
        """Wait until it was, so many times in all."""
        async with asyncio.timeout(PATIENCE):
            while self.looked_up < times:
                self._asked.clear()
                await self._asked.wait()

    def connections(self) -> list[int]:
        """How many there have been to each."""
        return [len(it.lines) for it in self.peers.values()]

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for it in self.peers.values():
            await it.stop()
        assert not [failure for it in self.peers.values() for failure in it.failures]


SECURE = pytest.mark.parametrize("name", [False, True], indirect=True, ids=["plain", "secure"])


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


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is old as soon as it is there, so that nobody need wait."""
    monkeypatch.setattr("rpc.lanes.addresses.LIFETIME", 0.0)


def together(calls: int) -> Script:
    """Answers the first request on a connection once so many are there, whoever they are sent to."""
    barrier = asyncio.Barrier(calls)

    async def script(line: Line) -> None:
        await line.request()
        await barrier.wait()
        await line.send(GOOD)
        await serve_well(line)

    return script


async def closed(line: Line) -> None:
    async with asyncio.timeout(PATIENCE):
        await line.closed.wait()


@SECURE
async def test_connections_are_spread_over_all_addresses(lane: MakeLane, name: Name) -> None:
    await name.serve_all(together(6))
    under_test = lane(name.address, balance="all")
    for _ in range(3):
        assert set(await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(6)))) == {GOOD_REPLY}
    assert name.connections() == [2, 2, 2]
    assert name.looked_up == 1


async def test_the_first_address_that_answers_has_all_connections(lane: MakeLane, name: Name) -> None:
    await name.serve_all(together(6))
    name.record = [3, 1, 2]
    under_test = lane(name.address)
    assert set(await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(6)))) == {GOOD_REPLY}
    assert name.connections() == [0, 0, 6]


@pytest.mark.usefixtures("at_once")
async def test_a_record_that_changes_is_followed_while_connections_are_in_use(lane: MakeLane, name: Name) -> None:
    await name.serve_all()
    name.record = [1]
    under_test = lane(name.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    name.record = [2]
    async with asyncio.timeout(PATIENCE):
        while not name.peers[2].lines:
            assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    await closed(name.peers[1].lines[0])
    assert name.connections() == [1, 1, 0]


@SECURE
@pytest.mark.usefixtures("at_once")
async def test_a_call_under_way_at_an_address_that_leaves_is_answered(lane: MakeLane, name: Name) -> None:
    left = asyncio.Event()

    async def script(line: Line) -> None:
        for _ in range(3):  # from the third on the wire lane knows the reply by its bytes
            await line.request()
            await line.send(GOOD)
        await line.request()
        await left.wait()
        await line.send(GOOD)
        await line.gone()

    await name.serve(1, script)
    await name.serve(2)
    name.record = [1]
    under_test = lane(name.address)
    for _ in range(3):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    slow = asyncio.ensure_future(outcome(post(under_test, "/", b"{}")))
    name.record = [2]
    await name.is_looked_up(name.looked_up + 3)  # so the lane has acted upon the new record, too
    assert not slow.done()
    left.set()
    assert await slow == GOOD_REPLY
    await closed(name.peers[1].lines[0])
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert name.connections() == [1, 1]


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.mark.parametrize("name", [True], indirect=True)
@pytest.mark.usefixtures("at_once")
async def test_an_address_that_leaves_during_a_handshake_carries_one_call_at_most(lane: MakeLane, name: Name) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await left.wait()
        reading, writing = await asyncio.open_connection("127.0.0.3", name.port)
        await asyncio.gather(relay(reader, writing), relay(reading, writer))

    async def once(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        await line.gone()

    await name.listen(accept, 1)
    await name.serve(2, once)
    await name.serve(3)
    name.record = [1]
    under_test = lane(name.address, timeout=2 * SHORT)
    call = asyncio.ensure_future(outcome(post(under_test, "/", b"{}")))
    await begun.wait()
    name.record = [2]
    await name.is_looked_up(name.looked_up + 3)  # so the lane has acted upon the new record, too
    left.set()
    assert await call == GOOD_REPLY
    calls = 1
    while (came := await outcome(post(under_test, "/", b"{}"))) == GOOD_REPLY:
        calls += 1
    assert came is TimedOut
    assert calls <= 2
    assert name.connections() == [1, 1]


@pytest.mark.usefixtures("at_once")
async def test_connections_move_to_an_address_that_is_new(lane: MakeLane, name: Name) -> None:
    await name.serve(1, together(4))
    await name.serve(2)
    name.record = [1]
    under_test = lane(name.address, balance="all")
    assert set(await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(4)))) == {GOOD_REPLY}
    name.record = [1, 2]
    async with asyncio.timeout(PATIENCE):
        while not name.peers[2].lines:
            await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(4)))


async def test_nobody_is_asked_who_was_asked_a_moment_ago(lane: MakeLane, name: Name) -> None:
    await name.serve(1, together(4))
    name.record = [1]
    under_test = lane(name.address)
    await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(4)))
    assert name.looked_up == 1


async def serve_once(line: Line) -> None:
    """One reply on each connection."""
    await line.request()
    await line.send(GOOD.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


@pytest.mark.usefixtures("at_once")
async def test_while_names_cannot_be_looked_up_what_was_found_counts(lane: MakeLane, name: Name) -> None:
    await name.serve(1, serve_once)
    name.record = [1]
    under_test = lane(name.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    name.record = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    for _ in range(3):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert name.looked_up > 1


@pytest.mark.usefixtures("at_once")
async def test_nor_is_a_lookup_waited_for_that_takes_long(lane: MakeLane, name: Name) -> None:
    await name.serve(1, serve_once)
    name.record = [1]
    under_test = lane(name.address, timeout=SHORT)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    name.answered = asyncio.Event()
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    name.answered.set()


def goes_dark(calls: int) -> tuple[Script, asyncio.Event]:
    """Answers so many together, over and over, until it is told to answer none."""
    barrier, dark = asyncio.Barrier(calls), asyncio.Event()

    async def script(line: Line) -> None:
        while True:
            await line.request()
            if dark.is_set():
                await line.gone()
                return
            await barrier.wait()
            await line.send(GOOD)

    return script, dark


@SECURE
async def test_an_address_that_goes_dark_costs_the_calls_under_way_and_no_more(lane: MakeLane, name: Name) -> None:
    """However many idle connections there are to it."""
    script, dark = goes_dark(6)
    await name.serve(1, script)
    await name.serve(2)
    name.record = [1, 2]
    under_test = lane(name.address, timeout=SHORT)
    for _ in range(2):
        assert set(await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(6)))) == {GOOD_REPLY}
    dark.set()
    assert await outcome(post(under_test, "/", b"{}")) is Dark
    for _ in range(10):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    for line in name.peers[1].lines:
        await closed(line)


async def test_the_same_of_an_address_that_is_the_only_one_until_the_record_changes(lane: MakeLane, name: Name) -> None:
    script, dark = goes_dark(6)
    await name.serve(1, script)
    await name.serve(2)
    name.record = [1]
    under_test = lane(name.address, timeout=SHORT)
    assert set(await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(6)))) == {GOOD_REPLY}
    dark.set()
    name.record = [2]
    assert await outcome(post(under_test, "/", b"{}")) is TimedOut
    for _ in range(10):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


async def test_an_address_that_is_only_slow_to_answer_one_call_keeps_its_other_connections(
    lane: MakeLane, name: Name
) -> None:
    barrier = asyncio.Barrier(3)

    async def script(line: Line) -> None:
        await line.request()
        await barrier.wait()
        while b"/slow" not in line.head:
            await line.send(GOOD)
            await line.request()
        await line.gone()

    await name.serve(1, script)
    name.record = [1]
    under_test = lane(name.address, timeout=SHORT)
    await asyncio.gather(*(post(under_test, "/", b"{}") for _ in range(3)))
    slow = asyncio.ensure_future(outcome(post(under_test, "/slow", b"{}")))
    while not slow.done():
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
        await asyncio.sleep(0.01)
    assert await slow is TimedOut
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert name.connections() == [3]


async def test_a_replica_that_cuts_its_connections_off_is_not_dialled_again_before_the_others(
    lane: MakeLane, name: Name
) -> None:
    """It may still take connections, for as long as its process takes to end."""

    async def script(line: Line) -> None:
        await line.request()
        await line.send(GOOD)
        await line.request()
        line.reset()

    await name.serve(1, script, together(2))
    await name.serve(2)
    name.record = [1, 2]
    under_test = lane(name.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert name.connections() == [1, 1]


@pytest.mark.parametrize("name", [True], indirect=True)
async def test_a_replica_that_hangs_up_in_the_handshake_is_left_for_the_others(lane: MakeLane, name: Name) -> None:
    """As one may that is about to end."""
    await name.hang_up(1)
    await name.serve(2)
    name.record = [1, 2]
    under_test = lane(name.address)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    name.record = [1]
    assert await outcome(post(lane(name.address), "/", b"{}")) is Unreachable


@pytest.mark.parametrize("name", [True], indirect=True)
async def test_a_replica_that_cannot_be_trusted_is_not_passed_over_in_silence(lane: MakeLane, name: Name) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(NAME).configure_cert(context)
    await name.serve(2)
    name.peers[1] = foreign = Peer(serve_well)
    await name.listen(foreign.accept, 1, ssl=context)
    name.record = [1, 2]
    under_test = lane(name.address)
    assert await outcome(post(under_test, "/", b"{}")) is Untrusted
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


async def test_where_no_address_answers_it_is_unreachable_and_looked_up_anew(lane: MakeLane, name: Name) -> None:
    with ports.closed() as name.port:
        name.record = [1, 2]
        under_test = lane(name.address, balance="all")
        for times in (1, 2, 3):
            came = await outcome(post(under_test, "/", b"{}"))
            assert isinstance(came, type)
            assert issubclass(came, LaneError)
            assert came is Unreachable
            assert name.looked_up == times
    await name.serve(3)
    name.record = [3]
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert issubclass(Dark, Broken)
