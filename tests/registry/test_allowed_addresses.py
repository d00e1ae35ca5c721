"""``[engine] allowed_addresses``: where plugins may be, and what comes of one that is elsewhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from registry import Config, ConfigError, EngineSettings, PluginConfig, Registry, load_config
from registry.checking import find_unreachable
from registry.cli import main
from rpc import FatalError, Outcome

ON = "[engine]\nenabled = true\n"
CONFIGMAP = """
kind: ConfigMap
metadata:
  name: found
  labels: {workflows.argoproj.io/configmap-type: ControllerPlugin}
data: {address: "ADDRESS"}
"""


def allowed(*entries: str) -> str:
    return f"{ON}allowed_addresses = {list(entries)}\n"


def plugin(address: str, name: str = "p", more: str = "") -> str:
    return f'[[plugins]]\nname = "{name}"\naddress = "{address}"\n{more}'


def leading_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let all names lead there."""

    async def getaddrinfo(_host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def test_an_address_that_is_not_allowed_is_a_wrong_configuration(toml: Callable[[str], Path]) -> None:
    file = toml(allowed("10.0.0.0/8") + plugin("http://10.1.2.3") + plugin("http://192.168.0.1:80/x", "q"))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == f"{file}: plugins[1].address: 192.168.0.1 is not in allowed_addresses (10.0.0.0/8)"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://192.168.0.1", "192.168.0.1 is not in allowed_addresses (10.0.0.0/8, 169.254.7.0/24)"),
        (
            "http://169.254.8.1",
            "a link-local address can be named only in plugins.toml, for ConfigMaps may be written by others",
        ),
        ("http://169.254.7.1", None),
    ],
)
def test_what_a_configmap_says_is_checked_likewise(
    toml: Callable[[str], Path], tmp_path: Path, address: str, reason: str | None
) -> None:
    (tmp_path / "found.yaml").write_text(CONFIGMAP.replace("ADDRESS", address))
    file = toml('configmaps = ["found.yaml"]\n' + allowed("10.0.0.0/8", "169.254.7.0/24"))
    if reason is None:
        assert load_config(file).discovered == {"found"}
        return
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.path == "document 1: data.address"
    assert caught.value.reason == reason


@pytest.mark.parametrize("lane", ["wire", "aiohttp"])
async def test_a_call_to_a_name_that_leads_elsewhere_is_fatal_and_said_once(
    lane: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leading_to(monkeypatch, "169.254.169.254")
    config = Config(
        engine=EngineSettings(enabled=True),
        plugins=(PluginConfig(name="found", address="http://rebound.test", lane=lane),),
        discovered=frozenset({"found"}),
    )
    async with Registry(config) as registry:
        (found,) = registry.snapshot()
        for _ in range(3):
            with pytest.raises(FatalError) as caught:
                await found.client.call("workflow.preOperate", {})
        assert str(caught.value) == (
            "plugin 'found', workflow.preOperate: 169.254.169.254, which rebound.test stands for, "
            "is a link-local address, where no plugin that was discovered may be"
        )
        assert found.client.stats.outcomes[Outcome.FORBIDDEN] == 3
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        f'plugin is where it may not be name=found problem="{caught.value.reason}"'
    ]
    problem = await find_unreachable(config)
    assert problem == f"plugin found: {caught.value.reason}"


async def test_by_hand_a_plugin_may_be_anywhere_unless_addresses_are_given(
    toml: Callable[[str], Path], serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve().address.rpartition(":")[2]
    leading_to(monkeypatch, "127.0.0.1")
    assert await find_unreachable(load_config(toml(ON + plugin(f"http://p.test:{port}")))) is None
    config = load_config(toml(allowed("10.0.0.0/8") + plugin(f"http://p.test:{port}")))
    problem = "127.0.0.1, which p.test stands for, is not in allowed_addresses (10.0.0.0/8)"
    assert await find_unreachable(config) == f"plugins[0].address: {problem}"


def test_a_plugin_on_a_unix_socket_is_on_no_network(toml: Callable[[str], Path]) -> None:
    assert load_config(toml(allowed("10.0.0.0/8") + plugin("unix:///run/p.sock"))).plugins


async def test_the_list_is_reloaded_like_all_else(toml: Callable[[str], Path], serve: Callable[..., Any]) -> None:
    address = serve().address.replace("127.0.0.1", "localhost")
    async with Registry(toml(ON + plugin(address)), watch=False) as registry:
        before = registry.snapshot()[0].client
        assert await before.call("workflow.preOperate", {}) == {}
        toml(allowed("10.0.0.0/8") + plugin(address))
        await registry.reload()
        (after,) = registry.snapshot()
        with pytest.raises(FatalError, match="is not in allowed_addresses"):
            await after.client.call("workflow.preOperate", {})
        toml(allowed("localhost") + plugin(address))
        await registry.reload()
        assert await registry.snapshot()[0].client.call("workflow.preOperate", {}) == {}


def test_check_says_so_and_asks_nothing(toml: Callable[[str], Path], serve: Callable[..., Any]) -> None:
    server = serve()
    address = server.address.replace("127.0.0.1", "localhost")
    result = CliRunner().invoke(
        main, ["check", "--json", "--config", str(toml(allowed("10.0.0.0/8") + plugin(address)))]
    )
    assert result.exit_code == 1
    assert "which localhost stands for, is not in allowed_addresses (10.0.0.0/8)" in result.output
    assert server.asked == []
