"""What is in ``deploy/``: it says what there is, and what can be checked of it is."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import kubernetes_validate
import orjson
import pytest
import yaml
from kubernetes_asyncio.config import incluster_config

from engine.cli.serve import serve
from registry import Config
from registry.configmaps import CONTROLLER_PLUGIN, LABEL, plugin_of
from registry.connecting import connect
from registry.loading import load_config
from rpc import Client, PluginError, Tls
from rpc.plugin import Plugin
from tests import ports

ROOT = Path(__file__).parents[2]
MANIFESTS = list(yaml.load_all((ROOT / "deploy/kubernetes/oarlock.yaml").read_text(), yaml.CSafeLoader))
ELSEWHERE = list(yaml.load_all((ROOT / "deploy/kubernetes/plugin-mtls.yaml").read_text(), yaml.CSafeLoader))
PAGE = (ROOT / "docs/deploying.md").read_text()
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text()


def found(kind: str, name: str = "oarlock", manifests: list[Any] = MANIFESTS) -> Any:
    (document,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return document


def shown(language: str) -> list[str]:
    """What is fenced in the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def instructions(name: str) -> list[str]:
    """What stands behind an instruction of the Containerfile, as often as it is there."""
    lines = CONTAINERFILE.replace("\\\n", " ").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


@pytest.mark.parametrize("document", MANIFESTS + ELSEWHERE, ids=[each["kind"] for each in MANIFESTS + ELSEWHERE])
def test_manifests_are_what_kubernetes_takes(document: Any) -> None:
    kubernetes_validate.validate(document, "1.31", strict=True)


