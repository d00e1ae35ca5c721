"""A watcher is told of all that happens to workflows from a revision on, as a stream that ends when it should."""

from __future__ import annotations

import asyncio
import json

import pytest

from engine import MemoryStore, PendingExecutor
from engine.storage.store import StoreError
from tests.serving.inside import Document, Inside, inside, workflow

pytestmark = pytest.mark.usefixtures("engine_or_fleet")

EVENTS = "/api/v1/workflow-events/"


async def events(server: Inside, query: str) -> list[Document]:
    """What a watch tells within a second."""
    path = f"{server.url}{EVENTS}{query}{'&' if '?' in query else '?'}listOptions.timeoutSeconds=1"
    async with server.session.get(path) as response:
        assert response.status == 200, await response.text()
        return [json.loads(line)["result"] async for line in response.content]


def told(found: list[Document]) -> list[tuple[str, str]]:
    """Types and names."""
    return [(each["type"], each["object"]["metadata"]["name"]) for each in found]


async def test_a_watch_begins_with_what_there_is_or_after_a_revision() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("a"))
        await server.submit(workflow("b"), "other")
        await server.until("a", "Running")
        await server.until("b", "Running", namespace="other")
        revision = (await server.ask("GET", "/api/v1/workflows/")).body["metadata"]["resourceVersion"]
        since = f"?listOptions.resourceVersion={revision}"
        everything, other, nothing = await asyncio.gather(*(events(server, query) for query in ("", "other", since)))
        assert sorted(told(everything)) == [("ADDED", "a"), ("ADDED", "b")]
        assert told(other) == [("ADDED", "b")]
        assert told(nothing) == []
        await server.put("a", "suspend")
        await server.ask("DELETE", "/api/v1/workflows/other/b")
        await server.submit(workflow("c"))
        await server.until("c", "Running")
        assert sorted(told(await events(server, since))) == [("ADDED", "c"), ("DELETED", "b"), ("MODIFIED", "a")]


async def test_a_watch_tells_what_happens_while_it_lasts() -> None:
    selected = f"{EVENTS}default?listOptions.labelSelector=team=red"
    async with inside() as server, server.session.get(server.url + selected) as watching:
        red = workflow("red")
        red["metadata"]["labels"] = {"team": "red"}
        await server.submit(workflow("blue"))
        await server.submit(red)
        await server.until("red")
        await server.ask("DELETE", "/api/v1/workflows/default/red")
        found: list[Document] = []
        while not found or found[-1]["type"] != "DELETED":
            found.append(json.loads(await watching.content.readline())["result"])
        assert {each["object"]["metadata"]["name"] for each in found} == {"red"}
        assert found[0]["type"] == "ADDED"
        revisions = [int(each["object"]["metadata"]["resourceVersion"]) for each in found]
        assert revisions == sorted(set(revisions))


async def test_fields_of_events_are_chosen() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("a"))
        await server.until("a", "Running")
        chosen = ("result.object.metadata.name,result.type", "result.object.metadata.name", "metadata.name")
        *few, (found,) = await asyncio.gather(
            *(events(server, f"default?fields={fields}") for fields in (*chosen, "-result.object.spec"))
        )
        assert few == 3 * [[{"type": "ADDED", "object": {"metadata": {"name": "a"}}}]]  # Argo tells the type always
        assert "spec" not in found["object"]
        assert found["object"]["metadata"]["name"] == "a"


async def test_one_workflow_is_watched_by_its_name_or_as_the_latest() -> None:
    async with inside(PendingExecutor()) as server:
        field, none = "default?listOptions.fieldSelector=metadata.name=", 'workflows.argoproj.io "{}" not found'
        for name in ("gone", "@latest"):
            assert (await server.ask("GET", f"{EVENTS}{field}{name}")).error == (404, 5, none.format(name))
        await server.submit(workflow("a"))
        await server.submit(workflow("b"))
        now = server.records.revision
        for selector, name in (("a", "a"), ("@latest", "b")):
            assert {each for _, each in told(await events(server, f"{field}{selector}"))} == {name}
        await server.ask("DELETE", "/api/v1/workflows/default/a")
        found = await events(server, f"{field}a&listOptions.resourceVersion={now}")
        assert told(found)[-1] == ("DELETED", "a")  # who was away for a moment is told


