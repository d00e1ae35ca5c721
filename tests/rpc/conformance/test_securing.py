"""TLS on the wire lane: sessions, other settings, and ends that are none."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from rpc.address import Address
from rpc.credentials import Credentials
from rpc.lanes import Broken, LaneError, Response, Unreachable, Untrusted
from rpc.lanes.connection import Connection
from rpc.lanes.securing import Secured
from rpc.lanes.wire import WireLane
from rpc.tls import Tls
from tests import threads
from tests.asking import post
from tests.rpc.conformance.peers import outcome
from tests.rpc.conformance.secured import LAST, REPLY, Front, Server
from tests.undisturbed import undisturbed

EMPTY = Response(200, b"{}")
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[..., Awaitable[Address]]
Serve = Callable[..., Awaitable[Server]]
Lane = Callable[..., WireLane]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> Tls:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return Tls(ca_file=tmp_path / "ca.pem")


@pytest.fixture
def identity(authority: trustme.CA, tls: Tls, tmp_path: Path) -> Callable[[str], Tls]:
    def identity(name: str) -> Tls:
        issued = authority.issue_cert(common_name=name)
        (tmp_path / f"{name}.pem").write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        return Tls(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / f"{name}.pem")

    return identity


@pytest.fixture
async def listen() -> AsyncIterator[Callable[..., Awaitable[Address]]]:
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(accept: Handler, **options: Any) -> Address:
        async def follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await accept(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        servers.append(await asyncio.start_server(follow, "127.0.0.1", 0, **options))
        return Address("https", "127.0.0.1", servers[-1].sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def serve(authority: trustme.CA, listen: Listen) -> Serve:
    """``await serve(version)``; ``clients`` have to show certificates by our authority."""

    async def start(
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        *,
        clients: bool = False,
        speaks: list[str] | None = None,
    ) -> Server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = context.maximum_version = version
        authority.issue_cert("127.0.0.1").configure_cert(context)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            authority.configure_trust(context)
        if speaks is not None:
            context.set_alpn_protocols(speaks)
        it = Server(Address("https"))
        it.answering.set()
        it.address = await listen(it.accept, ssl=context)
        return it

    return start


@pytest.fixture
def one_at_a_time(authority: trustme.CA) -> Iterator[Address]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(REPLY)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(HTTPServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            accepted, address = super().get_request()
            return context.wrap_socket(accepted, server_side=True), address

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with threads.serving(Server(("127.0.0.1", 0), Handler)) as server:
        yield Address("https", "127.0.0.1", server.server_port)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def lane(tls: Tls) -> AsyncIterator[Callable[..., WireLane]]:
    made: list[WireLane] = []

    def make(address: Address, **options: Any) -> WireLane:
        defaults: dict[str, Any] = {"timeout": 10.0, "max_body": 1000, "headers": {}, "tls": tls}
        made.append(WireLane(address, **defaults | options))
        return made[-1]

    yield make
    for it in made:
        await it.aclose()


@VERSIONS
async def test_sessions_are_resumed(version: ssl.TLSVersion, serve: Serve, lane: Lane) -> None:
    server = await serve(version)
    it = lane(server.address)
    for _ in range(4):
        assert await outcome(post(it, "/", b"{}")) == EMPTY
    assert server.resumed == [False, True, True, True]


@VERSIONS
async def test_a_session_ends_with_the_identity_that_it_was_made_with(
    version: ssl.TLSVersion, serve: Serve, lane: Lane, identity: Callable[[str], Tls]
) -> None:
    server = await serve(version, clients=True)
    it = lane(server.address, tls=identity("old"))
    for name in ("old", "old", "new", "new"):
        if name not in server.shown:
            it.renew(Credentials(tls=identity(name)))
        assert await outcome(post(it, f"/{name}", b"{}")) == EMPTY
    assert server.asked_by == [("/old", "old"), ("/old", "old"), ("/new", "new"), ("/new", "new")]
    assert server.resumed == [False, True, False, True]


async def test_a_session_stands_in_for_the_certificate_for_an_hour_at_most(serve: Serve, lane: Lane) -> None:
    server, clock = await serve(), Clock()
    it = lane(server.address, clock=clock)
    for seconds in (0, 1, 3598, 1, 1):
        clock.now += seconds
        assert await outcome(post(it, "/", b"{}")) == EMPTY
    assert server.resumed == [False, True, True, False, True]


async def test_a_server_that_begins_anew_knows_no_old_session(serve: Serve, listen: Listen, lane: Lane) -> None:
    servers = [await serve(), await serve()]
    front = Front(servers[0].address)
    it = lane(await listen(front.accept))
    for server in (servers[0], servers[0], servers[1], servers[1]):
        front.behind = server.address
        assert await outcome(post(it, "/", b"{}")) == EMPTY
    assert [server.resumed for server in servers] == [[False, True], [False, False]]
    assert await outcome(post(it, "/", b"{}")) == EMPTY
    assert servers[1].resumed == [False, False, True]


@undisturbed
async def test_a_server_that_never_resumes_is_offered_one_session(serve: Serve, listen: Listen, lane: Lane) -> None:
    front = Front(Address("https"))
    it = lane(await listen(front.accept))
    for _ in range(4):
        server = await serve()
        front.behind = server.address
        assert await outcome(post(it, "/", b"{}")) == EMPTY
        assert server.resumed == [False]
    assert front.offered == [False, True, False, False]


async def test_a_server_that_hangs_up_on_sessions_is_served_without(serve: Serve, listen: Listen, lane: Lane) -> None:
    server = await serve()
    front = Front(server.address, intolerant=True)
    it = lane(await listen(front.accept))
    for _ in range(4):
        assert await outcome(post(it, "/", b"{}")) == EMPTY
    assert server.resumed == [False] * 4
    assert front.offered == [False, True, False, False, False]


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
async def test_a_connection_that_is_over_need_not_wait_for_the_garbage_collector(
    secure: bool, serve: Serve, listen: Listen, lane: Lane, settled: None
) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(LAST)

    address = (await serve()).address if secure else replace(await listen(plain), scheme="http")
    it = lane(address)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            assert await outcome(post(it, "/", b"{}")) == EMPTY
        await it.aclose()
        assert not [each for each in gc.get_objects() if isinstance(each, (Connection, Secured))]
    finally:
        gc.enable()


async def test_the_protocol_that_is_offered(serve: Serve, lane: Lane) -> None:
    for speaks, chosen in ((None, None), (["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
        server = await serve(speaks=speaks)
        assert await outcome(post(lane(server.address), "/", b"{}")) == EMPTY
        assert server.chosen == [chosen]


async def test_a_server_that_takes_none_of_the_protocols(listen: Listen, lane: Lane) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x15\x03\x03\x00\x02\x02\x78")  # alert 120 (RFC 7301, 3.2)
        await reader.read()

    with pytest.raises(Untrusted, match=r"the plugin does not take http/1\.1, which is all that is offered by ALPN"):
        await post(lane(await listen(refuse)), "/", b"{}")


async def test_hanging_up_in_the_handshake_is_told_from_a_bad_certificate(listen: Listen, lane: Lane) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    it = lane(await listen(hang_up))
    with pytest.raises(Unreachable, match="hung up in the handshake; perhaps it asks for a client certificate"):
        await post(it, "/", b"{}")
    assert await outcome(post(it, "/", b"{}")) is Unreachable


@undisturbed
async def test_a_server_that_serves_one_connection_at_a_time_fails_nobody(tls: Tls, one_at_a_time: Address) -> None:
    """It does not even shake hands with the others, which give that up after a while."""

    class Counting(WireLane):
        given_up = 0

        def _refused(self, error: LaneError) -> None:
            self.given_up += 1
            super()._refused(error)

    it = Counting(one_at_a_time, timeout=0.3, max_body=1000, headers={}, tls=tls)

    async def work() -> None:
        while it.given_up < 10:
            assert await outcome(post(it, "/", b"{}")) == EMPTY

    await asyncio.gather(*(work() for _ in range(8)))
    await it.aclose()


async def test_other_settings_let_a_call_come_to_its_end_and_no_other_follow_it(
    serve: Serve, lane: Lane, identity: Callable[[str], Tls]
) -> None:
    server = await serve(clients=True)
    server.reply = REPLY
    it = lane(server.address, tls=identity("old"))
    server.answering.clear()
    call = asyncio.ensure_future(outcome(post(it, "/old", b"{}")))
    await server.asked.wait()
    it.renew(Credentials(tls=identity("new")))
    server.answering.set()
    assert await call == EMPTY
    for _ in range(2):
        assert await outcome(post(it, "/new", b"{}")) == EMPTY
    assert server.asked_by == [("/old", "old"), ("/new", "new"), ("/new", "new")]
    assert server.shown == ["old", "new"]
    await server.left.wait()


async def test_other_settings_count_at_any_moment(serve: Serve, lane: Lane, identity: Callable[[str], Tls]) -> None:
    server = await serve(clients=True)
    server.reply = REPLY
    old, new = identity("old"), identity("new")
    for turns in range(30):
        it = lane(server.address, tls=old)
        calls = [asyncio.ensure_future(outcome(post(it, "/before", b"{}")))]
        for _ in range(turns):
            await asyncio.sleep(0)
        it.renew(Credentials(tls=new))
        calls.append(asyncio.ensure_future(outcome(post(it, "/after", b"{}"))))
        assert await asyncio.gather(*calls) == [EMPTY] * 2
        await it.aclose()
    assert {name for path, name in server.asked_by if path == "/after"} == {"new"}


@pytest.mark.parametrize(
    ("body", "leaves", "expected"),
    [
        (b'{"node":{', False, Broken),
        (b'{"node":{}}', False, Response(200, b'{"node":{}}')),
        (b'{"node":{', True, Response(200, b'{"node":{')),
    ],
    ids=["cut_short", "whole_all_the_same", "to_the_end"],
)
async def test_only_the_end_of_tls_is_the_end_of_a_reply(
    authority: trustme.CA, lane: Lane, body: bytes, leaves: bool, expected: Any
) -> None:
    """Whoever is between could end a connection of TCP."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        with context.wrap_socket(accepted, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)
            if leaves:
                secured.unwrap()
            else:
                secured.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        it = lane(Address("https", "127.0.0.1", listening.getsockname()[1]))
        serving = asyncio.to_thread(serve, listening)
        came, _ = await asyncio.gather(outcome(post(it, "/", b"{}")), serving)
    assert came == expected
