"""The configuration changes on disk, in every way that files change, and the registry follows."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import watchfiles

from registry import Registry, Reload, watching
from rpc import Method, TransientError

Follow = Callable[[Path], Any]


def plugin(name: str, address: str = "http://localhost:4355", more: str = "") -> str:
    return f'[[plugins]]\nname = "{name}"\naddress = "{address}"\n{more}\n'


def enabled(*plugins: str) -> str:
    return "[engine]\nenabled = true\n" + "".join(plugins)


def manifest(name: str, address: str = "http://localhost:4355") -> str:
    return (
        f"kind: ConfigMap\nmetadata:\n  name: {name}\n  labels:\n"
        f"    workflows.argoproj.io/configmap-type: ControllerPlugin\ndata:\n  address: {address}\n"
    )


def names(registry: Registry) -> list[str]:
    return [plugin.name for plugin in registry.snapshot()]


@pytest.fixture
def records() -> asyncio.Queue[Reload]:
    """What the registry under test told of its reloads."""
    return asyncio.Queue()


@pytest.fixture
def follow(records: asyncio.Queue[Reload]) -> Follow:
    """Open a registry on a file."""

    @asynccontextmanager
    async def follow(file: Path) -> AsyncIterator[Registry]:
        async with Registry(file, on_reload=records.put_nowait) as registry:
            yield registry

    return follow


async def test_what_is_added_changed_and_removed(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], capsys: pytest.CaptureFixture[str]
) -> None:
    async with follow(toml(enabled(plugin("a"), plugin("b"), plugin("c")))) as registry:
        a, b, _ = registry.snapshot()
        capsys.readouterr()
        toml(enabled(plugin("d"), plugin("a"), plugin("b", more='timeout = "2s"')))
        assert await records.get() == Reload(2, added=("d",), changed=("b",), removed=("c",))
        assert names(registry) == ["d", "a", "b"]
        assert registry.snapshot()[1].client is a.client
        assert registry.snapshot()[2].client is not b.client
    assert capsys.readouterr().err == (
        'level=info msg="loading plugin" name=d\n'
        'level=info msg="loading plugin" name=b\n'
        'level=info msg="removing plugin" name=c\n'
        'level=info msg="configuration reloaded" generation=2\n'
    )


async def test_an_unchanged_plugin_keeps_what_it_learnt(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], serve: Callable[..., Any]
) -> None:
    address = serve().address
    async with follow(toml(enabled(plugin("a", address)))) as registry:
        (a,) = registry.snapshot()
        assert await a.client.call("node.preExecute", {}) is None
        toml(enabled(plugin("a", address, 'mode = "observe"\nfailure_policy = "ignore"\npayload = "full"')))
        assert (await records.get()).changed == ("a",)
        (changed,) = registry.snapshot()
        config = changed.config
        assert (config.mode, config.failure_policy, config.payload) == ("observe", "ignore", "full")
        assert not changed.client.supports(Method.NODE_PRE_EXECUTE)


async def test_breaker_and_limit_survive_a_reload_that_is_about_others(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], serve: Callable[..., Any]
) -> None:
    sick = serve({"/workflow.preOperate": (503, b"")})
    touchy = 'retry = { attempts = 1 }\nbreaker = { min_calls = 3, open_for = "1h" }'
    a = plugin("a", sick.address, touchy)
    async with follow(toml(enabled(a))) as registry:
        client = registry.snapshot()[0].client
        for _ in range(3):
            with pytest.raises(TransientError):
                await client.call("workflow.preOperate", {})
        before = client.stats
        assert (before.breaker, before.breaker_opened) == ("open", 1)
        assert before.limit < 4
        toml(enabled(plugin("b"), a))
        assert (await records.get()).added == ("b",)
        assert registry.snapshot()[1].client.stats == before
        toml(enabled(plugin("a", sick.address, touchy.replace("1h", "2h"))))
        assert (await records.get()).changed == ("a",)
        assert registry.snapshot()[0].client.stats.breaker == "closed", "with other settings it is another plugin"


async def test_a_file_replaced_by_another_as_editors_do(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    file = toml(enabled(plugin("a")))
    async with follow(file) as registry:
        for name in ("b", "c"):
            (tmp_path / "new").write_text(enabled(plugin(name)))
            os.replace(tmp_path / "new", file)
            assert (await records.get()).added == (name,)
        assert names(registry) == ["c"]


async def test_configmaps_that_come_and_go(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    async with follow(toml('configmaps = ["manifests"]\n' + enabled(plugin("a")))) as registry:
        (folder / "b.yaml").write_text(manifest("b"))
        assert (await records.get()).added == ("b",)
        (folder / "b.yaml").write_text(manifest("b", "http://localhost:1"))
        assert (await records.get()).changed == ("b",)
        (folder / "b.yaml").write_text("kind: [")
        assert "not YAML" in str((await records.get()).error)
        (folder / "b.yaml").unlink()
        assert (await records.get()).removed == ("b",)
        assert names(registry) == ["a"]


async def test_a_folder_that_is_named_later_is_followed_too(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere" / "manifests"
    folder.mkdir(parents=True)
    (folder / "b.yaml").write_text(manifest("b"))
    async with follow(toml(enabled(plugin("a")))) as registry:
        toml('configmaps = ["elsewhere/manifests"]\n' + enabled(plugin("a")))
        assert (await records.get()).added == ("b",)
        (folder / "c.yaml").write_text(manifest("c"))
        assert (await records.get()).added == ("c",)
        assert names(registry) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ('token_file = "mounted/secret"', "mounted/secret"),
        ('headers = { X-Key = { file = "secret" } }', "secret"),
        ('address = "https://localhost:1"\ntls = { ca_file = "mounted/later/ca.pem" }', "mounted/later/ca.pem"),
    ],
)
async def test_a_file_that_is_there_later_than_its_name_counts_then(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path, named: str, file: str
) -> None:
    """As in a cluster, whose ConfigMaps and secrets reach a pod one after the other."""
    async with follow(toml(enabled())) as registry:
        address = "" if "address" in named else 'address = "http://localhost:1"\n'
        toml(enabled() + f'[[plugins]]\nname = "a"\n{address}{named}\n')
        assert "No such file" in str((await records.get()).error)
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        content = trustme.CA().cert_pem.bytes() if file.endswith(".pem") else b"a-secret"
        (tmp_path / "new").write_bytes(content)
        os.replace(tmp_path / "new", tmp_path / file)
        assert (await records.get()).added == ("a",)
        assert names(registry) == ["a"]


async def test_what_was_refused_for_another_file_counts_once_that_is_mended(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    (folder := tmp_path / "manifests").mkdir()
    (folder / "b.yaml").write_text("kind: [")
    async with follow(toml(enabled())) as registry:
        toml('configmaps = ["manifests"]\n' + enabled())
        assert "not YAML" in str((await records.get()).error)
        (folder / "b.yaml").write_text(manifest("b"))
        assert (await records.get()).added == ("b",)
        one, other = (trustme.CA().issue_cert("localhost") for _ in range(2))
        one.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        other.private_key_pem.write_to_path(tmp_path / "key.pem")
        tls = 'tls = { cert_file = "cert.pem", key_file = "key.pem" }'
        toml(enabled(plugin("c", "https://localhost:1", tls)))
        assert "does not fit" in str((await records.get()).error)
        one.private_key_pem.write_to_path(tmp_path / "key.pem")
        assert (await records.get()).added == ("c",)
        assert names(registry) == ["c"]


@pytest.mark.parametrize("name", ["a\\u0000b", "n" * 300, "loop/secret"])
async def test_a_name_that_cannot_be_one_keeps_nobody_from_mending_it(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path, name: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    async with follow(toml(enabled())) as registry:
        toml(enabled(plugin("a", more=f'token_file = "{name}"')))
        assert "token_file" in str((await records.get()).error)
        toml(enabled(plugin("a")))
        assert (await records.get()).added == ("a",)
        assert names(registry) == ["a"]


async def test_a_folder_that_is_deleted_and_made_again(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "b.yaml").write_text(manifest("b"))
    async with follow(toml('configmaps = ["manifests"]\n[engine]\nenabled = true\n')) as registry:
        shutil.rmtree(folder)
        while (await records.get()).error is None:  # the file in it may be seen to go first
            assert names(registry) == []
        folder.mkdir()
        (folder / "c.yaml").write_text(manifest("c"))
        while names(registry) != ["c"]:
            await records.get()


def mount(volume: Path, version: str, files: dict[str, str]) -> None:
    """What the kubelet does to change a mounted ConfigMap: write a new folder, then swap one link in one step."""
    (volume / f"..{version}").mkdir(parents=True)
    for name, text in files.items():
        (volume / f"..{version}" / name).write_text(text)
    old = (volume / "..data").resolve()
    (volume / "..data_tmp").symlink_to(f"..{version}")
    os.replace(volume / "..data_tmp", volume / "..data")
    for name in files:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")
    if old.name != "..data":
        shutil.rmtree(old)


async def test_a_mounted_file_is_followed_through_the_swap_of_its_volume(
    follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    volume = tmp_path / "config"
    mount(volume, "1", {"plugins.toml": enabled(plugin("a"))})
    async with follow(volume / "plugins.toml") as registry:
        for version, name in [("2", "b"), ("3", "c")]:
            mount(volume, version, {"plugins.toml": enabled(plugin(name))})
            assert (await records.get()).added == (name,)
            assert names(registry) == [name]


async def test_a_mounted_folder_is_followed_through_the_swap_of_its_volume(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    volume = tmp_path / "manifests"
    mount(volume, "1", {"x.yaml": manifest("a")})
    async with follow(toml('configmaps = ["manifests"]\n[engine]\nenabled = true\n')) as registry:
        for version, name in [("2", "b"), ("3", "c")]:
            mount(volume, version, {"x.yaml": manifest(name)})
            assert (await records.get()).added == (name,)
            assert names(registry) == [name]


async def test_a_file_behind_a_link_is_followed(follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "named").mkdir()
    real, link = tmp_path / "real" / "p.toml", tmp_path / "named" / "plugins.toml"
    real.write_text(enabled(plugin("a")))
    link.symlink_to(real)
    async with follow(link):
        real.write_text(enabled(plugin("b")))
        assert (await records.get()).added == ("b",)


async def test_a_manifest_behind_a_link_in_a_folder_is_followed(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload], tmp_path: Path
) -> None:
    for folder in ("real", "manifests"):
        (tmp_path / folder).mkdir()
    real = tmp_path / "real" / "a.yaml"
    real.write_text(manifest("a"))
    (tmp_path / "manifests" / "a.yaml").symlink_to(real)
    async with follow(toml('configmaps = ["manifests"]\n[engine]\nenabled = true\n')):
        real.write_text(manifest("b"))
        assert (await records.get()).added == ("b",)


async def test_a_rotated_token_is_used_from_then_on(
    toml: Callable[[str], Path],
    follow: Follow,
    records: asyncio.Queue[Reload],
    serve: Callable[..., Any],
    tmp_path: Path,
) -> None:
    server = serve()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("old")
    async with follow(toml(enabled(plugin("a", server.address, 'token_file = "secrets/token"')))) as registry:
        (tmp_path / "secrets" / "token").write_text("new")
        assert (await records.get()).changed == ("a",)
        await registry.snapshot()[0].client.call("workflow.preOperate", {})
        assert server.tokens == {"Bearer new"}


async def test_plugins_can_be_turned_off_and_on(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload]
) -> None:
    on = enabled(plugin("a"))
    async with follow(toml(on)) as registry:
        toml(on.replace("true", "false"))
        assert (await records.get()).removed == ("a",)
        assert registry.snapshot() == ()
        toml(on)
        assert (await records.get()).added == ("a",)


async def test_the_settings_of_the_engine_are_reloaded(
    toml: Callable[[str], Path], follow: Follow, records: asyncio.Queue[Reload]
) -> None:
    async with follow(toml('[engine]\nloop_deadline = "1s"')) as registry:
        toml('[engine]\nloop_deadline = "2s"')
        assert await records.get() == Reload(2)
        assert registry.config.engine.loop_deadline == 2


async def test_where_the_system_has_no_watches_left_folders_are_polled(
    toml: Callable[[str], Path],
    follow: Follow,
    records: asyncio.Queue[Reload],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def exhausted(*paths: Path, force_polling: bool | None, **options: Any) -> Any:
        if not force_polling:
            raise RuntimeError("Too many open files (os error 24)")
        return watchfiles.awatch(*paths, force_polling=True, poll_delay_ms=10, **options)

    monkeypatch.setattr(watching, "awatch", exhausted)
    async with follow(toml(enabled(plugin("a")))) as registry:
        toml(enabled(plugin("b")))
        assert (await records.get()).added == ("b",)
        assert names(registry) == ["b"]
    assert "cannot watch the configuration, polling it" in capsys.readouterr().err
