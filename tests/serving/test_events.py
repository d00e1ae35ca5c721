"""What becomes of workflows is told as Kubernetes' events."""

from __future__ import annotations

import json

import pytest

from engine import Outcome, Outcomes, SimulatedExecutor
from tests.serving.inside import Document, Inside, inside, leaf, workflow

pytestmark = pytest.mark.usefixtures("engine_or_fleet")


async def events(server: Inside, query: str = "") -> list[Document]:
    """What a watch of a second tells."""
    path = f"{server.url}/api/v1/stream/events/default?listOptions.timeoutSeconds=1{query}"
    async with server.session.get(path) as response:
        assert response.status == 200
        return [json.loads(line)["result"] async for line in response.content]


async def test_each_phase_is_an_event() -> None:
    async with inside(SimulatedExecutor(Outcomes({"bad": [Outcome("Failed", "broken")]}))) as server:
        await server.submit(workflow("good"))
        await server.submit(workflow("bad", leaf("bad")))
        for name in ("good", "bad"):
            await server.until(name)
        await server.submit(workflow("elsewhere"), "other")
        found = {each["involvedObject"]["name"]: each for each in await events(server)}
        assert set(found) == {"good", "bad"}
        assert (found["good"]["type"], found["good"]["reason"]) == ("Normal", "WorkflowSucceeded")
        assert found["good"]["message"] == "Workflow completed"
        assert (found["bad"]["type"], found["bad"]["reason"]) == ("Warning", "WorkflowFailed")
        assert "broken" in found["bad"]["message"]
        (only,) = await events(server, "&listOptions.fieldSelector=involvedObject.kind=Workflow,reason=WorkflowFailed")
        assert only["involvedObject"]["uid"] == found["bad"]["involvedObject"]["uid"]


async def test_events_of_nonsense_are_refused() -> None:
    async with inside() as server:
        for query in ("listOptions.fieldSelector=colour=red", "listOptions.resourceVersion=x"):
            answer = await server.ask("GET", f"/api/v1/stream/events/default?{query}")
            assert answer.error[:2] == (400, 3)
        answer = await server.ask("GET", f"/api/v1/stream/events/default?listOptions.resourceVersion={1 << 58}")
        assert answer.error[:2] == (410, 11)
