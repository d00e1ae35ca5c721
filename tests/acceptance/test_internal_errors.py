"""A mistake inside a pass costs its own workflow, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from engine.graph import Graph
from engine.model.node import Node
from engine.reconciling.pass_ import Pass
from tests.acceptance.fixtures import StartEngine
from tests.acceptance.manifests import container, workflow


async def test_a_pass_that_raises_ends_its_workflow_in_error_and_no_other(
    engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Pass._walk

    async def broken(self: Pass, document: dict[str, Any]) -> dict[str, Any]:
        if document["metadata"]["name"] == "bad":
            raise ZeroDivisionError("oops")
        return await walk(self, document)

    monkeypatch.setattr(Pass, "_walk", broken)
    oarlock = await engine()
    bad, good = workflow(container("leaf"), name="bad"), workflow(container("leaf"), name="good")
    await oarlock.run([bad, good])
    assert (bad.phase, bad.message) == ("Error", "internal error: ZeroDivisionError: oops")
    assert good.phase == "Succeeded"


async def test_so_does_a_commit_that_raises_and_goes_on_raising(
    engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Graph.commit

    def broken(self: Graph) -> dict[str, Node | None]:
        if self.store.workflow == "bad":
            raise ZeroDivisionError("oops")
        return commit(self)

    monkeypatch.setattr(Graph, "commit", broken)
    oarlock = await engine()
    bad, good = workflow(container("leaf"), name="bad"), workflow(container("leaf"), name="good")
    await oarlock.run([bad, good])
    assert (bad.phase, bad.message) == ("Error", "internal error: ZeroDivisionError: oops")
    assert good.phase == "Succeeded"
    assert oarlock.stats.workflows == 0
