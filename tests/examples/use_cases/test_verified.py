"""`oarlock verify` finds no fault with any of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.program import oarlock as command
from tests.examples.use_cases.conftest import CASES, Receiver, Serve, listening

PLUGINS = {
    "validate/validate.py": "validate/validate.go",
    "lineage/lineage.py": "lineage/lineage.mjs",
    "progress/progress.py": "progress/progress_server.py",
    "notify/notify.py": "notify/notify_server.py",
    "short-circuit/short_circuit.py": "short-circuit/short_circuit_fastapi.py",
    "template/spark.py": "template/spark.mjs",
    "cache/cache.py": "cache/cache_server.py",
    "parameters/parameters.py": "parameters/parameters.mjs",
}


@pytest.mark.parametrize("sdk", PLUGINS)
def test_they_are_healthy(sdk: str, serve: Serve, receiver: Receiver, tmp_path: Path) -> None:
    plugin = serve(
        sdk,
        PLUGINS[sdk],
        WEBHOOK_URL=receiver.url,
        OPENLINEAGE_URL=receiver.url,
        CACHE=str(tmp_path / "cache.db"),
        SWITCHES=str(CASES / "short-circuit/switches.json"),
    )
    with listening(plugin) as address:
        result = CliRunner().invoke(command, ["verify", address, "--json", "--timeout", "30s"])
    assert result.exit_code == 0, json.loads(result.stdout)["findings"]
