"""A registry that follows nothing: it reads the configuration again when it is told to, or is handed another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Config, Registry, Reload, load_config
from rpc import Client


def plugin(name: str, more: str = "") -> str:
    return f'[[plugins]]\nname = "{name}"\naddress = "http://localhost:4355"\n{more}\n'


def enabled(*plugins: str) -> str:
    return "[engine]\nenabled = true\n" + "".join(plugins)


def names(registry: Registry) -> list[str]:
    return [plugin.name for plugin in registry.snapshot()]


async def test_a_reload_that_is_cancelled_leaves_no_client_open(
    toml: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the credentials of a plugin that has changed, when another one has its client already."""
    (tmp_path / "token").write_text("secret")
    opened: list[str] = []
    closed: list[str] = []
    reading = asyncio.Event()
    open_, close = Client.__aenter__, Client.aclose

    async def opening(client: Client) -> Client:
        opened.append(client.name)
        return await open_(client)

    async def closing(client: Client) -> None:
        closed.append(client.name)
        await close(client)

    async def reread(client: Client, credentials: object) -> None:
        reading.set()
        await asyncio.Event().wait()

    for name, replacement in (("__aenter__", opening), ("aclose", closing), ("reread", reread)):
        monkeypatch.setattr(Client, name, replacement)
    file = toml(enabled(plugin("a")))
    async with Registry(file, watch=False) as registry:
        toml(enabled(plugin("new"), plugin("a", 'token_file = "token"\n')))
        reload = asyncio.create_task(registry.reload())
        await reading.wait()
        reload.cancel()
        await asyncio.wait([reload])
        assert (opened, names(registry)) == (["a", "new"], ["a"])
    assert sorted(closed) == ["a", "new"]


async def test_reloading_on_demand_tells_only_news(toml: Callable[[str], Path]) -> None:
    told: list[Reload] = []
    async with Registry(toml(enabled(plugin("a"))), watch=False, on_reload=told.append) as registry:
        assert await registry.reload() == Reload(1)
        toml(enabled(plugin("a"), plugin("b")))
        assert await registry.reload() == Reload(2, added=("b",))
        toml("nonsense")
        first = await registry.reload()
        again = await registry.reload()
        assert str(first.error) == str(again.error)
    assert told == [Reload(2, added=("b",)), first]
    with pytest.raises(RuntimeError, match="not open"):
        await registry.reload()


async def test_a_registry_without_a_file_has_nothing_to_reload() -> None:
    async with Registry(Config()) as registry:
        with pytest.raises(ValueError, match="no file"):
            await registry.reload()


async def test_a_configuration_is_handed_to_a_registry_that_has_no_file(toml: Callable[[str], Path]) -> None:
    one, two = (load_config(toml(enabled(*map(plugin, names)))) for names in (["a"], ["a", "b"]))
    told: list[Reload] = []
    async with Registry(one) as registry:
        registry.listeners.append(told.append)
        client = registry.snapshot()[0].client
        assert (await registry.replace(two)).added == ("b",)
        assert names(registry) == ["a", "b"]
        assert registry.snapshot()[0].client is client
    assert [each.added for each in told] == [("b",)]
    with pytest.raises(RuntimeError, match="not open"):
        await registry.replace(one)
    with pytest.raises(ValueError, match="follows a file"):
        await Registry(toml(enabled(plugin("a")))).replace(two)
