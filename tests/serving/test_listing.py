"""Workflows are listed as Argo's server does it: selected, and page by page."""

from __future__ import annotations

import pytest

from engine import Outcome, Outcomes, PendingExecutor, SimulatedExecutor
from tests.serving.inside import Inside, inside, workflow

pytestmark = pytest.mark.usefixtures("engine_or_fleet")

ALL = "/api/v1/workflows/"
HERE = "/api/v1/workflows/default"


async def test_a_list_of_all_namespaces_or_one() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("a"))
        await server.submit(workflow("b"), "other")
        listed = (await server.ask("GET", ALL)).body
        assert [each["metadata"]["name"] for each in listed["items"]] == ["b", "a"]
        assert listed["kind"] == "WorkflowList"
        assert int(listed["metadata"]["resourceVersion"]) >= int(listed["items"][0]["metadata"]["resourceVersion"])
        listed = (await server.ask("GET", "/api/v1/workflows/other")).body
        assert [each["metadata"]["name"] for each in listed["items"]] == ["b"]
        listed = (await server.ask("GET", f"{HERE}?fields=-items.spec,items.status.nodes")).body
        assert "spec" not in listed["items"][0]
        listed = (await server.ask("GET", f"{HERE}?fields=items.metadata.name")).body
        assert listed == {"items": [{"metadata": {"name": "a"}}]}


async def names(server: Inside, query: str) -> list[str]:
    """Those that are listed, the newest first."""
    status, body = await server.ask("GET", f"{ALL}?{query}")
    assert status == 200, body
    return [each["metadata"]["name"] for each in body["items"]]


async def test_lists_are_selected() -> None:
    async with inside(SimulatedExecutor(Outcomes({"main": [Outcome("Failed")]}))) as server:
        for name, namespace, labels in (("ab", "default", {"a": "1"}), ("abc", "x", {"a": "2"}), ("bc", "x", {})):
            manifest = workflow(name)
            manifest["metadata"]["labels"] = labels
            await server.submit(manifest, namespace)
            await server.until(name, namespace=namespace)
        assert await names(server, "listOptions.labelSelector=a") == ["abc", "ab"]
        assert await names(server, "listOptions.labelSelector=a in (1,3)") == ["ab"]
        assert await names(server, "listOptions.labelSelector=workflows.argoproj.io/phase=Failed,!a") == ["bc"]
        field = "listOptions.fieldSelector="
        assert await names(server, f"{field}metadata.name=abc") == ["abc"]
        assert await names(server, f"{field}metadata.name!=abc,metadata.namespace=x") == ["bc"]
        assert await names(server, f"{field}metadata.name=b&nameFilter=Contains") == ["bc", "abc", "ab"]
        assert await names(server, f"{field}metadata.name=ab&nameFilter=Prefix") == ["abc", "ab"]
        assert await names(server, f"{field}metadata.name=ab&nameFilter=Exact") == ["ab"]
        assert await names(server, "createdAfter=2020-01-01T00:00:00Z") == ["bc", "abc", "ab"]
        assert await names(server, "createdAfter=2999-01-01T00:00:00Z") == []
        assert await names(server, "finishedBefore=2999-01-01T00:00:00Z") == ["bc", "abc", "ab"]
        assert await names(server, "finishedBefore=2020-01-01T00:00:00Z") == []
        assert await names(server, f"{field}spec.startedAt>2020-01-01T00:00:00Z") == ["bc", "abc", "ab"]


@pytest.mark.parametrize(
    "query",
    [
        "listOptions.labelSelector=a in (",
        "listOptions.labelSelector==",
        "listOptions.fieldSelector=status.phase=Failed",
        "listOptions.fieldSelector=metadata.name",
        "listOptions.fieldSelector=spec.startedAt=2020-01-01T00:00:00Z",
        "listOptions.fieldSelector=metadata.name>a",
        "listOptions.limit=-1",
        "listOptions.limit=ten",
        "listOptions.limit=99999999999999999999",
        "listOptions.continue=x",
        "listOptions.resourceVersion=abc",
        "listOptions.timeoutSeconds=x",
        "listOptions.allowWatchBookmarks=x",
        "nameFilter=Nearly",
        "listOptions.fieldSelector=ext.showRemainingItemCount=perhaps",
        "createdAfter=yesterday",
        "finishedBefore=1",
    ],
)
async def test_a_list_or_a_watch_of_nonsense_is_refused(query: str) -> None:
    async with inside() as server:
        for path in (HERE, "/api/v1/workflow-events/default"):
            if "continue" in query and path != HERE:
                continue
            status, code, message = (await server.ask("GET", f"{path}?{query}")).error
            assert (status, code) == (400, 3)
            assert message


async def test_a_list_of_one_namespace_that_selects_another_is_refused() -> None:
    async with inside() as server:
        for path in (f"{HERE}?", "/api/v1/archived-workflows?namespace=default&"):
            for operator in ("=", "=="):
                answer = await server.ask("GET", f"{path}listOptions.fieldSelector=metadata.namespace{operator}other")
                assert answer.error[:2] == (400, 3)
            for selector in ("metadata.namespace=default", "metadata.namespace!=other"):
                assert (await server.ask("GET", f"{path}listOptions.fieldSelector={selector}")).status == 200


async def test_pages_are_complete_though_workflows_come_and_go() -> None:
    async with inside(PendingExecutor()) as server:
        for number in range(7):
            await server.submit(workflow(f"w{number}"))
        seen: list[str] = []
        token = ""
        while True:
            listed = (await server.ask("GET", f"{HERE}?listOptions.limit=3&listOptions.continue={token}")).body
            assert len(listed["items"]) <= 3
            seen += [each["metadata"]["name"] for each in listed["items"]]
            token = listed["metadata"].get("continue", "")
            if not token:
                break
            assert listed["metadata"]["remainingItemCount"] == 7 - len(seen)
            await server.submit(workflow(f"new{len(seen)}"))
            if len(seen) == 3:
                await server.ask("DELETE", f"{HERE}/{seen[-1]}")
        assert seen == [f"w{number}" for number in reversed(range(7))]
        answer = await server.ask("GET", f"{HERE}?listOptions.continue=5")
        assert answer.error[:2] == (410, 11)
