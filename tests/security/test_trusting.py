"""Whom a plugin's certificate has to be by, and what is said where it is not."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from registry import ConfigError, load_config
from rpc import Client, Method, Outcome, RetryPolicy, Tls, TransientError
from rpc.address import parse_address
from rpc.reachability import can_connect
from tests.security.servers import SecureServer, server_context, write_certificate

pytestmark = pytest.mark.usefixtures("impatient")

NODE = Method.NODE_PRE_EXECUTE
ONCE = RetryPolicy(attempts=1)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)

Serve = Callable[..., SecureServer]


async def refusal(server: SecureServer, tls: Tls | None) -> str:
    """Why a call fails; it has to be for the same reason for which a run would not begin."""
    async with Client(server.address, tls=tls, retry=ONCE) as client:
        with pytest.raises(TransientError) as caught:
            await client.call(NODE, {})
    assert caught.value.outcome is Outcome.UNTRUSTED
    reason = caught.value.reason.removeprefix("TLS failed: ")
    problem = await can_connect(parse_address(server.address), 5.0, tls=tls)
    assert problem == f"TLS with {server.address} failed: {reason}"
    return reason


async def test_an_authority_of_ones_own_is_trusted(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    server = serve(server_context(authority))
    async with Client(server.address, tls=Tls(ca_file=ca_file)) as client:
        assert await client.call(NODE, {}) == {}
    assert await can_connect(parse_address(server.address), 5.0, tls=Tls(ca_file=ca_file)) is None


async def test_an_unknown_issuer(serve: Serve, authority: trustme.CA, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    server = serve(server_context(authority))
    expected = "unknown issuer: unable to get local issuer certificate"
    assert await refusal(server, None) == expected
    assert await refusal(server, Tls(ca_file=tmp_path / "other.pem")) == expected


async def test_a_wrong_name_and_the_right_one(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    server = serve(server_context(authority, "plugin.internal"))
    assert (await refusal(server, Tls(ca_file=ca_file))).startswith("wrong name: Hostname mismatch")
    async with Client(server.address, tls=Tls(ca_file=ca_file, server_name="plugin.internal")) as client:
        assert await client.call(NODE, {}) == {}


async def test_an_expired_certificate(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", not_after=YESTERDAY).configure_cert(context)
    reason = await refusal(serve(context), Tls(ca_file=ca_file))
    assert reason == "the certificate has expired: certificate has expired"


async def test_a_client_certificate_is_asked_for(
    serve: Serve, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    server = serve(server_context(authority, clients=authority))
    reason = await refusal(server, Tls(ca_file=ca_file))
    assert reason == "a client certificate is asked for: certificate required"
    certificate, key = write_certificate(tmp_path, trustme.CA(), "stranger")
    reason = await refusal(server, Tls(ca_file=ca_file, cert_file=certificate, key_file=key))
    assert reason == "the plugin does not take our client certificate: unknown ca"
    certificate, key = write_certificate(tmp_path, authority)
    async with Client(server.address, tls=Tls(ca_file=ca_file, cert_file=certificate, key_file=key)) as client:
        assert await client.call(NODE, {}) == {}


async def test_no_version_in_common(serve: Serve, authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    reason = await refusal(serve(context), Tls(ca_file=ca_file, min_version="1.3"))
    assert reason == "no version of TLS that both take"


async def test_a_plugin_that_speaks_no_tls(serve: Serve, ca_file: Path) -> None:
    server = serve()
    server.context = None
    address = f"https://localhost:{server.server_port}"
    problem = await can_connect(parse_address(address), 5.0, tls=Tls(ca_file=ca_file))
    assert problem == f"TLS with {address} failed: what answers does not speak TLS"


async def test_not_verifying_is_said_aloud(serve: Serve, authority: trustme.CA, logs: Callable[[], str]) -> None:
    server = serve(server_context(authority, "elsewhere"))
    for _ in range(2):
        async with Client(server.address, name="a", tls=Tls(verify=False)) as client:
            assert await client.call(NODE, {}) == {}
        assert "level=warning msg=\"the plugin's certificate is not verified" in logs()


# What is wrong with files is found when the configuration is read


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str], str]:
    def refused(tls: str, more: str = "") -> str:
        file = tmp_path / "plugins.toml"
        file.write_text(f'[[plugins]]\nname = "a"\naddress = "https://h"\ntls = {{ {tls} }}\n{more}')
        with pytest.raises(ConfigError) as caught:
            load_config(file)
        return str(caught.value).removeprefix(f"{file}: plugins[0].").replace(f"{tmp_path}/", "")

    return refused


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ('ca_file = "none"', "tls.ca_file: cannot read none: No such file or directory"),
        ('ca_file = "plugins.toml"', "tls.ca_file: expected a certificate in PEM in plugins.toml, got none"),
        ('ca_file = ""', 'tls.ca_file: expected the name of a file, got ""'),
        ('key_file = "a.key"', "tls.cert_file: expected the certificate that the key is for"),
        ('min_version = "1.1"', 'tls.min_version: expected "1.2" or "1.3", got "1.1"'),
        ('verify = "no"', 'tls.verify: expected true or false, got "no"'),
        ('server_name = "a b"', "tls.server_name: expected the name of a host, or its IP address, got 'a b'"),
        ('cafile = "x"', "tls.cafile: unknown key, did you mean ca_file?"),
    ],
)
def test_bad_settings(refused: Callable[[str], str], tls: str, expected: str) -> None:
    assert refused(tls) == expected


def test_tls_is_a_table_and_for_https(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    for address, tls, expected in (
        ("https://h", '"on"', 'expected a table, got "on"'),
        ("http://h", "{}", 'expected an https:// address, got "http://h"'),
    ):
        file.write_text(f'[[plugins]]\nname = "a"\naddress = "{address}"\ntls = {tls}\n')
        with pytest.raises(ConfigError) as caught:
            load_config(file)
        assert str(caught.value) == f"{file}: plugins[0].tls: {expected}"


def test_certificates_and_keys_that_are_no_good(
    refused: Callable[[str], str], authority: trustme.CA, tmp_path: Path
) -> None:
    write_certificate(tmp_path, authority, "good")
    write_certificate(tmp_path, authority, "old", not_after=YESTERDAY)
    old = 'cert_file = "old.pem", key_file = "old.key"'
    date = f"{YESTERDAY:%Y-%m-%d %H:%M:%S} UTC"
    assert refused(old) == f"tls.cert_file: expected a certificate that is valid in old.pem, it expired on {date}"
    mixed = 'cert_file = "good.pem", key_file = "old.key"'
    assert refused(mixed) == "tls.key_file: the key in old.key does not fit the certificate in good.pem"
    assert refused('cert_file = "good.pem"') == "tls.key_file: expected a private key in good.pem, got none"
    (tmp_path / "half.key").write_bytes((tmp_path / "good.key").read_bytes()[:100])
    half = 'cert_file = "good.pem", key_file = "half.key"'
    assert refused(half) == "tls.key_file: cannot use the key in half.key: there is none in it that can be read"
    (tmp_path / "expired.pem").write_bytes((tmp_path / "old.pem").read_bytes())
    assert refused('ca_file = "expired.pem"') == (
        f"tls.ca_file: expected a certificate that is valid in expired.pem, it expired on {date}"
    )


def test_a_key_that_is_encrypted(
    refused: Callable[[str], str], authority: trustme.CA, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    certificate, file = write_certificate(tmp_path, authority)
    key: Any = pem.load_pem_private_key(file.read_bytes(), None)
    secret = pem.BestAvailableEncryption(b"s3cret")
    file.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, secret))
    pair = 'cert_file = "controller.pem", key_file = "controller.key"'
    assert refused(pair) == (
        "tls.key_password_file: expected a file with the password of controller.key, which is encrypted"
    )
    (tmp_path / "password").write_text("wr0ng\n")
    assert refused(f'{pair}, key_password_file = "password"') == (
        "tls.key_password_file: the password in password does not open the key in controller.key"
    )
    (tmp_path / "password").write_text("s3cret\n")
    tls = Tls(cert_file=certificate, key_file=file, key_password_file=tmp_path / "password")
    assert "s3cret" not in repr(tls)
    assert capfd.readouterr().err == "", "nobody is asked for a password"
