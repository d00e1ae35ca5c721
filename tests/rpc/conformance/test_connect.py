"""Rows "connect" of the faults."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpc.address import Address
from rpc.destinations import Destinations
from rpc.lanes import MAX_NEWCOMERS, Broken, Exhausted, Forbidden, Unreachable
from tests.asking import post
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, Line, MakeLane, MakePeer, outcome, serve_well
from tests.undisturbed import undisturbed

BRIEF = 3.0
"""Of which `brief_connects` leaves a connect a tenth."""


@pytest.fixture
def blackhole() -> Iterator[Callable[[int], Any]]:
    """``blackhole(family)`` is the address of a listener whose backlog is full: it drops every further SYN."""
    opened: list[socket.socket] = []

    def make(family: int) -> Any:
        listener = socket.socket(family, socket.SOCK_STREAM)
        opened.append(listener)
        listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = socket.socket(family, socket.SOCK_STREAM)
            opened.append(filler)
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        return listener.getsockname()

    yield make
    for it in opened:
        it.close()


def answer_lookups(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Awaitable[Any]]) -> list[str]:
    """Let the loop resolve names by `answer`, and addresses as ever; the list tells which names were asked for."""
    asked: list[str] = []
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        if host[0].isdigit() or ":" in host:
            return await resolve(host, port, **options)
        asked.append(host)
        return await answer()

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    return asked


async def test_refused(lane: MakeLane, closed_port: int) -> None:
    assert await outcome(post(lane(Address("http", "127.0.0.1", closed_port)), "/", b"{}")) is Unreachable


async def test_a_dead_plugin_whose_port_the_system_gives_to_our_own_end(
    lane: MakeLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TCP then connects us to ourselves, and the request would be read as the reply."""

    async def connect_to_itself(*_: object, **__: object) -> socket.socket:
        connected = socket.socket()
        connected.bind(("127.0.0.1", 0))
        connected.connect(connected.getsockname())
        connected.setblocking(False)
        return connected

    monkeypatch.setattr("rpc.lanes.dialing.start_connection", connect_to_itself)
    monkeypatch.setattr("aiohappyeyeballs.start_connection", connect_to_itself)
    came = await outcome(post(lane(Address("http", "127.0.0.1", 1)), "/m", b"{}"))
    assert isinstance(came, type)
    assert issubclass(came, Broken)


async def test_blackholed_syn_fails_at_the_connect_timeout(
    lane: MakeLane, blackhole: Callable[[int], Any], brief_connects: None
) -> None:
    it = lane(Address("http", *blackhole(socket.AF_INET)), timeout=BRIEF)
    assert await outcome(post(it, "/", b"{}")) is Unreachable


async def test_blackholed_syn_fails_all_who_wait_for_it(
    lane: MakeLane, blackhole: Callable[[int], Any], brief_connects: None
) -> None:
    it = lane(Address("http", *blackhole(socket.AF_INET)), timeout=BRIEF)
    outcomes = await asyncio.gather(*(outcome(post(it, "/", b"{}")) for _ in range(MAX_NEWCOMERS)))
    assert set(outcomes) == {Unreachable}


