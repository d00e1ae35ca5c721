"""How far a node is shows while it runs."""

from __future__ import annotations

import pytest

from engine.testing import Oarlock
from tests.examples.use_cases.conftest import CASES, Serve, assert_told

WORKFLOW = CASES / "progress/workflow.yaml"
BARS = """
backup photos [                    ] 0/5
backup photos [####                ] 1/5
backup photos [########            ] 2/5
backup photos [############        ] 3/5
backup photos [################    ] 4/5
backup photos [####################] 5/5
backup videos [                    ] 0/2
backup videos [##########          ] 1/2
backup videos [####################] 2/2
"""


def test_progress_is_seen_while_nodes_run(oarlock: Oarlock, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = serve("progress/progress.py", "progress/progress_server.py")
    result = oarlock.run(WORKFLOW, plugins=[plugin])
    assert result.phase == "Succeeded"
    assert (result.nodes["photos"].progress, result.nodes["videos"].progress) == ("5/5", "2/2")
    assert_told("progress", result)
    bars = BARS.strip().splitlines()
    said = (
        [serve.said.get(timeout=60) for _ in bars] if isinstance(plugin, str) else capsys.readouterr().out.splitlines()
    )
    assert sorted(map(str.strip, said)) == sorted(bars)
