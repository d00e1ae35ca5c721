"""Rows "TLS" of the faults."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
import uvloop

from rpc.address import Address, parse_address
from rpc.lanes import Unreachable, Untrusted
from rpc.tls import Tls
from tests.asking import post
from tests.rpc.conformance.peers import GOOD, GOOD_REPLY, Line, MakeLane, outcome, serve_well
from tests.security.servers import serving

Serve = Callable[..., Awaitable[Address]]


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """One that is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """``await serve(certificate)`` starts a server that shows it, and prefers these ``protocols`` (ALPN)."""
    servers: list[asyncio.AbstractServer] = []
    tasks: list[asyncio.Task[None]] = []

    async def start(certificate: trustme.LeafCert, protocols: Sequence[str] = ()) -> Address:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            try:
                await serve_well(Line(reader, writer))
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        if protocols:
            context.set_alpn_protocols(protocols)
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        return Address("https", "127.0.0.1", server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_good_certificate(authority: trustme.CA, serve: Serve, lane: MakeLane) -> None:
    it = lane(await serve(authority.issue_cert("127.0.0.1")), tls=None)
    assert await outcome(post(it, "/", b"{}")) == GOOD_REPLY


async def test_expired_certificate(authority: trustme.CA, serve: Serve, lane: MakeLane) -> None:
    it = lane(await serve(authority.issue_cert("127.0.0.1", not_after=datetime(2001, 1, 1, tzinfo=UTC))), tls=None)
    assert await outcome(post(it, "/", b"{}")) is Untrusted


async def test_certificate_of_another_host(authority: trustme.CA, serve: Serve, lane: MakeLane) -> None:
    it = lane(await serve(authority.issue_cert("another.test")), tls=None)
    assert await outcome(post(it, "/", b"{}")) is Untrusted


async def test_certificate_of_an_unknown_authority(authority: trustme.CA, serve: Serve, lane: MakeLane) -> None:
    it = lane(await serve(trustme.CA().issue_cert("127.0.0.1")), tls=None)
    assert await outcome(post(it, "/", b"{}")) is Untrusted


async def test_peer_that_chooses_another_protocol(
    authority: trustme.CA, serve: Serve, lane: MakeLane, tmp_path: Path
) -> None:
    tls = Tls(ca_file=tmp_path / "ca.pem")
    tls.context.set_alpn_protocols(["h2"])  # no server of Python's chooses what was not offered
    it = lane(await serve(authority.issue_cert("127.0.0.1"), ["h2"]), tls=tls)
    with pytest.raises(Untrusted, match=r"the plugin chose the protocol h2 by ALPN, and http/1\.1 was offered"):
        await post(it, "/", b"{}")


async def test_a_client_certificate_is_asked_for(authority: trustme.CA, lane: MakeLane, way: str) -> None:
    """In TLS 1.3 that is said when the handshake is over to us, and the request may be on its way."""
    if way == "aiohttp" and not isinstance(asyncio.get_running_loop(), uvloop.Loop):
        pytest.skip("a failed write hides it from asyncio's own TLS")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(context) as server:
        it = lane(parse_address(server.address), tls=None)
        for _ in range(10):
            with pytest.raises(Untrusted, match="a client certificate is asked for: certificate required"):
                await post(it, "/", b"{}")


async def test_handshake_stall(authority: trustme.CA, lane: MakeLane, brief_connects: None) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        it = lane(Address("https", "127.0.0.1", server.sockets[0].getsockname()[1]), timeout=2.0, tls=None)
        assert await outcome(post(it, "/", b"{}")) is Unreachable


async def test_peer_that_does_not_speak_tls(authority: trustme.CA, lane: MakeLane) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(GOOD)
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        it = lane(Address("https", "127.0.0.1", server.sockets[0].getsockname()[1]), tls=None)
        assert await outcome(post(it, "/", b"{}")) is Untrusted
