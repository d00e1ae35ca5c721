"""Who comes in at a shard's door, and who does not."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from engine.cluster import door
from engine.cluster.door import Door, Way, enter
from engine.cluster.frames import MAIL

HERE = "127.0.0.1"


async def spoken(way: Way, said: bytes) -> bytes:
    """What is answered until the end to who says that."""
    reader, writer = await asyncio.open_connection(way.host, way.port)
    writer.write(said)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def comes_in(opened: Door, way: Way) -> None:
    """The driver does, says what it wants, and goes."""
    ours = await enter(way)
    ours.write(MAIL, b"settings")
    theirs = await opened.driver()
    assert await theirs.read() == (MAIL, b"settings")
    ours.close()
    assert await theirs.read() is None


async def test_who_has_the_token_is_the_driver_and_says_at_once_what_it_wants() -> None:
    opened = Door()
    ours = await enter(await opened.open(HERE))
    ours.write(MAIL, bytes(100_000))
    theirs = await opened.driver()
    assert await theirs.read() == (MAIL, bytes(100_000))
    theirs.write(MAIL, b"answer")
    assert await ours.read() == (MAIL, b"answer")
    ours.close()
    assert await theirs.read() is None


@pytest.mark.parametrize(
    "said",
    [
        b"\0\0\0\0\x20" + bytes(32),
        b"\0\0\0\0\0",
        b"\0\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(1_000_000),
    ],
)
async def test_who_has_not_is_hung_up_on_and_the_driver_still_comes_in(said: bytes) -> None:
    opened = Door()
    way = await opened.open(HERE)
    assert await spoken(way, said) == b""
    await comes_in(opened, way)


async def test_who_says_nothing_keeps_nobody_out_and_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Door()
    way = await opened.open(HERE)
    with monkeypatch.context() as shorter:
        shorter.setattr(door, "PATIENCE", 0.1)
        assert await spoken(way, b"\0") == b""
    await comes_in(opened, way)


async def test_nobody_comes_in_behind_the_driver() -> None:
    opened = Door()
    way = await opened.open(HERE)
    await comes_in(opened, way)
    with pytest.raises(ConnectionRefusedError):
        await enter(way)


async def test_where_nobody_comes_it_is_not_waited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PATIENCE", 0.1)
    opened = Door()
    way = await opened.open(HERE)
    with pytest.raises(TimeoutError):
        await opened.driver()
    with pytest.raises(ConnectionRefusedError):
        await enter(way)


class TestTls:
    @pytest.fixture
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
        """TLS as a cluster of Ray's is told of it, in this process."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        self.show(authority, tmp_path)
        monkeypatch.setenv("RAY_USE_TLS", "1")
        monkeypatch.setenv("RAY_TLS_CA_CERT", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("RAY_TLS_SERVER_CERT", str(tmp_path / "cert.pem"))
        monkeypatch.setenv("RAY_TLS_SERVER_KEY", str(tmp_path / "key.pem"))
        return authority

    def show(self, authority: trustme.CA, folder: Path) -> None:
        """Have that authority's certificate be the one that is shown."""
        certificate = authority.issue_cert(HERE)
        certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")

    async def test_both_speak_it_where_ray_does(self, files: trustme.CA) -> None:
        opened = Door()
        ours = await enter(await opened.open(HERE))
        ours.write(MAIL, bytes(1_000_000))
        theirs = await opened.driver()
        assert await theirs.read() == (MAIL, bytes(1_000_000))
        theirs.write(MAIL, b"answer")
        theirs.finish()
        assert await ours.read() == (MAIL, b"answer")
        assert await ours.read() is None

    async def test_who_has_a_certificate_of_another_authority_does_not_come_in(
        self, files: trustme.CA, tmp_path: Path
    ) -> None:
        opened = Door()
        way = await opened.open(HERE)
        self.show(trustme.CA(), tmp_path)
        ours = await enter(way)  # it hears of it only now
        assert await ours.read() is None
        self.show(files, tmp_path)
        await comes_in(opened, way)

    async def test_a_shard_of_another_authority_is_not_spoken_with(self, files: trustme.CA, tmp_path: Path) -> None:
        self.show(trustme.CA(), tmp_path)
        opened = Door()
        way = await opened.open(HERE)
        with pytest.raises(ssl.SSLCertVerificationError):
            await enter(way)
        opened.close()
