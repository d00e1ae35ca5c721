"""Values from outside stand where templates name them."""

from __future__ import annotations

from pathlib import Path

from engine.testing import Oarlock
from rpc.plugin import Plugin
from tests.examples.use_cases.conftest import CASES, Serve, assert_told

WORKFLOW = (CASES / "parameters/workflow.yaml").read_text()


def test_values_are_those_of_the_namespace_at_the_time(oarlock: Oarlock, serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "values"
    for namespace, region in (("default", "eu-north-1"), ("blue", "us-east-2")):
        (folder / namespace).mkdir(parents=True)
        (folder / namespace / "region").write_text(f"{region}\n")
        (folder / namespace / "registry").write_text("registry.example.com")
        (folder / namespace / "..data").mkdir()  # as Kubernetes mounts a ConfigMap
    plugin = serve("parameters/parameters.py", "parameters/parameters.mjs", PARAMETERS_DIR=str(folder))

    def container(manifest: str) -> dict[str, object]:
        result = oarlock.run(manifest, plugins=[plugin, watching])
        if result.workflow.namespace == "default":
            assert_told("parameters", result)
        (call,) = [call for call in watching.calls if call.method == "node.preExecute"]
        found: dict[str, object] = call.arguments["template"]["container"]
        return found

    watching = _watching()
    assert container(WORKFLOW) == {
        "image": "registry.example.com/report:1",
        "command": ["report", "--region", "eu-north-1"],
    }
    assert container(WORKFLOW.replace("name: regional", "name: regional\n  namespace: blue"))["command"] == [
        "report",
        "--region",
        "us-east-2",
    ]
    (folder / "default" / "region").write_text("eu-south-1\n")
    assert container(WORKFLOW)["command"] == ["report", "--region", "eu-south-1"]


def _watching() -> Plugin:
    plugin = Plugin("watching")

    @plugin.on("node.preExecute")
    def watch(args: dict[str, object]) -> None:
        """Only to be called."""

    return plugin