def test_what_the_page_shows_is_what_kubernetes_and_oarlock_take(tmp_path: Path) -> None:
    one, service, deployment = yaml.load_all("---\n".join(shown("yaml")), yaml.CSafeLoader)
    for document in (one, service, deployment):
        kubernetes_validate.validate(document, "1.31", strict=True)
    assert plugin_of(one, tmp_path, "", ("localhost",)).address == "http://localhost:4356"
    (file := tmp_path / "plugins.toml").write_text(shown("toml")[1])
    (plugin,) = load_config(file).plugins
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    assert plugin.address == f"http://{name}.{namespace}.svc.cluster.local:{service['spec']['ports'][0]['port']}"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_what_refers_to_another_finds_it() -> None:
    pod = found("Deployment")["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    assert found("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels
    assert found("Service")["spec"]["selector"].items() <= labels
    assert found("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert found("ServiceAccount")["metadata"]["name"] == pod["spec"]["serviceAccountName"]
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    assert found("PersistentVolumeClaim", volumes["data"]["persistentVolumeClaim"]["claimName"])
    assert found("ConfigMap", volumes["config"]["configMap"]["name"])
    engine = pod["spec"]["containers"][0]
    assert {each["name"] for each in engine["volumeMounts"]} == volumes.keys()
    mounted = [each["mountPath"] for each in engine["volumeMounts"]]
    paths = [each.partition("=")[2] for each in engine["args"] if "=/" in each]
    assert all(any(path.startswith(f"{mount}/") for mount in mounted) for path in paths), paths
    assert {each["metadata"].get("namespace", "oarlock") for each in MANIFESTS} == {"oarlock"}


def test_the_sidecar_is_found_by_its_config_map(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text(found("ConfigMap", "oarlock-config")["data"]["plugins.toml"])
    config: Config = load_config(file)
    assert config.kubernetes is not None
    assert config.kubernetes.namespace == "oarlock"
    assert config.plugins == ()
    manifest = found("ConfigMap", "hello-controller-plugin")
    assert manifest["metadata"]["labels"] == {LABEL: CONTROLLER_PLUGIN}
    assert plugin_of(manifest, file, "", config.engine.allowed_addresses).address == "http://localhost:4355"
    assert "port=4355" in (ROOT / "examples/hello_plugin.py").read_text()
    assert "kubernetes" in CONTAINERFILE.partition("'.[")[2].partition("]")[0].split(",")


def test_the_engine_alone_may_look_for_plugins() -> None:
    (rule,) = found("Role")["rules"]
    assert rule == {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}
    assert found("RoleBinding")["roleRef"]["name"] == "oarlock"
    assert found("RoleBinding")["subjects"] == [{"kind": "ServiceAccount", "name": "oarlock", "namespace": "oarlock"}]
    pod = found("Deployment")["spec"]["template"]["spec"]
    engine, *others = pod["containers"]
    (volume,) = [each for each in pod["volumes"] if "projected" in each]
    (mounted,) = [each["mountPath"] for each in engine["volumeMounts"] if each["name"] == volume["name"]]
    assert not any(each.get("volumeMounts") for each in others)
    token, authorities = volume["projected"]["sources"]
    assert f"{mounted}/{token['serviceAccountToken']['path']}" == incluster_config.SERVICE_TOKEN_FILENAME
    assert f"{mounted}/{authorities['configMap']['items'][0]['path']}" == incluster_config.SERVICE_CERT_FILENAME


def test_a_plugin_elsewhere_and_what_leads_to_it_fit_together() -> None:
    pod = found("Deployment", "labels", ELSEWHERE)["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    service = found("Service", "labels", ELSEWHERE)
    inwards, outwards = (found("NetworkPolicy", name, ELSEWHERE) for name in ("labels", "oarlock-to-plugins"))
    assert service["spec"]["selector"].items() <= labels
    assert inwards["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert (
        outwards["spec"]["podSelector"]["matchLabels"].items()
        <= found("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    )
    assert outwards["metadata"]["namespace"] == "oarlock"
    (port,) = [each["containerPort"] for each in pod["spec"]["containers"][1]["ports"]]
    assert [port] == [each["port"] for each in service["spec"]["ports"]]
    assert [port] == [each["port"] for each in outwards["spec"]["egress"][0]["ports"]]
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    assert {each["name"] for each in pod["spec"]["containers"][1]["volumeMounts"]} == volumes.keys()
    assert found("ConfigMap", volumes["config"]["configMap"]["name"], ELSEWHERE)
    secrets = [volumes["tls"]["secret"]["secretName"]]
    secrets += [
        each["secret"]["secretName"]
        for each in found("Deployment")["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "plugins-tls"
    ]
    made = re.findall(r"create secret generic (\S+) --from-file=ca.pem", PAGE)
    assert made == secrets


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
async def test_what_the_page_shows_of_mtls_works_as_it_is(tmp_path: Path) -> None:
    (port,) = ports.free()
    (made,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/security.md").read_text(), re.DOTALL)
    await asyncio.to_thread(subprocess.run, ["sh", "-ec", made], cwd=tmp_path, check=True, capture_output=True)
    plugin = Plugin("labels")
    plugin.on("workflow.preOperate")(lambda _: {})
    async with plugin.serve() as address, AsyncExitStack() as stack:
        proxy = found("ConfigMap", "plugin-proxy", ELSEWHERE)["data"]["nginx.conf"]
        for there, here in {
            "/tmp/": f"{tmp_path}/",
            "/run/secrets/plugin/": f"{tmp_path}/",
            "127.0.0.1:4355": address.removeprefix("http://"),
            "listen 4443": f"listen 127.0.0.1:{port}",
        }.items():
            assert there in proxy
            proxy = proxy.replace(there, here)
        (tmp_path / "nginx.conf").write_text(proxy)
        command = found("Deployment", "labels", ELSEWHERE)["spec"]["template"]["spec"]["containers"][1]["command"]
        command = [str(tmp_path / "nginx.conf") if "/" in each else each for each in command]
        nginx = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
        stack.push_async_callback(nginx.wait)
        stack.callback(nginx.terminate)
        config, _, discovering = shown("toml")[0].partition("[kubernetes]\n")
        (file := tmp_path / "plugins.toml").write_text(
            (config + discovering.partition("\n\n")[2])
            .replace("labels.plugins.svc.cluster.local:4443", f"localhost:{port}")
            .replace("/run/secrets/plugins", str(tmp_path))
        )
        (called,) = load_config(file).plugins
        while True:
            assert nginx.returncode is None
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.01)
        async with connect(called) as client:
            assert await client.call("workflow.preOperate", {}) == {}
        assert called.tls is not None
        stranger = Tls(ca_file=tmp_path / "ca.pem", server_name="plugin.internal")
        async with Client(called.address, tls=stranger) as client:
            with pytest.raises(PluginError, match="No required SSL certificate was sent"):
                await client.call("workflow.preOperate", {})


def served() -> list[list[str]]:
    """The arguments of `oarlock serve`, wherever it is started."""
    unit = (ROOT / "deploy/oarlock.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    return [
        orjson.loads(instructions("CMD")[0])[1:],
        found("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"][1:],
        shlex.split(line)[2:],
    ]


@pytest.mark.parametrize("arguments", served(), ids=["image", "deployment", "unit"])
def test_the_server_takes_its_arguments(arguments: list[str]) -> None:
    with serve.make_context("serve", list(arguments)) as context:
        assert context.params["store"] is not None
        assert context.params["token_file"] is not None


def test_the_image_has_all_that_the_package_needs() -> None:
    copied = [each for line in instructions("COPY") if "--from" not in line for each in line.split()[:-1]]
    assert all((ROOT / each).exists() for each in copied), copied
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= {each.rstrip("/") for each in copied}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    modules = {f"{each}.py" for each in project["tool"]["setuptools"]["py-modules"]}
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", *modules} <= set(copied)
    assert instructions("USER") == ["10001:10001"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_has_nothing_to_say(tmp_path: Path) -> None:
    unit = tmp_path / "oarlock.service"
    there = (ROOT / "deploy/oarlock.service").read_text().replace("/opt/oarlock/bin/oarlock", "/bin/true")
    unit.write_text(there)
    ran = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_nothing_is_loaded_from_the_folder_that_it_is_started_in(tmp_path: Path) -> None:
    for name in ("orjson", "click", "engine", "rpc", "sitecustomize", "uvloop", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('loaded from here')\n")
    (tmp_path / "work.yaml").write_bytes((ROOT / "examples/hello.yaml").read_bytes())
    command = [str(Path(sys.executable).with_name("oarlock")), "run", "work.yaml"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "Succeeded" in ran.stdout
