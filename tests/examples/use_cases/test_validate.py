"""Images without a digest are refused: before anything starts, or when it shows."""

from __future__ import annotations

from engine.testing import Oarlock
from tests.examples.use_cases.conftest import CASES, Serve, assert_told

WORKFLOW = (CASES / "validate/workflow.yaml").read_text()
DIGEST = "@sha256:" + "0123456789abcdef" * 4


def test_a_workflow_with_images_that_may_change_does_not_begin(oarlock: Oarlock, serve: Serve) -> None:
    plugin = serve("validate/validate.py", "validate/validate.go")
    refused = oarlock.run(WORKFLOW, plugins=[plugin])
    assert (refused.phase, refused.message) == ("Failed", "template test: golang:1.25: expected a digest")
    assert [call.method for call in refused.calls] == ["workflow.preOperate"]
    assert_told("validate", refused)

    pinned = WORKFLOW.replace("golang:1.25", f"golang{DIGEST}")
    assert oarlock.run(pinned, plugins=[plugin]).phase == "Succeeded"

    late = oarlock.run(pinned.replace(f"value: alpine{DIGEST}", "value: alpine:3"), plugins=[plugin])
    assert late.nodes["test"].phase == "Succeeded"
    assert (late.nodes["ship"].phase, late.nodes["ship"].message) == (
        "Error",
        "template ship: alpine:3: expected a digest",
    )
