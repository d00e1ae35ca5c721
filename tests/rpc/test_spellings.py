"""Finding the spelling by the 404 rule, and remembering what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rpc import Client, FatalError, Method, Outcome, TransientError
from rpc.methods import BATCHES, SPELLINGS, Spelling, path
from rpc.plugin import Plugin
from rpc.retries import RetryPolicy
from rpc.spellings import Spellings

NODE = Method.NODE_PRE_EXECUTE


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("concurrent", [1, 200])
async def test_the_proposals_plugin_is_asked_once_per_spelling(
    spelling: Spelling, concurrent: int, proposal_plugin: Callable[[str], Any]
) -> None:
    implemented = path(Method.WORKFLOW_PRE_OPERATE, spelling)
    plugin = proposal_plugin(implemented)
    async with Client(plugin.address, timeout=30) as client:
        replies = await asyncio.gather(*(client.call(Method.WORKFLOW_PRE_OPERATE, {}) for _ in range(concurrent)))
        assert all(reply == {} for reply in replies)
        assert client.spelling(Method.WORKFLOW_PRE_OPERATE) == spelling
        for method in list(Method)[1:]:
            assert client.supports(method)
            refusals = await asyncio.gather(*(client.call(method, {"a": 1}) for _ in range(concurrent)))
            assert refusals == [None] * concurrent
            assert not client.supports(method)
    assert plugin.asked.pop(implemented) == concurrent
    assert all(times == 1 for times in plugin.asked.values())
    assert len(plugin.asked) == (len(Method) - 1) * 3 + SPELLINGS.index(spelling)


async def test_the_spelling_found_is_tried_first_for_other_methods(scripted: Any, http: Any) -> None:
    peer = await scripted(http("404 Not Found"), http("200 OK", b"{}"))
    async with Client(peer.address) as client:
        await client.call("workflow.preOperate", {})
        await client.call("node.preExecute", {})
    assert list(peer.paths) == [
        "/workflow.preOperate",
        "/WorkflowLifecycleHook.WorkflowPreOperate",
        "/NodeLifecycleHook.NodePreExecute",
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_fixed_spelling_is_the_only_one_used(spelling: Spelling, scripted: Any, http: Any) -> None:
    peer = await scripted(http("404 Not Found"))
    async with Client(peer.address, protocol=spelling) as client:
        assert await client.call("node.preExecute", {}) is None
        assert await client.call("node.preExecute", {}) is None
        assert not client.supports(NODE)
    assert peer.paths == {path(NODE, spelling): 1}


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "405 No"])
async def test_any_answer_but_404_settles_the_spelling(status: str, scripted: Any, http: Any) -> None:
    peer = await scripted(http("404 Not Found"), http(status), http("200 OK", b"{}"))
    async with Client(peer.address, timeout=30, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises((FatalError, TransientError)):
            await client.call("node.preExecute", {})
        assert client.spelling(NODE) == "go"
        assert await client.call("node.preExecute", {}) == {}


async def test_a_method_that_is_gone_later_is_remembered_as_refused(scripted: Any, http: Any) -> None:
    peer = await scripted(http("200 OK", b"{}"), http("404 Not Found"))
    async with Client(peer.address) as client:
        assert await client.call(NODE, {}) == {}
        assert await client.call(NODE, {}) is None
        assert await client.call(NODE, {}) is None
    assert len(peer.requests) == 2


async def test_when_nobody_is_home_all_who_wait_are_told_at_once(closed_port: int) -> None:
    async with Client(f"http://127.0.0.1:{closed_port}") as client:
        outcomes = await asyncio.gather(*(client.call(NODE, {}) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(outcome, TransientError) for outcome in outcomes)
    assert len({id(outcome) for outcome in outcomes}) == 50


async def test_the_asking_goes_on_when_the_one_who_asks_is_cancelled() -> None:
    gate = asyncio.Event()
    plugin = Plugin("p")

    @plugin.on("node.preExecute")
    async def hold(args: dict[str, Any]) -> None:
        started.set()
        await gate.wait()

    started = asyncio.Event()
    async with plugin.serve() as address, Client(address, timeout=30) as client:
        calls = [asyncio.ensure_future(client.call(NODE, {})) for _ in range(5)]
        await started.wait()
        calls[0].cancel()
        calls[1].cancel()
        gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[:2]] == [asyncio.CancelledError] * 2
    assert outcomes[2:] == [{}] * 3


async def test_a_plugin_that_comes_back_is_asked_again() -> None:
    first, second = Plugin("first"), Plugin("second")
    first.on("workflow.preOperate")(lambda args: None)
    second.on("workflow.preOperate")(lambda args: None)
    second.on("node.preExecute")(lambda args: {"node": {"message": "new"}})
    async with first.serve() as address:
        port = int(address.rpartition(":")[2])
        client = await Client(address).__aenter__()
        assert await client.call("node.preExecute", {}) is None
        assert await client.call("workflow.preOperate", {}) == {}
    with pytest.raises(TransientError):
        await client.call("workflow.preOperate", {})
    async with second.serve(port=port):
        assert not client.supports(NODE)
        assert await client.call("workflow.preOperate", {}) == {}
        assert client.supports(NODE)
        assert await client.call("node.preExecute", {}) == {"node": {"message": "new"}}
        await client.aclose()


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_404_is_believed_for_its_time() -> None:
    clock = Clock()
    spellings = Spellings("auto", "", 60.0, clock)
    assert (spellings.refuses(NODE), spellings.in_doubt(NODE)) == (False, False)
    spellings.refuse(NODE)
    clock.now += 59
    assert (spellings.refuses(NODE), spellings.in_doubt(NODE)) == (True, False)
    clock.now += 1
    assert (spellings.refuses(NODE), spellings.in_doubt(NODE)) == (False, True)
    spellings.refuse(NODE)
    assert (spellings.refuses(NODE), spellings.in_doubt(NODE)) == (True, False)
    clock.now += 60
    assert spellings.settle(NODE, "go"), "it is another plugin"
    assert (spellings.refuses(NODE), spellings.in_doubt(NODE)) == (False, False)
    assert not spellings.settle(NODE, "go")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not found",
        b"[]",
        b'{"methods": null}',
        b'{"methods": "node.postExecute"}',
        b'{"methods": ["GET", "HEAD"]}',
        b'{"methods": [1]}',
        b'{"methods": []}',
        b'{"methods": ["node.postExecute"]',
        b'{"methods": ["node.postExecute", "\xff"]}',
        b'{"methods": ["node.postExecute"], "x": "' + b"x" * 20_000 + b'"}',
        b'{"methods": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_anybodys_404_says_nothing_of_other_methods(body: bytes) -> None:
    spellings = Spellings("auto", "")
    spellings.not_found(body)
    assert not any(spellings.refuses(route) for route in (*Method, *BATCHES.values()))


def test_a_404_that_names_methods_speaks_for_all_others_but_those_that_were_answered() -> None:
    spellings = Spellings("auto", "")
    spellings.settle(NODE, "short")
    spellings.not_found(b'{"methods": ["node.postExecute", "node.postExecute.batch", "node.new"], "message": "no"}')
    had = {NODE, Method.NODE_POST_EXECUTE, BATCHES[Method.NODE_POST_EXECUTE]}
    assert {route for route in (*Method, *BATCHES.values()) if not spellings.refuses(route)} == had


async def test_a_plugin_on_the_sdk_is_asked_once_for_all_that_it_does_not_have() -> None:
    plugin = Plugin("announcing")
    plugin.on("node.preExecute")(lambda args: None)
    async with plugin.serve() as address, Client(address) as client:
        for method in Method:
            assert await client.call(method, {}) == (None if method is not NODE else {})
        assert client.stats.outcomes[Outcome.UNSUPPORTED] == 1
        assert [method for method in Method if client.supports(method)] == [NODE]
        assert client.takes_batches(NODE) is None, "it has them, as far as it says"
        assert client.takes_batches(Method.NODE_POST_EXECUTE) is False


async def test_a_404_that_names_methods_does_so_in_the_plugins_own_spelling(scripted: Any, http: Any) -> None:
    named = http("404 Not Found", b'{"methods": ["node.preExecute"]}')
    peer = await scripted(named, named, http("200 OK", b"{}"))
    async with Client(peer.address) as client:
        assert await client.call("workflow.preOperate", {}) is None
        assert await client.call("node.preExecute", {}) == {}
        assert client.spelling(NODE) == "go"
    assert list(peer.paths) == ["/workflow.preOperate", "/node.preExecute", "/NodeLifecycleHook.NodePreExecute"]


async def test_a_plugin_with_a_method_that_it_did_not_have_is_another_one(scripted: Any, http: Any) -> None:
    peer = await scripted(http("404 Not Found"), http("200 OK", b"{}"))
    async with Client(peer.address, protocol="short", not_found_ttl=1e-9) as client:
        assert await client.call("node.preExecute", {}) is None
        assert (client.generation, client.in_doubt(NODE)) == (0, True)
        assert await client.call("node.preExecute", {}) == {}
        assert (client.generation, client.in_doubt(NODE)) == (1, False)


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_a_404_is_believed_for_some_time(ttl: float) -> None:
    with pytest.raises(ValueError, match="not_found_ttl must be a positive number of seconds"):
        Client("http://nowhere", not_found_ttl=ttl)
