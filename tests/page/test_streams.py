"""What the page asks for: files for anybody, streams of what has changed, figures of plugins and how they went."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

import pytest

from engine import PendingExecutor, Recorder, Result
from engine.serving.figures import Durations, Plugins
from engine.serving.hub import Hub
from engine.serving.page import FILES
from registry import Config, EngineSettings, PluginConfig, Registry
from rpc import Token
from rpc.stats import Histogram
from tests.acceptance.peer import Peer
from tests.serving.inside import HERE, Document, Inside, inside, leaf, workflow

WORKFLOWS = "/api/oarlock/workflows"


async def messages(server: Inside, path: str) -> AsyncGenerator[Document]:
    """What a stream tells, as server-sent events."""
    async with server.session.get(server.url + path, headers={"Accept": "text/event-stream"}) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])["result"]


async def test_of_a_stream_there_is_no_head() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("w"))
        for path in (WORKFLOWS, f"{WORKFLOWS}/default/w", "/api/oarlock/plugins"):
            async with server.session.head(server.url + path) as response:
                assert response.status == 405


def fan(count: int) -> Document:
    return {"name": "main", "steps": [[{"name": "loop", "template": "work", "withSequence": {"count": str(count)}}]]}


class Known:
    """What somebody knows of a workflow's nodes who has heard all messages, and the rows of the last one."""

    def __init__(self) -> None:
        self.phases: dict[str, str] = {}
        self.children: dict[str, list[str]] = {}
        self.names: dict[str, str] = {}
        self.last: list[list[Any]] = []
        self.anew = 0

    def hear(self, message: Document) -> None:
        if message["anew"]:
            self.anew += 1
            self.phases, self.children, self.names = {}, {}, {}
        self.last = message["nodes"]
        for key, phase, _, _, _, children, *rest in self.last:
            self.phases[key] = phase
            self.children.setdefault(key, []).extend(children)
            if rest:
                self.names[key] = rest[0]

    def agrees(self, document: Document) -> bool:
        nodes = document["status"]["nodes"]
        return (
            self.phases == {key: each["phase"] for key, each in nodes.items()}
            and self.names == {key: each["displayName"] for key, each in nodes.items()}
            and self.children == {key: each.get("children", []) for key, each in nodes.items()}
        )


async def test_files_are_for_anybody_and_asked_for_anew() -> None:
    async with inside(PendingExecutor(), listening=HERE._replace(token="secret")) as server:
        for path in FILES:
            async with server.session.get(server.url + path) as response:
                assert response.status == 200
                assert response.headers["Cache-Control"] == "no-cache"
                policy = response.headers["Content-Security-Policy"]
                assert policy.startswith(
                    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                )
                known = {"If-None-Match": response.headers["ETag"]}
                assert set(re.findall(r"\w+://[^\"'\s]*", await response.text())) <= {"http://www.w3.org/2000/svg"}
            async with server.session.get(server.url + path, headers=known) as response:
                assert response.status == 304
        assert (await server.ask("GET", "/page/../app.py")).status == 401
        for path in (WORKFLOWS, f"{WORKFLOWS}/default/one", f"{WORKFLOWS}/default/one/one", "/api/oarlock/plugins"):
            assert (await server.ask("GET", path)).status == 401
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert (await server.ask("GET", "/", headers=elsewhere)).status == 403


async def test_of_a_workflow_what_has_changed_is_told() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("one", fan(2000), leaf("work")))
        handle = server.engine.find("default/one")
        assert handle is not None
        known = Known()
        async with aclosing(messages(server, f"{WORKFLOWS}/default/one")) as stream:
            while len(known.phases) < 2002:
                message = await anext(stream)
                if "nodes" in message:
                    known.hear(message)
            for leaf_name in (
                "loop(7:7)",
                "loop(8:8)",
            ):  # with the first one there may be what is left of the beginning
                leaf_id = next(key for key, name in known.names.items() if name == leaf_name)
                server.engine.report(handle.workflow, leaf_id, Result("Failed", "a word"))
                while known.phases[leaf_id] != "Failed":
                    message = await anext(stream)
                    if "nodes" in message:
                        known.hear(message)
            assert len(known.last) == 1
            assert known.last[0][1:3] == ["Failed", "a word"]
            assert len(known.last[0]) == 6
            assert known.agrees(await server.get("one"))


async def test_however_fast_it_changes_it_is_told_now_and_then() -> None:
    class Thing(NamedTuple):
        uid: str = "one"
        created: int = 1
        revision: int = 1

    hub: Hub[Thing] = Hub(0)
    hub.put(Thing())
    async with aclosing(hub.batches(3600.0, lambda _: True)) as batches:
        assert [event.item.revision for event in await anext(batches)] == [1]
        hub.put(Thing(revision=2))  # while the first batch is told
        coming = asyncio.ensure_future(anext(batches))
        done, _ = await asyncio.wait((coming,), timeout=0.05)
        assert not done
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def test_after_a_retry_nodes_are_told_anew_and_a_deletion_ends_it() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("one", fan(3), leaf("work")))
        await server.put("one", "terminate")
        await server.until("one")
        known = Known()
        async with aclosing(messages(server, f"{WORKFLOWS}/default/one")) as stream:
            while not known.agrees(await server.get("one")):
                message = await anext(stream)
                if "nodes" in message:
                    known.hear(message)
            assert (await server.put("one", "retry")).status == 200
            while not ("Running" in known.phases.values() and known.agrees(await server.get("one"))):
                message = await anext(stream)
                if "nodes" in message:
                    known.hear(message)
            assert known.anew == 2
            await server.ask("DELETE", "/api/v1/workflows/default/one")
            *_, last = [message async for message in stream]
            assert last == {"gone": True}


