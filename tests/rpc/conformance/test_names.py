"""Names with several addresses, whose records change: both lanes follow them alike."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from rpc.address import parse_address
from rpc.lanes import TimedOut
from tests.asking import post
from tests.rpc.conformance.names import SECURE, SHORT, Name, closed, together
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, PATIENCE, Line, MakeLane, Peer, outcome, serve_well
from tests.undisturbed import undisturbed


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is old as soon as it is there, so that nobody need wait."""
    monkeypatch.setattr("rpc.lanes.addresses.LIFETIME", 0.0)


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


async def test_a_connection_is_kept_to_who_answers_by_another_address(lane: MakeLane) -> None:
    """Nothing says that it left the record: it was never in it."""
    peer = Peer(serve_well)
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    address = parse_address(f"http://0.0.0.0:{server.sockets[0].getsockname()[1]}")
    under_test = lane(address)
    for _ in range(3):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
        await asyncio.sleep(0.1)  # two sweeps
    assert len(peer.lines) == 1
    server.close()
    await peer.stop()


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
@undisturbed
async def test_an_address_that_leaves_during_a_handshake_carries_one_call_at_most(lane: MakeLane, name: Name) -> None:
    await name.anew()
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
@undisturbed
async def test_nor_is_a_lookup_waited_for_that_takes_long(lane: MakeLane, name: Name) -> None:
    await name.anew()
    await name.serve(1, serve_once)
    name.record = [1]
    under_test = lane(name.address, timeout=SHORT)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    name.answered = asyncio.Event()
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    name.answered.set()