async def test_server_sent_events_are_what_a_browser_wants() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("a"))
        path = f"{server.url}{EVENTS}default?listOptions.timeoutSeconds=1"
        async with server.session.get(path, headers={"Accept": "text/event-stream"}) as response:
            assert response.content_type == "text/event-stream"
            lines = [line async for line in response.content]
        assert lines[0].startswith(b"data: ")
        assert json.loads(lines[0].removeprefix(b"data: "))["result"]["type"] == "ADDED"
        assert lines[1] == b"\n"


async def test_revisions_of_an_earlier_life_or_of_none_are_too_old() -> None:
    store = MemoryStore()
    async with inside(PendingExecutor(), store) as server:
        await server.submit(workflow("a"))
        old = server.records.revision
    async with inside(PendingExecutor(), store) as server:
        assert (await server.get("a"))["metadata"]["name"] == "a"
        for revision in (old, 1, server.records.revision + 1000):
            answer = await server.ask("GET", f"{EVENTS}?listOptions.resourceVersion={revision}")
            assert answer.error[:2] == (410, 11)
        now = (await server.ask("GET", "/api/v1/workflows/")).body["metadata"]["resourceVersion"]
        assert int(now) > old
        await server.put("a", "suspend")
        assert told(await events(server, f"?listOptions.resourceVersion={now}"))[-1] == ("MODIFIED", "a")


async def test_a_watcher_that_leaves_is_forgotten() -> None:
    async with inside(PendingExecutor()) as server:
        async with server.session.get(f"{server.url}{EVENTS}") as response:
            assert response.status == 200
            response.close()
        await server.submit(workflow("a"))
        while server.records.hub.watchers:
            await server.put("a", "suspend")
            await server.put("a", "resume")


async def test_who_was_just_told_of_something_rests_before_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("REST", "LONGEST_REST"):
        monkeypatch.setattr(f"engine.serving.workflows.{bound}", 3600.0)
    async with inside(PendingExecutor()) as server, server.session.get(f"{server.url}{EVENTS}") as watching:
        await server.submit(workflow("a"))
        assert told([json.loads(await watching.content.readline())["result"]]) == [("ADDED", "a")]
        await server.put("a", "suspend")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(watching.content.readline(), 0.05)
        other = await events(server, "")  # one that begins to watch is told at once
        assert [each["object"]["spec"].get("suspend") for each in other] == [True]
        watching.close()


STORE = {"grpc_code": 14, "http_code": 503, "http_status": "Service Unavailable", "message": "disk: full"}
INTERNAL = {"grpc_code": 13, "http_code": 500, "http_status": "Internal Server Error", "message": "internal error"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError("disk: full"), STORE),
        (KeyError("x"), INTERNAL),
    ],
)
async def test_what_fails_while_somebody_watches_is_the_last_line(
    error: Exception, told: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise error

    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("a"))
        monkeypatch.setattr(server.records, "workflow", fail)
        async with server.session.get(f"{server.url}{EVENTS}") as response:
            assert [json.loads(line) async for line in response.content] == [{"error": told}]


@pytest.mark.parametrize("nodes", [1, 700])
async def test_every_workflow_is_seen_to_end_once(nodes: int) -> None:
    async with inside() as server:
        steps = {"name": "main", "steps": [[{"name": "s", "template": "l", "withSequence": {"count": str(nodes)}}]]}
        leaf = {"name": "l", "container": {"image": "i", "command": ["true"]}}
        names = [f"w{number}" for number in range(min(700 // nodes, 20))]
        async with server.session.get(f"{server.url}{EVENTS}default") as watching:
            for name in names:
                await server.submit(workflow(name, steps, leaf))
            for name in names:
                await server.until(name)
            await server.submit(workflow("last"))  # whatever is told of the others is told before this one's end
            ended: list[str] = []
            while "last" not in ended:
                seen = json.loads(await watching.content.readline())["result"]["object"]
                if seen["status"].get("phase") == "Succeeded":
                    ended.append(seen["metadata"]["name"])
            watching.close()
        assert sorted(ended) == sorted([*names, "last"])
