"""Workflows are made, shown, listed and deleted as Argo's server does it."""

from __future__ import annotations

from tests.serving.inside import inside, workflow


async def test_a_workflow_is_made_and_ends() -> None:
    async with inside() as server:
        made = await server.submit(workflow("one"))
        assert made["metadata"]["namespace"] == "default"
        ended = await server.until("one")
        assert ended["status"]["phase"] == "Succeeded"
        assert list(ended["status"]["nodes"]) == ["one"]
        assert int(ended["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        for field in ("uid", "creationTimestamp", "name"):
            assert ended["metadata"][field] == made["metadata"][field]
        assert await server.get("one") == ended
