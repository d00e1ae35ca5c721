"""The examples that answer batches, called as the page says: each in a process of its own, over real connections."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.examples.conftest import Checkout
from tests.examples.schema import check

WORKFLOW = {"metadata": {"name": "fan", "namespace": "default", "uid": "1f7c"}}
TEMPLATES = {"main": {"name": "main"}, "main#2": {"name": "main", "container": {"image": "alpine"}}}


class Peer:
    """A plugin, called by batch and by single call; what is sent and answered is held against the schema."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def batch(self, method: str, *calls: dict[str, Any]) -> dict[str, Any]:
        request = {"workflow": WORKFLOW, "templates": TEMPLATES, "calls": list(calls)}
        check(f"{method}.request", request)
        async with self.session.post(f"/{method}.batch", json=request) as response:
            assert response.status == 200
            reply: dict[str, Any] = await response.json(content_type=None)
        check(f"{method}.reply", reply)
        return reply

    async def single(self, method: str, call: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        args = {**call, "workflow": WORKFLOW, "template": TEMPLATES[call["template"]]}
        async with self.session.post(f"/{method}", json=args) as response:
            return response.status, await response.json(content_type=None)


@contextlib.asynccontextmanager
async def peer(address: str) -> AsyncIterator[Peer]:
    async with aiohttp.ClientSession(address) as session:
        yield Peer(session)


def about(name: str, template: str = "main") -> dict[str, Any]:
    node = {"id": f"fan-{name}", "name": f"fan.{name}", "displayName": name, "type": "Pod", "phase": "Pending"}
    return {"template": template, "node": node}


@pytest.fixture
def python(checkout: Checkout) -> str:
    checkout.leave_running(".venv/bin/python examples/batch_plugin.py")
    return checkout.translate("http://localhost:4355")


@pytest.fixture
def node_js(checkout: Checkout, node: str) -> str:
    checkout.leave_running(f"{node} examples/batch-server.mjs")
    return checkout.translate("http://localhost:4356")


async def test_the_python_plugin_answers_a_batch_as_it_answers_single_calls(python: str) -> None:
    calls = [about("a"), about("hello", "main#2"), about("b")]
    async with peer(python) as plugin:
        reply = await plugin.batch("node.preExecute", *calls)
        assert reply == {
            "replies": [{}, {"node": {"phase": "Succeeded", "message": "found in the cache"}}, {}],
            "resend": "changed",
            "resendAfter": "10m",
        }
        for call, replied in zip(calls, reply["replies"], strict=True):
            assert await plugin.single("node.preExecute", call) == (200, replied)


async def test_the_python_plugin_answers_the_other_calls_when_one_is_wrong(python: str) -> None:
    wrong = {"template": "main", "node": {"id": "fan-1", "name": "fan(0)", "phase": "Running"}}
    async with peer(python) as plugin:
        reply = await plugin.batch("node.preExecute", wrong, about("a"))
        assert reply["replies"] == [{"error": {"status": 500, "message": "KeyError('displayName')"}}, {}]
        assert await plugin.single("node.preExecute", wrong) == (500, {"message": "KeyError('displayName')"})


def test_the_python_plugin_keeps_several_connections(python: str) -> None:
    """All at once: a server with one thread would answer none but the first."""
    connections = [http.client.HTTPConnection(python.removeprefix("http://"), timeout=30) for _ in range(3)]
    sockets = []
    for _ in range(2):
        for connection in connections:
            connection.request("POST", "/node.preExecute", json.dumps(about("a")))
            assert connection.getresponse().read() == b"{}"
            sockets.append(connection.sock)
    assert sockets[:3] == sockets[3:]
    assert len(set(sockets)) == 3
    for connection in connections:
        connection.close()


async def test_the_python_plugin_has_no_other_methods(python: str) -> None:
    async with peer(python) as plugin:
        for path in ("/node.postExecute.batch", "/NodeLifecycleHook.NodePreExecute.batch", "/parameters.add"):
            async with plugin.session.post(path, json={}) as response:
                assert response.status == 404


async def test_the_node_js_plugin_answers_all_methods_that_have_batches(node_js: str) -> None:
    old = about("a")["node"]
    changes = [{"template": "main", "old": old, "new": {**old, "phase": phase}} for phase in ("Failed", "Succeeded")]
    async with peer(node_js) as plugin:
        for method, calls, replies in (
            ("node.preExecute", [about("a"), about("b", "main#2")], [{}, {}]),
            ("node.postExecute", changes, [{"node": {"message": "failed, was Pending"}}, {}]),
            ("parameters.add", [{"template": "main#2"}], [{"parameters": {"hello": "good morning, fan"}}]),
        ):
            assert await plugin.batch(method, *calls) == {"replies": replies}
            for call, reply in zip(calls, replies, strict=True):
                assert await plugin.single(method, call) == (200, reply)


async def test_the_node_js_plugin_tells_of_one_call_that_it_cannot_answer_it_now(node_js: str) -> None:
    async with peer(node_js) as plugin:
        reply = await plugin.batch("node.preExecute", about("busy"), about("a"))
        assert reply["replies"] == [{"error": {"status": 503, "message": "come back later", "retryAfter": 2}}, {}]
        assert await plugin.single("node.preExecute", about("busy")) == (503, {"message": "come back later"})


async def test_the_node_js_plugin_has_no_other_methods(node_js: str) -> None:
    async with peer(node_js) as plugin:
        for path in ("/template.execute.batch", "/api/v1/parameters.add.batch", "/workflow.preOperate"):
            async with plugin.session.post(path, json={}) as response:
                assert response.status == 404


def test_the_engine_works_with_both(checkout: Checkout, python: str, node_js: str) -> None:
    config = checkout.folder / "both.toml"
    addresses = {"python": python, "node": node_js}
    tables = [f"[[plugins]]\nname = '{name}'\naddress = '{address}'\n" for name, address in addresses.items()]
    config.write_text("engine.enabled = true\n" + "".join(tables))
    outcomes = checkout.folder / "outcomes.yaml"
    outcomes.write_text("'node:b(1:green)': {phase: Failed}\n")
    run = f".venv/bin/oarlock run examples/diamond.yaml --config {config} --outcomes {outcomes} --output json"
    nodes = json.loads(checkout.run(run, expect=1))["status"]["nodes"].values()
    messages = {node["displayName"]: node.get("message") for node in nodes}
    assert messages["b(1:green)"] == "failed, was Running"
    run = f".venv/bin/oarlock run examples/hello.yaml --config {config} --output json"
    assert json.loads(checkout.run(run))["status"]["nodes"]["hello"]["message"] == "found in the cache"
