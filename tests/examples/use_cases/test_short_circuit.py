"""Nodes end because somebody outside says so, or wait until they have decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.testing import Oarlock
from rpc.plugin import Plugin
from tests.examples.use_cases.conftest import CASES, Serve, assert_told

WORKFLOW = CASES / "short-circuit/workflow.yaml"


def test_a_switch_ends_nodes_or_holds_them_back(oarlock: Oarlock, serve: Serve, tmp_path: Path) -> None:
    switches = tmp_path / "switches.json"
    plugin = serve("short-circuit/short_circuit.py", "short-circuit/short_circuit_fastapi.py", SWITCHES=str(switches))
    assert oarlock.run(WORKFLOW, plugins=[plugin]).nodes["announce"].phase == "Succeeded"

    switches.write_text((CASES / "short-circuit/switches.json").read_text())
    skipped = oarlock.run(WORKFLOW, plugins=[plugin])
    assert skipped.phase == "Succeeded"
    assert (skipped.nodes["deploy"].phase, skipped.nodes["deploy"].message) == (
        "Skipped",
        "no deployments before Monday",
    )
    assert_told("short-circuit", skipped)

    switches.write_text(json.dumps({"deploy": {"message": "somebody is asked"}}))
    somebody, asked = Plugin("somebody"), list[str]()

    @somebody.on("node.preExecute")
    def decide(args: dict[str, Any]) -> None:
        if args["node"].get("message") == "somebody is asked":
            asked.append(args["node"]["phase"])
            if len(asked) == 5:
                switches.write_text(json.dumps({"deploy": {"phase": "Succeeded", "message": "it was done by hand"}}))

    held = oarlock.run(WORKFLOW, plugins=[plugin, somebody])
    assert asked == ["Pending"] * 5
    assert (held.nodes["deploy"].phase, held.nodes["deploy"].message) == ("Succeeded", "it was done by hand")
    assert held.nodes["announce"].phase == "Succeeded"