async def test_the_list_tells_each_state_and_what_is_gone() -> None:
    async with inside() as server, aclosing(messages(server, WORKFLOWS)) as stream:
        assert await anext(stream) == {"workflows": [], "gone": []}
        created = await server.submit(workflow("one"))
        phases = []
        while "Succeeded" not in phases:
            phases += [each["phase"] for each in (await anext(stream))["workflows"]]
        await server.ask("DELETE", "/api/v1/workflows/default/one")
        assert await anext(stream) == {"workflows": [], "gone": [created["metadata"]["uid"]]}


async def test_a_node_is_shown_as_argo_has_it() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("one", fan(1), leaf("work")))
        await server.until("one", "Running")
        nodes = (await server.get("one"))["status"]["nodes"]
        pod = next(each for each in nodes.values() if each["type"] == "Pod")
        status, body = await server.ask("GET", f"{WORKFLOWS}/default/one/{pod['id']}")
        assert (status, body["node"]) == (200, pod)
        assert body["pod"].startswith("one-work-")
        assert (await server.ask("GET", f"{WORKFLOWS}/default/one/two")).error == (404, 5, 'nodes "two" not found')
        assert (await server.ask("GET", f"{WORKFLOWS}/default/two/two")).error[0] == 404
        assert (await server.ask("GET", f"{WORKFLOWS}/default/two")).error[0] == 404


async def test_a_token_that_a_plugin_has_put_into_a_message_is_not_shown() -> None:
    said = {"message": "who is s3cret?", "outputs": {"result": "s3cret", "parameters": []}}
    peer = Peer({"node.preExecute": {"node": {"phase": "Failed", **said}}}, None, None)
    await peer.start()
    try:
        plugin = PluginConfig(name="a", address=peer.address, token=Token("s3cret"))
        registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=(plugin,)))
        async with inside(registry=registry, recorder=Recorder()) as server:
            await server.submit(workflow("one"))
            (node,) = (await server.until("one"))["status"]["nodes"].values()
            assert node["message"] == "who is s3cret?"
            async with (
                aclosing(messages(server, WORKFLOWS)) as all_,
                aclosing(messages(server, f"{WORKFLOWS}/default/one")) as stream,
            ):
                shown = [await anext(each) for each in (all_, all_, stream, stream)]
            shown.append((await server.ask("GET", f"{WORKFLOWS}/default/one/{node['id']}"))[1])
            for each in shown[1:]:
                assert "who is ***?" in json.dumps(each)
                assert "s3cret" not in json.dumps(each)
    finally:
        await peer.stop()


@pytest.mark.parametrize(
    ("seconds", "p50", "p99"),
    [
        ([], None, None),
        ([0.00001] * 4, 0.000032, 0.00006336),  # a line from 0 to the first edge, 64 us
        ([0.0005] * 100, 0.000384, 0.00050944),  # and from 256 to 512 us
        ([0.0005] * 50 + [0.003] * 50, 0.000512, 0.004055040),
        ([100.0], 16.777216, 16.777216),  # beyond the last edge
    ],
)
def test_quantiles_are_those_of_prometheus(seconds: list[float], p50: float | None, p99: float | None) -> None:
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    durations = Durations.of(histogram)
    assert durations.quantile(0.5) == (None if p50 is None else pytest.approx(p50))
    assert durations.quantile(0.99) == (None if p99 is None else pytest.approx(p99))
    assert durations.since(durations).quantile(0.5) is None


async def test_samples_are_of_what_has_happened_since_the_last() -> None:
    peer, moments = Peer({"node.preExecute": {}}, None, None), iter(range(0, 100, 2))
    await peer.start()
    try:
        plugin = PluginConfig(name="a", address=peer.address)
        registry = Registry(Config(engine=EngineSettings(enabled=True), plugins=(plugin,)))
        async with inside(registry=registry) as server:
            plugins = Plugins(server.engine, lambda: float(next(moments)))
            plugins.sample()
            await server.submit(workflow("one"))
            await server.until("one")
            calls = sum(registry.snapshot()[0].client.stats.outcomes.values())
            told = []
            for _ in range(2):
                plugins.sample()
                told.append(plugins.told[0])
            assert [each["samples"][0]["calls"] for each in told] == [calls / 2, 0]
            assert told[0]["samples"][0]["travelled"][0] == told[0]["travelled"]["p50"]
            assert told[1]["samples"][0]["travelled"] == [None, None]
            assert told[1]["calls"] == calls
    finally:
        await peer.stop()
