"""Whatever is wrong with what a run has left behind, an operation on it is refused, or the workflow goes on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine import Engine, OperationError, Workflow
from tests.engine.graph.running import Recorder, outcomes, run
from tests.engine.validation.test_mutations import AROUND, MIDDLE, SLOW, WHOLE, mutants, parsed, places

FAILED = run(Workflow(WHOLE), "{file: {phase: Failed}}", timeout=7200, **AROUND).workflow.to_dict()
"""The whole workflow after a failure in the middle."""

OPERATIONS = st.sampled_from(("stop", "terminate", "suspend", "resume", "retry"))


def operated(workflow: Workflow, operation: str) -> str:
    """The phase that it ends in, or stops at."""

    async def go() -> None:
        async with Engine(executor=Recorder(outcomes("")), **AROUND) as engine:
            with contextlib.suppress(OperationError):
                getattr(engine, operation)(workflow)
            await engine.run([workflow], timeout=7200)

    asyncio.run(go())
    return workflow.phase


def in_status(document: dict[str, object]) -> list[tuple[str | int, ...]]:
    return [path for path in places(document) if path[0] == "status" and len(path) > 1]


@SLOW
@given(
    document=mutants(FAILED, in_status(FAILED)) | mutants(MIDDLE, in_status(MIDDLE)),
    operation=OPERATIONS,
)
@example(document=FAILED, operation="retry")
@example(document=MIDDLE, operation="stop")
def test_an_operation_bears_any_change(document: dict[str, Any], operation: str) -> None:
    workflow = parsed(document)
    if workflow is not None:
        assert operated(workflow, operation) in ("Succeeded", "Failed", "Error", "Running", "Pending")
        assert Workflow(workflow.to_dict()).encode() == workflow.encode()


def test_nodes_that_hang_under_themselves_are_no_trap() -> None:
    node = {"type": "Pod", "phase": "Failed", "templateName": "main", "nodeFlag": {"hooked": True}}
    workflow = Workflow(
        {
            "metadata": {"name": "wf"},
            "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "i"}}]},
            "status": {
                "phase": "Failed",
                "nodes": {
                    "wf": {**node, "id": "wf", "name": "wf", "displayName": "wf", "children": ["wf", "wf-1"]},
                    "wf-1": {**node, "id": "wf-1", "name": "wf.x", "displayName": "x", "children": ["wf", "wf-1"]},
                },
            },
        }
    )
    assert operated(workflow, "retry") == "Succeeded"
