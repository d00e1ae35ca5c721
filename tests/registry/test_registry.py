"""From a configuration to clients that can be called."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import Config, ConfigError, EngineSettings, PluginConfig, Registry, Seconds, Token
from registry.connecting import connect
from rpc import Method, TransientError
from tests.undisturbed import undisturbed

ON = EngineSettings(enabled=True)


async def test_each_plugin_has_a_client_to_call(serve: Callable[..., Any]) -> None:
    first = serve({"/workflow.preOperate": (200, b'{"workflow": {"metadata": {"labels": {"a": "b"}}}}')})
    second = serve()
    config = Config(
        engine=ON,
        plugins=(
            PluginConfig(name="first", address=first.address, failure_policy="ignore", payload="full"),
            PluginConfig(name="second", address=second.address, mode="observe"),
        ),
    )
    async with Registry(config) as registry:
        with registry.lease() as plugins:
            replies = [await plugin.client.call("workflow.preOperate", {}) for plugin in plugins]
    assert replies == [{"workflow": {"metadata": {"labels": {"a": "b"}}}}, {}]
    assert [(p.name, p.config.failure_policy, p.config.mode, p.config.payload) for p in plugins] == [
        ("first", "ignore", "apply", "full"),
        ("second", "abort", "observe", "metadata"),
    ]


async def test_the_snapshot_keeps_the_order_of_the_file(toml: Callable[[str], Path]) -> None:
    names = ["b", "c", "a"]
    tables = "".join(f'[[plugins]]\nname = "{name}"\naddress = "http://{name}"\n' for name in names)
    async with Registry(toml(f"[engine]\nenabled = true\n{tables}")) as registry:
        assert [plugin.name for plugin in registry.snapshot()] == names
        assert registry.config.engine.enabled


async def test_a_client_is_made_as_configured(serve: Callable[..., Any]) -> None:
    server = serve({"/api/v1/node.preExecute": (200, b"{}"), "/node.preExecute": (200, b"{}")})
    config = PluginConfig(name="x", address=server.address, protocol="v1", token=Token("abc"), max_body=10)
    async with connect(config) as client:
        assert client.name == "x"
        assert await client.call("node.preExecute", {}) == {}
    assert [path for path, _ in server.asked] == ["/api/v1/node.preExecute"]
    assert server.tokens == {"Bearer abc"}


@undisturbed
async def test_the_timeout_is_the_configured_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with connect(PluginConfig(name="silent", address=address, timeout=Seconds(0.2))) as client:
            with pytest.raises(TransientError, match=r"no complete reply within 0\.2 s"):
                await client.call("workflow.preOperate", {})


async def test_closing_the_registry_closes_every_client(serve: Callable[..., Any]) -> None:
    config = Config(engine=ON, plugins=(PluginConfig(name="hello", address=serve().address),))
    registry = Registry(config)
    async with registry:
        (plugin,) = registry.snapshot()
        assert await plugin.client.call("workflow.preOperate", {}) == {}
    with pytest.raises(TransientError, match="closed"):
        await plugin.client.call("workflow.preOperate", {})
    await registry.aclose()
    assert registry.snapshot() == ()


async def test_a_plugin_that_is_nowhere_does_not_keep_the_registry_from_opening(closed_port: int) -> None:
    config = Config(engine=ON, plugins=(PluginConfig(name="gone", address=f"http://127.0.0.1:{closed_port}"),))
    async with Registry(config) as registry:
        (plugin,) = registry.snapshot()
        assert plugin.client.supports(Method.WORKFLOW_PRE_OPERATE)


def test_a_bad_file_is_refused_when_the_registry_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        Registry(tmp_path / "plugins.toml")


async def test_the_statistics_start_at_zero(toml: Callable[[str], Path]) -> None:
    registry = Registry(toml("[engine]\nenabled = true\n"))
    assert registry.stats.generation == registry.stats.reloads == registry.stats.rejected == 0
    async with registry:
        assert registry.stats.generation == 1
        assert registry.stats.plugins == registry.stats.draining == 0
