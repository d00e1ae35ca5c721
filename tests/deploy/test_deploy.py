"""What is in ``deploy/``: it says what there is, and what can be checked of it is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import orjson
import pytest
import yaml

from engine.cli.serve import serve
from registry import Config
from registry.loading import load_config

ROOT = Path(__file__).parents[2]
MANIFESTS = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/oarlock.yaml").read_text()))
CONTAINERFILE = (ROOT / "deploy/Containerfile").read_text()


def found(kind: str, name: str = "oarlock") -> Any:
    (document,) = [each for each in MANIFESTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return document


def instructions(name: str) -> list[str]:
    """What stands behind an instruction of the Containerfile, as often as it is there."""
    lines = CONTAINERFILE.replace("\\\n", " ").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


@pytest.mark.parametrize("document", MANIFESTS, ids=[each["kind"] for each in MANIFESTS])
def test_manifests_are_what_kubernetes_takes(document: Any) -> None:
    kubernetes_validate.validate(document, "1.31", strict=True)


def test_what_the_page_shows_is_what_kubernetes_and_oarlock_take(tmp_path: Path) -> None:
    page = (ROOT / "docs/deploying.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    service, deployment = yaml.safe_load_all(shown)
    for document in (service, deployment):
        kubernetes_validate.validate(document, "1.31", strict=True)
    (file := tmp_path / "plugins.toml").write_text(*re.findall(r"```toml\n(.*?)```", page, re.DOTALL))
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
    assert found("ConfigMap", volumes["plugins"]["configMap"]["name"])
    engine = pod["spec"]["containers"][0]
    assert {each["name"] for each in engine["volumeMounts"]} == volumes.keys()
    mounted = [each["mountPath"] for each in engine["volumeMounts"]]
    paths = [each.partition("=")[2] for each in engine["args"] if "=/" in each]
    assert all(any(path.startswith(f"{mount}/") for mount in mounted) for path in paths), paths
    assert {each["metadata"].get("namespace", "oarlock") for each in MANIFESTS} == {"oarlock"}


def test_the_plugin_in_the_config_map_is_the_sidecar(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text(found("ConfigMap", "oarlock-plugins")["data"]["plugins.toml"])
    config: Config = load_config(file)
    assert [each.address for each in config.plugins] == ["http://localhost:4355"]
    assert "port=4355" in (ROOT / "examples/hello_plugin.py").read_text()


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
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "oarlock_guard.py"} <= set(copied)
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
