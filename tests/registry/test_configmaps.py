"""Plugins found in Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from registry import ConfigError, PluginConfig, Seconds, load_config

HELLO = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: hello-controller-plugin
  labels:
    workflows.argoproj.io/configmap-type: ControllerPlugin
data:
  address: http://localhost:4355
"""


@pytest.fixture
def manifest(toml: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Write a manifest into the folder that ``plugins.toml`` names."""
    toml('configmaps = ["manifests"]')
    (tmp_path / "manifests").mkdir()

    def write(text: str | bytes, name: str = "hello.yaml") -> Path:
        file = tmp_path / "manifests" / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def load(tmp_path: Path) -> tuple[PluginConfig, ...]:
    return load_config(tmp_path / "plugins.toml").plugins


def test_the_name_and_the_address_are_those_of_the_configmap(manifest: Callable[..., Path], tmp_path: Path) -> None:
    manifest(HELLO)
    assert load(tmp_path) == (PluginConfig(name="hello-controller-plugin", address="http://localhost:4355"),)


def test_any_plain_key_may_stand_in_the_data(manifest: Callable[..., Path], tmp_path: Path) -> None:
    manifest(
        HELLO + '  timeout: 500ms\n  concurrency: "8"\n  max_body: "1024"\n  failure_policy: ignore\n'
        "  mode: observe\n  payload: full\n  protocol: v1\n  lane: aiohttp\n"
    )
    (plugin,) = load(tmp_path)
    assert plugin.timeout == Seconds(0.5)
    assert (plugin.concurrency, plugin.max_body) == (8, 1024)
    assert (plugin.failure_policy, plugin.mode, plugin.payload) == ("ignore", "observe", "full")
    assert (plugin.protocol, plugin.lane) == ("v1", "aiohttp")


def test_several_documents_of_which_some_are_plugins(manifest: Callable[..., Path], tmp_path: Path) -> None:
    manifest(
        "---\n"
        + HELLO
        + "---\nkind: Service\nmetadata: {name: x}\n---\n---\n"
        + HELLO.replace("hello-", "other-")
        + "---\n"
        + HELLO.replace("ControllerPlugin", "ExecutorPlugin")
        + "---\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {address: 5}\n"
    )
    assert [plugin.name for plugin in load(tmp_path)] == ["hello-controller-plugin", "other-controller-plugin"]


@pytest.mark.parametrize("kind", ["List", "ConfigMapList"])
def test_a_list_as_kubectl_prints_it(manifest: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    item = "".join(f"  {line}\n" for line in HELLO.splitlines())
    manifest(f"kind: {kind}\nitems:\n- kind: Secret\n-\n{item}")
    assert [plugin.name for plugin in load(tmp_path)] == ["hello-controller-plugin"]


def test_json_with_tabs(manifest: Callable[..., Path], tmp_path: Path) -> None:
    manifest(
        '{\n\t"kind": "ConfigMap",\n\t"metadata": {"name": "j", "labels": '
        '{"workflows.argoproj.io/configmap-type": "ControllerPlugin"}},\n\t"data": {"address": "http://j"}\n}',
        "j.json",
    )
    assert [plugin.name for plugin in load(tmp_path)] == ["j"]


def test_a_folder_is_read_by_name_and_not_into(manifest: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("b", "a"):
        manifest(HELLO.replace("hello-controller-plugin", name), f"{name}.yml")
    manifest("not a manifest", "README.md")
    manifest("not: [", ".hidden.yaml")
    (tmp_path / "manifests" / "deeper").mkdir()
    manifest("not: [", "deeper/c.yaml")
    assert [plugin.name for plugin in load(tmp_path)] == ["a", "b"]


def test_a_mounted_configmap_is_read_once(manifest: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    (folder / "..2024_01_01").mkdir()
    (folder / "..2024_01_01" / "hello.yaml").write_text(HELLO)
    (folder / "..data").symlink_to("..2024_01_01")
    (folder / "hello.yaml").symlink_to("..data/hello.yaml")
    assert [plugin.name for plugin in load(tmp_path)] == ["hello-controller-plugin"]


def test_they_come_after_those_of_the_file(
    toml: Callable[[str], Path], manifest: Callable[..., Path], tmp_path: Path
) -> None:
    file = manifest(HELLO)
    config = load_config(
        toml('configmaps = ["manifests/hello.yaml"]\n[[plugins]]\nname = "zebra"\naddress = "http://z"\n')
    )
    assert [plugin.name for plugin in config.plugins] == ["zebra", "hello-controller-plugin"]
    assert config.sources == (tmp_path / "plugins.toml", file)


def test_a_folder_may_be_empty(manifest: Callable[..., Path], tmp_path: Path) -> None:
    assert load(tmp_path) == ()


def replaced(old: str, new: str) -> str:
    assert old in HELLO
    return HELLO.replace(old, new)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a Kubernetes manifest, got an empty file"),
        ("# soon\n---\n", "expected a Kubernetes manifest, got an empty file"),
        ("kind: [", "line 2, column 1: not YAML: did not find expected node content"),
        ("kind: x\n\x07", "line 2, column 1: not YAML: control characters are not allowed"),
        ("a: " + "[" * 500, "line 1, column 203: not YAML: nested more than 200 levels deep"),
        (b"a: \xe9", "line 1: expected UTF-8, got the byte 0xe9"),
        ("hello", 'document 1: expected a Kubernetes manifest, got "hello"'),
        ("kind: Secret\n---\n- 1\n", "document 2: expected a Kubernetes manifest, got an array"),
        ("kind: List\nitems: [1]\n", "document 1: items[0]: expected a Kubernetes manifest, got 1"),
        (
            replaced("kind: ConfigMap", "kind: Configmap"),
            'document 1: kind: expected ConfigMap, for it is labelled ControllerPlugin, got "Configmap"',
        ),
        (
            replaced("name: hello-controller-plugin", "namespace: argo"),
            "document 1: metadata.name: expected a lower case name as Kubernetes has them, got null",
        ),
        (
            replaced("name: hello-controller-plugin", 'name: "Hello\\r\\nplugin"'),
            'document 1: metadata.name: expected a lower case name as Kubernetes has them, got "Hello\\r\\nplugin"',
        ),
        (
            replaced("data:\n  address: http://localhost:4355\n", ""),
            "document 1: data: expected a table with an address, got null",
        ),
        (
            replaced("address: http://localhost:4355", "timeout: 1s"),
            "document 1: data.address: expected an http://, https:// or unix:/// address, got nothing",
        ),
        (
            replaced("http://localhost:4355", "localhost:4355"),
            "document 1: data.address: 'localhost:4355' is not an http://, https:// or unix:/// address",
        ),
        (replaced("http://localhost:4355", "8080"), "document 1: data.address: expected a string, in quotes, got 8080"),
        (HELLO + "  timeot: 1s\n", "document 1: data.timeot: unknown key, did you mean timeout?"),
        (
            HELLO + "  sidecar.container: x\n",
            "document 1: data.sidecar.container: unknown key, expected one of address, protocol, lane, balance, "
            "timeout, concurrency, not_found_ttl, max_body, failure_policy, mode, payload, cache, cache_ttl",
        ),
        (
            HELLO + "  retry: '3'\n",
            "document 1: data.retry: unknown key, expected one of address, protocol, lane, balance, "
            "timeout, concurrency, not_found_ttl, max_body, failure_policy, mode, payload, cache, cache_ttl",
        ),
        (HELLO + "  timeout: '0'\n", 'document 1: data.timeout: expected a duration greater than zero, got "0"'),
        (HELLO + "  balance: some\n", 'document 1: data.balance: expected "first" or "all", got "some"'),
        (
            HELLO + "  concurrency: few\n",
            'document 1: data.concurrency: expected "adaptive" or a whole number, 1 or more, got "few"',
        ),
        (
            HELLO + "---\n" + HELLO,
            'document 2: metadata.name: expected a name of its own, "hello-controller-plugin" is that of '
            "document 1: metadata.name",
        ),
    ],
)
def test_a_wrong_manifest_is_one_line(
    manifest: Callable[..., Path], tmp_path: Path, text: str | bytes, expected: str
) -> None:
    file = manifest(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{file}: {expected}"


def test_json_that_is_none(manifest: Callable[..., Path], tmp_path: Path) -> None:
    file = manifest('{"kind": }', "j.json")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{file}: line 1, column 10: not JSON: Expecting value"


def test_a_name_that_the_file_has_too(
    toml: Callable[[str], Path], manifest: Callable[..., Path], tmp_path: Path
) -> None:
    hello = manifest(HELLO)
    file = toml('configmaps = ["manifests"]\n[[plugins]]\nname = "hello-controller-plugin"\naddress = "http://h"\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"{hello}: document 1: metadata.name: expected a name of its own, "
        f'"hello-controller-plugin" is that of {file}: plugins[0].name'
    )


def test_a_link_that_leads_nowhere(manifest: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "manifests" / "hello.yaml").symlink_to("..data/hello.yaml")
    with pytest.raises(ConfigError, match=r"hello.yaml: cannot be read: No such file or directory$"):
        load(tmp_path)


def bomb(line: str) -> str:
    """A text of a few hundred bytes that stands for 9 ** 12 of its first line."""
    more = [f"a{level}: &a{level} " + line.format(", ".join([f"*a{level - 1}"] * 9)) for level in range(1, 13)]
    return "\n".join(["a0: &a0 {k: v}", *more])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bomb("{{<<: [{}]}}"), "aliases stand for too much"),
        (bomb("[{}]"), "aliases stand for too much"),
        ("\n---\n".join([bomb("{{<<: [{}]}}").partition("\na6")[0]] * 200), "aliases stand for too much"),
        ("a: &a\n  <<: *a\n", "stands for nothing that comes before it"),
        ("a: " + "{b: " * 100_000, "nested more than 200 levels deep"),
        ("x" * (4 * 1024 * 1024 + 1), "expected at most 4 MiB"),
    ],
)
def test_a_small_manifest_cannot_stand_for_a_large_one(
    manifest: Callable[..., Path], tmp_path: Path, text: str, said: str
) -> None:
    manifest(text)
    with pytest.raises(ConfigError, match=said):
        load(tmp_path)


def test_anchors_and_merge_keys_are_read(manifest: Callable[..., Path], tmp_path: Path) -> None:
    manifest(
        "x: &labels {workflows.argoproj.io/configmap-type: ControllerPlugin}\n"
        "y: &data {address: http://h, mode: apply}\n"
        "kind: ConfigMap\nmetadata: {name: p, labels: *labels}\ndata: {<<: *data, mode: observe}\n"
    )
    assert load(tmp_path) == (PluginConfig(name="p", address="http://h", mode="observe"),)
