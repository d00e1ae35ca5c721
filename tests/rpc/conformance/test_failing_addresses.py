"""Of the addresses of a name some fail, in one way or another: both lanes leave them for the others."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from rpc.lanes import Broken, Dark, Lane, LaneError, TimedOut, Unreachable, Untrusted
from tests import ports
from tests.asking import post
from tests.rpc.conformance.names import NAME, SECURE, SHORT, Name, closed, together
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, Line, MakeLane, Peer, Script, outcome, serve_well
from tests.undisturbed import undisturbed


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


async def one_of_two(lane: MakeLane, name: Name, record: list[int]) -> tuple[Lane, asyncio.Event]:
    """A lane to a name with two addresses, of which the first goes dark; and what has it do so."""
    await name.anew()
    script, dark = goes_dark(6)
    await name.serve(1, script)
    await name.serve(2)
    name.record = record
    return lane(name.address, timeout=SHORT), dark


async def answered_together(under_test: Lane) -> None:
    assert set(await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(6)))) == {GOOD_REPLY}


@SECURE
@undisturbed
async def test_an_address_that_goes_dark_costs_the_calls_under_way_and_no_more(lane: MakeLane, name: Name) -> None:
    """However many idle connections there are to it."""
    under_test, dark = await one_of_two(lane, name, record=[1, 2])
    await answered_together(under_test)
    await answered_together(under_test)
    dark.set()
    assert await outcome(post(under_test, "/", b"{}")) is Dark
    for _ in range(10):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    for line in name.peers[1].lines:
        await closed(line)


@undisturbed
async def test_the_same_of_an_address_that_is_the_only_one_until_the_record_changes(lane: MakeLane, name: Name) -> None:
    under_test, dark = await one_of_two(lane, name, record=[1])
    await answered_together(under_test)
    dark.set()
    name.record = [2]
    assert await outcome(post(under_test, "/", b"{}")) is TimedOut
    for _ in range(10):
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


@undisturbed
async def test_an_address_that_is_only_slow_to_answer_one_call_keeps_its_other_connections(
    lane: MakeLane, name: Name
) -> None:
    await name.anew()
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
