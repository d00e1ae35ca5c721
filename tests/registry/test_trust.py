"""What a ConfigMap may not say of a plugin, since others than the controller's operator may write it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from registry import ConfigError, PluginConfig, Registry, Reload, load_config

ELSEWHERE = "only in plugins.toml, for ConfigMaps may be written by others"


@pytest.fixture
def discovered(toml: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Write a ConfigMap with this data, and a ``plugins.toml`` that names its folder."""
    (tmp_path / "manifests").mkdir()
    toml('configmaps = ["manifests"]\n[engine]\nenabled = true\n')

    def write(**data: str) -> Path:
        file = tmp_path / "manifests" / "p.json"
        labels = {"workflows.argoproj.io/configmap-type": "ControllerPlugin"}
        document = {"kind": "ConfigMap", "metadata": {"name": "p", "labels": labels}, "data": data}
        file.write_bytes(msgspec.json.encode(document))
        return file

    return write


def refused(file: Path) -> str:
    """The reason for which the ConfigMap in `file` is."""
    with pytest.raises(ConfigError) as caught:
        load_config(file.parent.parent / "plugins.toml")
    assert caught.value.file == file
    assert "\n" not in str(caught.value)
    return f"{caught.value.path.removeprefix('document 1: ')}: {caught.value.reason}"


async def test_a_credential_of_the_controllers_is_sent_nowhere(
    discovered: Callable[..., Path], toml: Callable[[str], Path], serve: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve()
    (tmp_path / "token").write_text("a-credential")
    records: asyncio.Queue[Reload] = asyncio.Queue()
    async with Registry(tmp_path / "plugins.toml", on_reload=records.put_nowait) as registry:
        discovered(address=server.address, token_file=str(tmp_path / "token"))
        record = await records.get()
        assert "data.token_file" in str(record.error)
        assert "a-credential" not in str(record.error)
        assert registry.snapshot() == ()
    assert server.asked == []


@pytest.mark.parametrize("name", ["token", "/etc/hostname", "/nowhere", ""])
def test_no_file_is_named_there_or_not(discovered: Callable[..., Path], name: str) -> None:
    expected = f"data.token_file: a file of the controller can be named {ELSEWHERE}"
    assert refused(discovered(address="http://localhost:1", token_file=name)) == expected


def test_no_key_that_reads_a_file_is_forgotten() -> None:
    plain = {"name", "address", "protocol", "lane", "timeout", "concurrency", "max_body", "failure_policy", "mode"}
    plain |= {"payload", "cache", "cache_ttl", "not_found_ttl", "match", "batch", "retry", "breaker", "balance"}
    keys = {field.encode_name for field in msgspec.structs.fields(PluginConfig)}
    assert keys - plain == {"token_file", "headers", "tls"}, (
        "decide whether a ConfigMap may have it, in registry/trust.py"
    )


def test_no_unix_socket(discovered: Callable[..., Path]) -> None:
    expected = f"data.address: a unix socket can be named {ELSEWHERE}"
    assert refused(discovered(address="unix:///var/run/docker.sock")) == expected


LINK_LOCAL = [
    "169.254.169.254",
    "169.254.0.1",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0XA9.0xFE.0xa9.0xfe",
    "0251.0376.0251.0376",
    "025177524776",
    "169.254.43518",
    "169.16689662",
    "[fe80::1]",
    "[FE80:0:0:0:0:0:0:1]",
    "[febf::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[::ffff:0:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
]


@pytest.mark.parametrize("around", ["http://{}", "http://{}:8080/latest", "HTTPS://{}:443/"])
@pytest.mark.parametrize("host", LINK_LOCAL)
def test_no_link_local_address_however_it_is_written(discovered: Callable[..., Path], host: str, around: str) -> None:
    expected = f"data.address: a link-local address can be named {ELSEWHERE}"
    assert refused(discovered(address=around.format(host))) == expected


@pytest.mark.parametrize(
    "host",
    [
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "metadata",
        "instance-data.ec2.internal",
        "[fd00:ec2::254]",
        "[fd00:0ec2:0::0254]",
        "[fd20:ce::254]",
        "168.63.129.16",
        "[::ffff:168.63.129.16]",
        "100.100.100.200",
        "1684301000",
        "192.0.0.192",
    ],
)
def test_no_metadata_service(discovered: Callable[..., Path], host: str) -> None:
    expected = f"data.address: a metadata service can be named {ELSEWHERE}"
    assert refused(discovered(address=f"http://{host}:80")) == expected


@pytest.mark.parametrize(
    "host", ["[fe80::1%25eth0]", "１６９.254.169.254", "169。254.169.254", "%31%36%39.254.169.254"]
)
def test_no_host_that_only_a_resolver_makes_one_of_these(discovered: Callable[..., Path], host: str) -> None:
    assert refused(discovered(address=f"http://{host}:80")).startswith("data.address: ")


def test_no_more_of_the_controllers_memory_and_descriptors_than_others_have(discovered: Callable[..., Path]) -> None:
    expected = f"data.max_body: more than 4194304 can be set {ELSEWHERE}"
    assert refused(discovered(address="http://h", max_body="4194305")) == expected
    expected = f"data.concurrency: more than 1024 can be set {ELSEWHERE}"
    assert refused(discovered(address="http://h", concurrency="1025")) == expected


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:4355",
        "http://127.0.0.1:4355",
        "http://[::1]:4355",
        "http://10.1.2.3",
        "http://[fd12:3456::1]",
        "http://plugin.argo.svc:80/api",
        "https://plugin.example.com",
        "http://metadata-plugin:80",
    ],
)
def test_where_plugins_are_deployed_is_taken(discovered: Callable[..., Path], address: str) -> None:
    file = discovered(address=address, max_body="4194304", concurrency="1024")
    (plugin,) = load_config(file.parent.parent / "plugins.toml").plugins
    assert plugin.address == address


@pytest.mark.parametrize("address", ["unix:///run/p.sock", "http://169.254.169.254", "http://[fe80::1]"])
def test_the_controllers_own_file_may_say_all_of_it(toml: Callable[[str], Path], tmp_path: Path, address: str) -> None:
    (tmp_path / "token").write_text("abc")
    more = 'token_file = "token"\nmax_body = 8388608\nconcurrency = 4096\n'
    (plugin,) = load_config(toml(f'[[plugins]]\nname = "p"\naddress = "{address}"\n{more}')).plugins
    assert (plugin.address, plugin.token) == (address, "abc")
