"""Finished workflows are the archived ones."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Outcome, Outcomes, SimulatedExecutor, Workflow
from engine.storage.memory import MemoryStore
from tests.serving.keeping import SPEC, Served, served

PATH = "archived-workflows"


async def make(it: Served, name: str, *, namespace: str = "default", end: bool = True, **labels: str) -> Workflow:
    it.clock.now += 60
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    spec = SPEC if end else {**SPEC, "suspend": True}
    workflow = Workflow({"metadata": metadata, "spec": spec})
    await it.records.submit(workflow)
    if end:
        await it.engine.run([workflow])
    return workflow


async def names(it: Served, **query: str) -> list[str]:
    found = await it.ok("GET", PATH, **query)
    assert (found["kind"], found["apiVersion"]) == ("WorkflowList", "argoproj.io/v1alpha1")
    return [each["metadata"]["name"] for each in found["items"]]


async def test_the_finished_ones_are_listed_the_newest_first() -> None:
    async with served() as it:
        await make(it, "one", app="web")
        await make(it, "two", namespace="team", app="db")
        await make(it, "tree", app="db")
        await make(it, "live", app="db", end=False)
        assert await names(it) == ["tree", "two", "one"]
        assert await names(it, namespace="team") == ["two"]
        assert await names(it, namePrefix="t") == ["tree", "two"]
        assert await names(it, **{"listOptions.labelSelector": "app=db"}) == ["tree", "two"]
        assert await names(it, **{"listOptions.fieldSelector": "metadata.namespace=team"}) == ["two"]
        assert await names(it, **{"listOptions.fieldSelector": "metadata.name=one"}) == ["one"]
        contains = {"nameFilter": "Contains", "listOptions.fieldSelector": "metadata.name=w"}
        assert await names(it, **contains) == ["two"]
        started = {"listOptions.fieldSelector": "spec.startedAt>2026-03-02T09:01:00Z"}
        assert await names(it, **started) == ["tree", "two"]
        between = {
            "listOptions.fieldSelector": "spec.startedAt>2026-03-02T09:01:00Z,spec.startedAt<2026-03-02T09:03:00Z"
        }
        assert await names(it, **between) == ["two"]


async def test_lists_go_by_pages() -> None:
    async with served() as it:
        for name in ("a", "b", "c"):
            await make(it, name)
        first = await it.ok("GET", PATH, **{"listOptions.limit": "2"})
        assert [each["metadata"]["name"] for each in first["items"]] == ["c", "b"]
        token = first["metadata"]["continue"]
        assert await names(it, **{"listOptions.limit": "2", "listOptions.continue": token}) == ["a"]


async def test_one_is_shown_with_its_nodes_by_its_uid() -> None:
    async with served() as it:
        workflow = await make(it, "one")
        found = await it.ok("GET", f"{PATH}/{workflow.uid}")
        assert found["metadata"]["name"] == "one"
        assert [*found["status"]["nodes"]] == ["one"]
        for query in ({"namespace": "default", "name": "one"}, {"namespace": "", "name": ""}):
            assert await it.ok("GET", f"{PATH}/{workflow.uid}", **query) == found
        listed = await it.ok("GET", PATH)
        assert "nodes" not in listed["items"][0]["status"]


async def test_those_of_an_earlier_life_are_there_too() -> None:
    store = MemoryStore()
    async with served(store) as it:
        workflow = await make(it, "one", app="web")
    async with served(store) as it:
        assert await names(it) == ["one"]
        assert (await it.ok("GET", f"{PATH}/{workflow.uid}"))["status"]["nodes"].keys() == {"one"}


async def test_one_is_deleted_from_the_store() -> None:
    store = MemoryStore()
    async with served(store) as it:
        workflow = await make(it, "one")
        assert await it.ok("DELETE", f"{PATH}/{workflow.uid}") == {}
        assert await names(it) == []
        assert await store.heads() == []


async def test_a_live_one_is_not_archived() -> None:
    async with served() as it:
        workflow = await make(it, "live", end=False)
        for method in ("GET", "DELETE"):
            found = await it.refused(method, f"{PATH}/{workflow.uid}")
            assert found == (404, 5, f'workflows.argoproj.io "{workflow.uid}" not found')


async def test_one_is_resubmitted_and_one_that_failed_retried() -> None:
    async with served(executor=SimulatedExecutor(Outcomes({"leaf": [Outcome("Failed")]}))) as it:
        workflow = await make(it, "one", app="web")
        again = await it.ok("PUT", f"{PATH}/{workflow.uid}/resubmit", {"uid": workflow.uid, "namespace": "default"})
        assert again["metadata"]["name"].startswith("one-")
        assert again["metadata"]["labels"]["app"] == "web"
        assert again["metadata"]["uid"] != workflow.uid
        retried = await it.ok("PUT", f"{PATH}/{workflow.uid}/retry", {"uid": workflow.uid, "namespace": "default"})
        assert retried["metadata"]["uid"] == workflow.uid
        assert "finishedAt" not in retried["status"]
        assert await names(it) == []
        await it.engine.run()
        assert sorted(await names(it)) == sorted(["one", again["metadata"]["name"]])


@pytest.mark.parametrize("operation", ["resubmit", "retry"])
async def test_what_cannot_be_done_again(operation: str) -> None:
    async with served() as it:
        workflow = await make(it, "live", end=False)
        for uid in ("gone", workflow.uid):
            assert (await it.refused("PUT", f"{PATH}/{uid}/{operation}", {}))[:2] == (404, 5)
        workflow = await make(it, "one")
        assert (await it.refused("PUT", f"{PATH}/{workflow.uid}/{operation}", []))[:2] == (400, 3)
        bad = {"parameters": ["x"]}
        assert (await it.refused("PUT", f"{PATH}/{workflow.uid}/{operation}", bad))[:2] == (400, 3)
        if operation == "retry":  # it has succeeded
            assert (await it.refused("PUT", f"{PATH}/{workflow.uid}/{operation}", {}))[:2] == (400, 3)


async def test_labels_of_finished_ones() -> None:
    async with served() as it:
        await make(it, "one", app="web", tier="back")
        await make(it, "two", namespace="team", app="db")
        await make(it, "live", end=False, other="x")
        keys = await it.ok("GET", "archived-workflows-label-keys")
        assert {"app", "tier"} <= set(keys["items"])
        assert "other" not in keys["items"]
        assert "tier" not in (await it.ok("GET", "archived-workflows-label-keys", namespace="team"))["items"]
        values = await it.ok("GET", "archived-workflows-label-values", **{"listOptions.labelSelector": "app"})
        assert values == {"items": ["db", "web"]}


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (PATH, {"listOptions.labelSelector": "=x"}, "labelSelector: "),
        (PATH, {"listOptions.fieldSelector": "spec.x=1"}, "fieldSelector: field label not supported: spec.x"),
        (PATH, {"listOptions.fieldSelector": "spec.startedAt>soon"}, "fieldSelector: spec.startedAt: expected a time"),
        (PATH, {"listOptions.limit": "many"}, "listOptions.limit: expected a number"),
        (PATH, {"listOptions.continue": "x"}, "listOptions.continue: expected what a list has told"),
        (PATH, {"nameFilter": "Like"}, "nameFilter: expected "),
        ("archived-workflows-label-values", {}, "only allow 1 labelRequirement, found 0"),
        ("archived-workflows-label-values", {"listOptions.labelSelector": "a,b"}, "only allow 1 labelRequirement"),
        ("archived-workflows-label-values", {"listOptions.labelSelector": "a=b"}, "operation in is not supported"),
    ],
)
async def test_what_cannot_be_asked(path: str, query: dict[str, Any], message: str) -> None:
    async with served() as it:
        status, code, found = await it.refused("GET", path, None, **query)
        assert (status, code) == (400, 3)
        assert found.startswith(message)


async def test_one_that_is_somewhere_else() -> None:
    async with served() as it:
        workflow = await make(it, "one")
        for query in ({"namespace": "team"}, {"name": "two"}):
            assert (await it.refused("GET", f"{PATH}/{workflow.uid}", None, **query))[:2] == (404, 5)
        assert (await it.refused("GET", f"{PATH}/gone"))[:2] == (404, 5)
