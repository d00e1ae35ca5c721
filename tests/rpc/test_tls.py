"""https: certificates are checked, and a bad one is the plugin's fault but may be mended."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from rpc import Client, Method, TransientError
from rpc.lanes import Untrusted

NODE = Method.NODE_PRE_EXECUTE


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def port(authority: trustme.CA) -> AsyncIterator[int]:
    """An https server whose certificate names ``localhost`` only."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(answer, "localhost", 0, family=2, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_trusted_certificate_is_served(
    authority: trustme.CA, port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with Client(f"https://localhost:{port}") as client:
        assert await client.call(NODE, {}) == {}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_that_cannot_be_trusted_is_transient_and_named(host: str, port: int) -> None:
    async with Client(f"https://{host}:{port}") as client:
        with pytest.raises(TransientError, match="TLS") as caught:
            await client.call(NODE, {})
    assert isinstance(caught.value.__cause__, Untrusted)
