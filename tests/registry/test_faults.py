"""What can go wrong with the configuration and its reload, case by case: the old plugins stay, the fault is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from registry import Config, ConfigError, PluginConfig, Registry, Reload, connecting, load_config
from registry import registry as registry_module
from registry.watching import changes
from rpc import Client, PluginError

A = '[[plugins]]\nname = "a"\naddress = "http://localhost:4355"\n'
ON = f"[engine]\nenabled = true\n{A}"
DURATION = 'expected a duration in quotes, such as "500ms", "2m" or "1h30m"'


def plugin(address: str, more: str = "") -> str:
    return f'[engine]\nenabled = true\n[[plugins]]\nname = "a"\naddress = "{address}"\n{more}\n'


@pytest.fixture
def records() -> asyncio.Queue[Reload]:
    """What the registry under test told of its reloads."""
    return asyncio.Queue()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(ON + "timout = 1", "plugins[0].timout: unknown key, did you mean timeout?", id="unknown key"),
        pytest.param(
            plugin("ftp://h"),
            "plugins[0].address: 'ftp://h' is not an http://, https:// or unix:/// address",
            id="bad URL",
        ),
        pytest.param(
            ON + "timeout = '0s'",
            'plugins[0].timeout: expected a duration greater than zero, got "0s"',
            id="zero time",
        ),
        pytest.param(ON + "timeout = inf", f"plugins[0].timeout: {DURATION}, got inf", id="infinite time"),
        pytest.param("", "expected [engine], [[plugins]] or configmaps, got an empty file", id="empty file"),
        pytest.param(b"# caf\xe9\n", "line 1: expected UTF-8, got the byte 0xe9", id="bad UTF-8"),
        pytest.param(
            ON.removesuffix(' = "http://localhost:4355"\n'),
            "line 5, column 8: not TOML: Expected '=' after a key in a key/value pair",
            id="half-written file",
        ),
    ],
)
async def test_config(
    toml: Callable[[str | bytes], Path],
    records: asyncio.Queue[Reload],
    capsys: pytest.CaptureFixture[str],
    bad: str | bytes,
    reason: str,
) -> None:
    file = toml(ON)
    async with Registry(file, on_reload=records.put_nowait) as registry:
        before = registry.snapshot()
        toml(bad)
        record = await records.get()
        assert str(record.error) == f"{file}: {reason}"
        assert registry.snapshot() is before
        assert registry.stats.rejected == 1
        assert 'level=error msg="configuration rejected, keeping the old one" error=' in capsys.readouterr().err
        toml(ON + A.replace('"a"', '"b"'))
        assert (await records.get()).added == ("b",)
        assert registry.snapshot()[0].client is before[0].client
    toml(bad)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == f"{file}: {reason}"


async def test_config_file_deleted(
    toml: Callable[[str], Path], records: asyncio.Queue[Reload], capsys: pytest.CaptureFixture[str]
) -> None:
    file = toml(ON)
    async with Registry(file, on_reload=records.put_nowait) as registry:
        before = registry.snapshot()
        capsys.readouterr()
        file.unlink()
        assert str((await records.get()).error) == f"{file}: cannot be read: No such file or directory"
        assert registry.snapshot() is before
        assert capsys.readouterr().err == (
            'level=error msg="configuration rejected, keeping the old one" '
            f'error="{file}: cannot be read: No such file or directory"\n'
        )
        toml(ON.replace('"a"', '"b"'))
        assert (await records.get()).removed == ("a",)


async def test_reload_one_snapshot_of_plugins_per_pass(
    toml: Callable[[str], Path], records: asyncio.Queue[Reload], serve: Callable[..., Any]
) -> None:
    address = serve().address
    async with Registry(toml(plugin(address)), on_reload=records.put_nowait) as registry:
        with registry.lease() as plugins:
            toml(plugin(address).replace('"a"', '"b"'))
            await records.get()
            assert [p.name for p in plugins] == ["a"]
            assert [p.name for p in registry.snapshot()] == ["b"]
            assert await plugins[0].client.call("workflow.preOperate", {}) == {}


class Held:
    """A plugin that answers when it is told to, and notices when its caller hangs up."""

    def __init__(self) -> None:
        self.asked, self.answer, self.hung_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        self.asked.set()
        await self.answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()
        self.hung_up.set()
        writer.close()
        await writer.wait_closed()


async def test_reload_a_plugin_removed_while_called(
    toml: Callable[[str], Path], records: asyncio.Queue[Reload]
) -> None:
    held = Held()
    server = await asyncio.start_server(held, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    file = toml(plugin(address, 'timeout = "30s"'))
    async with server, Registry(file, on_reload=records.put_nowait) as registry:
        with registry.lease() as plugins:
            call = asyncio.create_task(plugins[0].client.call("workflow.preOperate", {}))
            await held.asked.wait()
            toml("[engine]\nenabled = true\n")
            assert (await records.get()).removed == ("a",)
            assert registry.stats.draining == 1
            held.answer.set()
            assert await call == {}
            assert not held.hung_up.is_set()
        await held.hung_up.wait()
        assert registry.stats.draining == 0


class Unlucky:
    """Told of reloads, and fails each time."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.told: asyncio.Queue[Reload] = asyncio.Queue()

    def __call__(self, record: Reload) -> None:
        self.told.put_nowait(record)
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("a bug of the embedder's"), asyncio.CancelledError()])
async def test_a_callback_that_raises_is_logged_and_following_goes_on(
    toml: Callable[[str], Path], capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    callback = Unlucky(error)
    async with Registry(toml(ON), on_reload=callback) as registry:
        for name in ("b", "c"):
            toml(ON + A.replace('"a"', f'"{name}"'))
            assert (await callback.told.get()).added == (name,)
        toml("nonsense")
        assert (await callback.told.get()).error is not None
        assert [plugin.name for plugin in registry.snapshot()] == ["a", "c"]
        await registry.reload()
    logged = capsys.readouterr().err
    assert logged.count('level=error msg="on_reload failed"') == 3
    assert str(error) in logged


async def test_any_error_while_following_is_logged_once_and_following_goes_on(
    toml: Callable[[str], Path],
    records: asyncio.Queue[Reload],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def fail(file: Path) -> Config:
        loop.call_soon_threadsafe(failed.put_nowait, None)
        raise MemoryError("nothing left")

    monkeypatch.setattr(registry_module, "_PAUSE", 0.01)
    async with Registry(toml(ON), on_reload=records.put_nowait) as registry:
        before = registry.snapshot()
        with monkeypatch.context() as patched:
            patched.setattr(registry_module, "load_config", fail)
            toml(ON + A.replace('"a"', '"b"'))
            for _ in range(3):
                await failed.get()
            assert registry.snapshot() is before
        assert (await records.get()).added == ("b",)
    assert capsys.readouterr().err.count("cannot follow the configuration, trying again") == 1


async def test_a_watch_that_ends_in_an_error_is_begun_again(
    toml: Callable[[str], Path], records: asyncio.Queue[Reload], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0

    async def breaking(sources: Any) -> AsyncIterator[None]:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise PermissionError("the folder is not for you")
        async for each in changes(sources):
            yield each

    monkeypatch.setattr(registry_module, "_PAUSE", 0.0)
    monkeypatch.setattr(registry_module, "changes", breaking)
    async with Registry(toml(ON), on_reload=records.put_nowait):
        toml(ON + A.replace('"a"', '"b"'))
        assert (await records.get()).added == ("b",)


async def test_clients_of_a_list_that_cannot_be_put_in_force_are_closed_again(
    toml: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def connect(config: PluginConfig, *more: Any) -> Client:
        if config.name == "c":
            raise OSError("no descriptors left")
        opened.append(registry_client := original(config, *more))
        return registry_client

    original = connecting.connect
    async with Registry(toml(ON), watch=False) as registry:
        before = registry.snapshot()
        monkeypatch.setattr(registry_module, "connect", connect)
        toml(ON + A.replace('"a"', '"b"') + A.replace('"a"', '"c"'))
        with pytest.raises(OSError, match="no descriptors left"):
            await registry.reload()
        assert registry.snapshot() is before
    (b,) = opened
    with pytest.raises(PluginError, match="the client was closed"):
        await b.call("workflow.preOperate", {})