async def test_name_that_does_not_exist(lane: MakeLane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    asked = answer_lookups(monkeypatch, fail)
    assert await outcome(post(lane(Address("http", "nowhere.invalid", 80)), "/", b"{}")) is Unreachable
    assert asked == ["nowhere.invalid"]


@undisturbed
async def test_slow_lookup_does_not_block_the_loop(
    lane: MakeLane, monkeypatch: pytest.MonkeyPatch, brief_connects: None
) -> None:
    answered = threading.Event()

    async def block() -> Any:
        await asyncio.get_running_loop().run_in_executor(None, answered.wait)
        return []

    answer_lookups(monkeypatch, block)
    call = asyncio.ensure_future(outcome(post(lane(Address("http", "slow.invalid", 80), timeout=BRIEF), "/", b"{}")))
    turns = 0
    while not call.done():
        await asyncio.sleep(0.001)
        turns += 1
    answered.set()
    assert call.result() is Unreachable
    assert turns > 5


async def test_one_lookup_serves_all_who_wait_for_it(
    lane: MakeLane, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await peer(serve_well)

    async def resolve() -> Any:
        await asyncio.sleep(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", it.address.port))]

    asked = answer_lookups(monkeypatch, resolve)
    under_test = lane(it.at("plugin.test"))
    outcomes = await asyncio.gather(*(outcome(post(under_test, "/", b"{}")) for _ in range(20)))
    assert set(outcomes) == {GOOD_REPLY}
    assert asked == ["plugin.test"]


@pytest.mark.parametrize("dead", ["refused", "blackholed"])
async def test_aaaa_dead_and_a_alive_is_delivered(
    dead: str, lane: MakeLane, peer: MakePeer, blackhole: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await peer(serve_well)
    ipv6 = blackhole(socket.AF_INET6) if dead == "blackholed" else ("::1", it.address.port, 0, 0)

    async def resolve() -> Any:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ipv6),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", it.address.port)),
        ]

    answer_lookups(monkeypatch, resolve)
    assert await outcome(post(lane(it.at("both.test")), "/", b"{}")) == GOOD_REPLY


async def test_an_address_that_goes_dark_is_left_for_the_other(
    lane: MakeLane, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await peer(serve_well, plain=True)
    loop = asyncio.get_running_loop()
    with socket.socket() as first, contextlib.ExitStack() as fillers:
        first.bind(("127.0.0.1", 0))
        first.listen(0)
        first.setblocking(False)
        addresses = [first.getsockname(), ("127.0.0.1", other.address.port)]

        async def resolve() -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        answer_lookups(monkeypatch, resolve)
        under_test = lane(other.at("both.test"))
        call = asyncio.ensure_future(outcome(post(under_test, "/", b"{}")))
        with (await loop.sock_accept(first))[0] as accepted:
            accepted.setblocking(False)
            await loop.sock_recv(accepted, 65536)
            await loop.sock_sendall(accepted, GOOD.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            assert await call == GOOD_REPLY
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(first.getsockname())
        assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
        assert len(other.lines) == 1


async def test_a_name_that_ends_in_a_dot_is_the_same_name(
    lane: MakeLane, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await peer(serve_well)
    answer_lookups(monkeypatch, answering("127.0.0.1", port=it.address.port))
    assert await outcome(post(lane(it.at("plugin.test.")), "/", b"{}")) == GOOD_REPLY


async def test_a_call_in_the_very_turn_in_which_the_lookup_ends(
    lane: MakeLane, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await peer(serve_well)
    asked, found = asyncio.Event(), asyncio.Event()

    async def resolve() -> Any:
        asked.set()
        await found.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", it.address.port))]

    answer_lookups(monkeypatch, resolve)
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    under_test = lane(it.at("plugin.test"))
    calls = [asyncio.ensure_future(post(under_test, "/", b"{}"))]
    await asked.wait()
    found.set()
    for _ in range(4):
        calls.append(asyncio.ensure_future(post(under_test, "/", b"{}")))
        await asyncio.sleep(0)
    assert [await outcome(call) for call in calls] == [GOOD_REPLY] * 5
    assert not unhandled


async def test_a_name_without_any_address(lane: MakeLane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve() -> Any:
        return []

    answer_lookups(monkeypatch, resolve)
    came = await outcome(post(lane(Address("http", "nowhere.invalid", 80)), "/", b"{}"))
    assert isinstance(came, type)
    assert issubclass(came, Broken)


@pytest.mark.parametrize("ending", ["fin", "reset"])
async def test_accepted_and_closed_at_once(ending: str, lane: MakeLane, peer: MakePeer) -> None:
    async def script(line: Line) -> None:
        line.reset() if ending == "reset" else line.fin()

    it = await peer(script, serve_well)
    under_test = lane(it.address)
    got = await outcome(post(under_test, "/", b"{}"))
    assert isinstance(got, type)
    assert issubclass(got, Broken)
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


async def test_unix_socket_is_served(lane: MakeLane, peer: MakePeer, tmp_path: Path) -> None:
    it = await peer(serve_well, path=str(tmp_path / "plugin.sock"))
    assert await outcome(post(lane(it.address), "/", b"{}")) == GOOD_REPLY
    assert b"host: localhost\r\n" in it.lines[0].head.lower()


async def test_unix_socket_missing(lane: MakeLane, tmp_path: Path) -> None:
    it = lane(Address("unix", socket=str(tmp_path / "missing.sock")))
    assert await outcome(post(it, "/", b"{}")) is Unreachable


async def test_unix_socket_that_nobody_listens_on(lane: MakeLane, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unheard:
        unheard.bind(str(tmp_path / "plugin.sock"))
        assert (
            await outcome(post(lane(Address("unix", socket=str(tmp_path / "plugin.sock"))), "/", b"{}")) is Unreachable
        )


async def test_listen_backlog_is_not_filled(lane: MakeLane, peer: MakePeer) -> None:
    """At most so many connections that have not given a reply, however many calls there are."""
    go_on = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await go_on.wait()
        await line.send(GOOD)
        await serve_well(line)

    it = await peer(script)
    under_test = lane(it.address)
    calls = [asyncio.ensure_future(outcome(post(under_test, "/", b"{}"))) for _ in range(50)]
    await it.connected(MAX_NEWCOMERS)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(it.lines) == MAX_NEWCOMERS
    go_on.set()
    assert set(await asyncio.gather(*calls)) == {GOOD_REPLY}


async def test_out_of_file_descriptors_is_our_own_fault(lane: MakeLane, peer: MakePeer) -> None:
    it = await peer(serve_well)
    under_test = lane(it.address)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest_free = probe.fileno()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        assert await outcome(post(under_test, "/", b"{}")) is Exhausted
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY


def answering(*addresses: str, port: int = 80) -> Callable[[], Awaitable[Any]]:
    """A lookup that finds these addresses."""

    async def answer() -> Any:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    return answer


def watch_dialling(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are dialled."""
    dialled: list[str] = []
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def sock_connect(connecting: socket.socket, address: Any) -> None:
        dialled.append(address[0])
        await connect(connecting, address)

    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    return dialled


@pytest.mark.parametrize(
    "addresses", [["169.254.169.254"], ["fe80::1"], ["fd00:ec2::254"], ["::ffff:169.254.169.254", "169.254.169.254"]]
)
async def test_a_name_that_leads_where_a_discovered_plugin_may_not_be_is_not_dialled(
    lane: MakeLane, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    asked = answer_lookups(monkeypatch, answering(*addresses))
    dialled = watch_dialling(monkeypatch)
    under_test = lane(Address("http", "rebound.test", 80), destinations=Destinations(discovered=True))
    with pytest.raises(Forbidden, match=f"^{addresses[0]}, which rebound.test stands for, is a .*"):
        await post(under_test, "/", b"{}")
    assert asked == ["rebound.test"]
    assert dialled == []


async def test_of_several_addresses_only_those_are_dialled_that_may_be(
    lane: MakeLane, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await peer(serve_well)
    answer_lookups(monkeypatch, answering("169.254.169.254", "127.0.0.1", "fe80::1", port=it.address.port))
    dialled = watch_dialling(monkeypatch)
    under_test = lane(it.at("plugin.test"), destinations=Destinations(discovered=True))
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert dialled == ["127.0.0.1"]


async def test_an_address_is_looked_up_once_checked_and_dialled(
    lane: MakeLane, peer: MakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads somewhere else each time it is asked for is none that is asked for twice."""
    it = await peer(serve_well)
    answers = [answering("127.0.0.1", port=it.address.port), answering("169.254.169.254")]
    asked = answer_lookups(monkeypatch, lambda: answers.pop(0)())
    dialled = watch_dialling(monkeypatch)
    under_test = lane(it.at("rebound.test"), destinations=Destinations(("127.0.0.0/8",), discovered=True))
    assert await outcome(post(under_test, "/", b"{}")) == GOOD_REPLY
    assert (asked, dialled) == (["rebound.test"], ["127.0.0.1"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_that_is_none_of_those_allowed_is_not_dialled(
    lane: MakeLane, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    dialled = watch_dialling(monkeypatch)
    under_test = lane(Address("http", host, 80), destinations=Destinations(("10.0.0.0/8", "*")))
    with pytest.raises(Forbidden, match=rf"^{host} is not in allowed_addresses \(10.0.0.0/8, \*\)$"):
        await post(under_test, "/", b"{}")
    assert dialled == []
