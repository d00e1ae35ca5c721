"""Plugins found in a cluster: ConfigMaps listed and watched, over a real socket, and what may go wrong with that."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import ConfigError, Registry, Reload, load_config
from tests.processes import PATIENCE
from tests.registry.api_server import LABELS, ApiServer, asked, write_kubeconfig
from tests.registry.real_api_server import real_api_server

ON = '[engine]\nenabled = true\n[kubernetes]\nnamespace = "argo"\nkubeconfig = "kubeconfig"\n'


class Following:
    """A registry, and what it was told one after the other."""

    def __init__(self, file: Path) -> None:
        self._records: asyncio.Queue[Reload] = asyncio.Queue()
        self.registry = Registry(file, on_reload=self._records.put_nowait)

    async def next(self) -> Reload:
        async with asyncio.timeout(PATIENCE):
            return await self._records.get()

    @property
    def names(self) -> list[str]:
        return [plugin.name for plugin in self.registry.snapshot()]


async def test_configmaps_are_there_from_the_first_pass_on(
    cluster: ApiServer, toml: Callable[[str], Path], serve: Callable[..., Any]
) -> None:
    cluster.put("hello", address=serve().address, timeout="500ms")
    cluster.put("no-plugin", labels={}, address="http://localhost:1")
    async with Registry(toml(ON), watch=False) as registry:
        (plugin,) = registry.snapshot()
        assert (plugin.name, plugin.config.timeout) == ("hello", 0.5)
        assert registry.config.discovered == {"hello"}
        assert await plugin.client.call("workflow.preOperate", {}) == {}


async def test_what_is_added_changed_and_removed_counts_at_once(
    cluster: ApiServer, toml: Callable[[str], Path]
) -> None:
    file = toml(ON + '[[plugins]]\nname = "mine"\naddress = "http://localhost:1"\n')
    following = Following(file)
    async with following.registry as registry:
        assert following.names == ["mine"]
        mine = registry.snapshot()[0].client
        cluster.put("b", address="http://localhost:2")
        assert (await following.next()).added == ("b",)
        cluster.put("a", address="http://localhost:3")
        assert (await following.next()).added == ("a",)
        assert following.names == ["mine", "a", "b"]
        with registry.lease() as leased:
            cluster.put("b", address="http://localhost:4")
            assert (await following.next()).changed == ("b",)
            assert leased[2].config.address == "http://localhost:2"
        assert registry.snapshot()[2].config.address == "http://localhost:4"
        cluster.put("no-plugin", labels={}, address="http://localhost:5")
        cluster.delete("a")
        assert (await following.next()).removed == ("a",)
        assert registry.snapshot()[0].client is mine
        assert registry.stats.draining == 0


async def test_a_bad_configmap_takes_no_other_with_it(
    cluster: ApiServer, toml: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    cluster.put("bad", address="unix:///run/secret.sock")
    cluster.put("evil", address="http://169.254.169.254")
    cluster.put("good", address="http://localhost:1")
    cluster.put("mine", address="http://localhost:2")
    cluster.put("token", address="http://localhost:3", token_file="/etc/passwd")
    following = Following(toml(ON + '[[plugins]]\nname = "mine"\naddress = "http://localhost:1"\n'))
    async with following.registry:
        assert following.names == ["mine", "good"]
        assert [each.__dict__["error"] for each in caplog.records if each.levelno == logging.ERROR] == [
            "configmap argo/bad: data.address: a unix socket can be named only in plugins.toml, "
            "for ConfigMaps may be written by others",
            "configmap argo/evil: data.address: a link-local address can be named only in plugins.toml, "
            "for ConfigMaps may be written by others",
            'configmap argo/mine: metadata.name: expected a name of its own, "mine" is taken',
            "configmap argo/token: data.token_file: a file of the controller can be named only in plugins.toml, "
            "for ConfigMaps may be written by others",
        ]
        caplog.clear()
        cluster.put("bad", address="http://localhost:5")
        assert (await following.next()).added == ("bad",)
        assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == []
        cluster.put("good", timeout="never")
        assert (await following.next()).removed == ("good",)


async def test_addresses_that_are_allowed_count_for_what_is_found(
    cluster: ApiServer, toml: Callable[[str], Path]
) -> None:
    cluster.put("a", address="http://10.1.2.3")
    cluster.put("b", address="http://192.168.1.1")
    following = Following(toml(ON))
    async with following.registry:
        assert following.names == ["a", "b"]
        toml(ON.replace("[kubernetes]", 'allowed_addresses = ["10.0.0.0/8"]\n[kubernetes]'))
        assert (await following.next()).removed == ("b",)


async def test_a_watch_that_ends_goes_on_from_the_last_bookmark(
    cluster: ApiServer, toml: Callable[[str], Path]
) -> None:
    following = Following(toml(ON))
    async with following.registry:
        await asked(cluster, "list")
        await asked(cluster, "list")
        await asked(cluster, "watch")
        cluster.put("a", address="http://localhost:1")
        await following.next()
        cluster.bookmark()
        cluster.end_watches()
        assert await asked(cluster, "watch") == str(cluster.version)
        cluster.put("b", address="http://localhost:2")
        assert (await following.next()).added == ("b",)
        assert cluster.asked.empty(), "nothing was listed again"


async def test_what_happened_while_the_server_forgot_is_listed(cluster: ApiServer, toml: Callable[[str], Path]) -> None:
    cluster.put("a", address="http://localhost:1")
    following = Following(toml(ON))
    async with following.registry:
        await asked(cluster, "watch")
        cluster.configmaps.clear()
        cluster.configmaps |= {"b": {"metadata": {"name": "b", "labels": LABELS}, "data": {"address": "http://b"}}}
        cluster.forget_the_past()
        cluster.end_watches()
        record = await following.next()
        assert (record.added, record.removed) == (("b",), ("a",))


async def test_another_namespace_or_none_is_followed_from_then_on(
    cluster: ApiServer, toml: Callable[[str], Path]
) -> None:
    cluster.put("a", address="http://localhost:1")
    following = Following(toml("[engine]\nenabled = true\n"))
    async with following.registry:
        assert following.names == []
        toml(ON)
        assert (await following.next()).added == ()
        assert (await following.next()).added == ("a",)
        toml("[engine]\nenabled = true\n")
        assert (await following.next()).removed == ("a",)


async def test_a_cluster_that_is_not_followed_is_asked_again_on_demand(
    cluster: ApiServer, toml: Callable[[str], Path]
) -> None:
    cluster.put("a", address="http://localhost:1")
    file = toml("[engine]\nenabled = true\n")
    async with Registry(file, watch=False) as registry:
        toml(ON)
        assert await registry.reload() == Reload(2, added=("a",))
        assert await registry.reload() == Reload(2)
        cluster.put("b", address="http://localhost:2")
        assert await registry.reload() == Reload(3, added=("b",))
        toml(ON.replace('"argo"', '"elsewhere"'))
        assert isinstance((await registry.reload()).error, ConfigError)
        assert [plugin.name for plugin in registry.snapshot()] == ["a", "b"]
        toml("[engine]\nenabled = true\n")
        assert await registry.reload() == Reload(4, removed=("a", "b"))


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_a_role_that_lacks_a_verb_is_said_in_one_line(
    cluster: ApiServer, toml: Callable[[str], Path], caplog: pytest.LogCaptureFixture, verb: str
) -> None:
    expected = (
        f"not allowed to {verb} configmaps in namespace argo, which a Role has to: configmaps is forbidden: "
        f'User "system:serviceaccount:argo:oarlock" cannot {verb} resource "configmaps" in API group "" '
        'in the namespace "argo"'
    )
    cluster.put("a", address="http://localhost:1")
    cluster.forbidden.add(verb)
    file = toml(ON)
    if verb == "list":
        with pytest.raises(ConfigError) as caught:
            async with Registry(file):
                pass
        assert str(caught.value) == f"{file}: kubernetes: {expected}"
        return
    following = Following(file)
    async with following.registry:
        await asked(cluster, "watch")
        await asked(cluster, "watch")
        cluster.forbidden.clear()
        cluster.put("b", address="http://localhost:2")
        assert (await following.next()).added == ("b",)
    assert [each.__dict__["problem"] for each in caplog.records if each.levelno == logging.ERROR] == [expected]


@pytest.mark.parametrize("code", [401, 500, 503])
async def test_a_server_that_refuses_is_named_with_what_it_was_asked(
    cluster: ApiServer, toml: Callable[[str], Path], code: int
) -> None:
    cluster.refuse_with = code
    with pytest.raises(ConfigError, match=f"cannot list configmaps in namespace argo: status {code}$"):
        async with Registry(toml(ON)):
            pass


async def test_nobody_there_and_no_kubeconfig(
    toml: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=r"kubernetes: cannot read .*/kubeconfig: No such file or directory$"):
        async with Registry(toml(ON)):
            pass
    assert not caplog.records
    write_kubeconfig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"kubernetes: cannot list configmaps in namespace argo: .*Cannot connect"):
        async with Registry(toml(ON)):
            pass


async def test_in_a_cluster_the_service_account_is_used(
    cluster: ApiServer, toml: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(ConfigError, match="cannot read the service account: Service token file does not exist"):
        async with Registry(toml(ON.replace('kubeconfig = "kubeconfig"', ""))):
            pass
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    cluster.put("a", address="http://localhost:1")
    async with Registry(toml(ON.replace('kubeconfig = "kubeconfig"', ""))) as registry:
        assert [plugin.name for plugin in registry.snapshot()] == ["a"]


def test_a_table_that_is_wrong(toml: Callable[[str], Path]) -> None:
    for text, reason in (
        ("[kubernetes]", 'kubernetes.namespace: expected a namespace, such as "argo", got nothing'),
        ('[kubernetes]\nnamespace = "../x"', 'kubernetes.namespace: expected a namespace, such as "argo", got "../x"'),
        (
            '[kubernetes]\nnamespace = "a"\nname = 1',
            "kubernetes.name: unknown key, did you mean namespace?",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(toml(text))
        assert str(caught.value).endswith(reason)


async def test_without_the_extra_it_is_said_what_to_install(
    toml: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"kubernetes-asyncio is not installed: pip install 'oarlock\[kubernetes\]'"):
        async with Registry(toml(ON)):
            pass


@pytest.mark.skipif(
    not (shutil.which("kube-apiserver") and shutil.which("etcd")), reason="kube-apiserver and etcd are not on the PATH"
)
async def test_against_the_real_api_server(toml: Callable[[str], Path], tmp_path: Path) -> None:
    async with real_api_server(tmp_path) as server:
        await server.put("a", "http://localhost:1")
        following = Following(toml(ON))
        async with following.registry:
            assert following.names == ["a"]
            await server.put("b", "http://localhost:2")
            assert (await following.next()).added == ("b",)
            await server.delete("a")
            assert (await following.next()).removed == ("a",)
