"""Every example runs, and does what its first line says."""

from __future__ import annotations

import json
from typing import Any

import orjson

from tests.examples.conftest import Checkout

RUN = ".venv/bin/oarlock run"


def phases(workflow: dict[str, Any]) -> dict[str, str]:
    """Node phases by display name."""
    return {node["displayName"]: node["phase"] for node in workflow["status"]["nodes"].values()}


def test_hello_needs_no_plugin(checkout: Checkout) -> None:
    assert checkout.run(f"{RUN} examples/hello.yaml").startswith("hello Succeeded")


def test_the_hello_plugin_answers_for_every_node(checkout: Checkout) -> None:
    checkout.leave_running(".venv/bin/python examples/hello_plugin.py")
    workflow = json.loads(checkout.run(f"{RUN} examples/hello.yaml --config examples/plugins.toml --output json"))
    assert workflow["status"]["nodes"]["hello"]["message"] == "Hello"


def test_the_plain_plugin_signs_the_workflow(checkout: Checkout) -> None:
    checkout.leave_running(".venv/bin/python examples/plain_plugin.py")
    workflow = json.loads(checkout.run(f"{RUN} examples/hello.yaml --config examples/plugins.toml --output json"))
    assert workflow["metadata"]["annotations"] == {"signed": "plain plugin"}
    assert workflow["status"]["phase"] == "Succeeded"


def test_the_node_js_plugin_executes_a_template_found_by_its_config_map(checkout: Checkout, node: str) -> None:
    checkout.leave_running(f"{node} examples/server.mjs")
    check = checkout.run(".venv/bin/oarlock check --config examples/discovery.toml")
    assert "greeting-plugin" in check
    assert "parameters.add" in check
    assert "template.execute" in check
    workflow = json.loads(checkout.run(f"{RUN} examples/greeting.yaml --config examples/discovery.toml --output json"))
    assert workflow["status"]["nodes"]["greeting"]["phase"] == "Succeeded"
    assert workflow["status"]["nodes"]["greeting"]["message"] == "good morning, world"


def test_the_diamond_takes_the_branch_that_its_outcomes_lead_to(checkout: Checkout) -> None:
    outcomes = checkout.folder / "outcomes.yaml"
    outcomes.write_text("node:a: {result: good morning}\n")
    workflow = json.loads(checkout.run(f"{RUN} examples/diamond.yaml --outcomes outcomes.yaml --output json"))
    assert workflow["status"]["phase"] == "Succeeded"
    assert phases(workflow)["polite"] == "Succeeded"
    assert phases(workflow)["rude"] == "Skipped"


def test_the_diamond_fails_where_one_of_its_loop_does(checkout: Checkout) -> None:
    command = f"{RUN} examples/diamond.yaml --outcomes examples/diamond-outcomes.yaml --output json"
    workflow = json.loads(checkout.run(command, expect=1))
    assert workflow["status"]["phase"] == "Failed"
    assert phases(workflow)["b(1:green)"] == "Failed"
    assert phases(workflow)["b(2:blue)"] == "Succeeded"
    assert phases(workflow)["d"] == "Omitted"


def test_fan_out_makes_a_hundred_thousand_nodes_of_one_step(checkout: Checkout) -> None:
    manifest = checkout.folder / "examples" / "fan-out.yaml"
    text = manifest.read_text()
    assert '"100000"' in text
    manifest.write_text(text.replace('"100000"', '"500"'))
    workflow = orjson.loads(checkout.run(f"{RUN} examples/fan-out.yaml --output json"))
    leaves = [node for node in workflow["status"]["nodes"].values() if node["type"] == "Pod"]
    assert len(leaves) == 500
    assert {node["phase"] for node in leaves} == {"Succeeded"}
