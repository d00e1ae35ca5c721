"""Batches as a client sends them: negotiated by 404, cut to what is allowed, counted as calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rpc import BatchPolicy, Client, Outcome
from rpc.replies import EMPTY, NodeReply
from rpc.window import Outcomes
from tests.rpc.batching import BATCH, PRE, bundle, send, silence


async def test_a_server_without_batches_is_asked_once_in_each_spelling_and_left_alone(server: Any) -> None:
    peer = await server(lambda _: 404)
    async with Client(peer.address) as client:
        assert client.takes_batches(PRE) is None
        first, second = await asyncio.gather(send(client, 100), send(client, 100))
        assert first == second == [EMPTY] * 100
        assert client.takes_batches(PRE) is False
        assert await send(client, 5) == [EMPTY] * 5
    batches = [path for path in peer.paths if path.endswith(".batch")]
    assert batches == [BATCH, "/NodeLifecycleHook.NodePreExecute.batch", "/api/v1/node.preExecute.batch"]
    single = set(peer.paths).difference(batches)
    assert single == {"/node.preExecute", "/NodeLifecycleHook.NodePreExecute", "/api/v1/node.preExecute"}


async def test_where_the_spelling_is_known_it_is_asked_in_that_alone(server: Any) -> None:
    peer = await server(lambda _: 404)
    async with Client(peer.address, protocol="v1") as client:
        await send(client, 3)
    assert peer.paths == ["/api/v1/node.preExecute.batch", "/api/v1/node.preExecute"]


@pytest.mark.parametrize("body", [b"{}", b'{"node":{}}', b""])
async def test_a_reply_without_replies_means_that_there_are_no_batches(body: bytes, server: Any) -> None:
    peer = await server(lambda _: body)
    async with Client(peer.address) as client:
        assert await asyncio.gather(*(send(client, 40) for _ in range(3))) == [[EMPTY] * 40] * 3
        assert client.takes_batches(PRE) is False
    assert peer.paths.count(BATCH) == 1


async def test_a_plugin_that_stops_taking_batches_is_not_sent_any_more(server: Any) -> None:
    peer = await server(silence)
    async with Client(peer.address) as client:
        assert await send(client, 4) == [EMPTY] * 4
        peer.answer = lambda _: {}
        assert await send(client, 4) == [EMPTY] * 4
        assert await send(client, 4) == [EMPTY] * 4
    assert len(peer.batches) == 2


async def test_none_is_tried_where_batches_are_turned_off(server: Any) -> None:
    peer = await server(silence)
    async with Client(peer.address, batch=BatchPolicy(enabled=False)) as client:
        assert await send(client, 4) == [EMPTY] * 4
    assert BATCH not in peer.paths
    assert "/node.preExecute" in peer.paths


async def test_replies_go_to_their_calls_in_order(server: Any) -> None:
    peer = await server(lambda ids: {"replies": [{"node": {"message": each}} for each in ids]})
    async with Client(peer.address) as client:
        outcomes = await send(client, 300)
    assert [reply.node.message for reply in outcomes if isinstance(reply, NodeReply) and reply.node] == [
        f"n{number}" for number in range(300)
    ]
    assert sorted(each for batch in peer.batches for each in batch) == sorted(f"n{number}" for number in range(300))


async def test_the_request_is_what_the_protocol_says(server: Any) -> None:
    peer = await server(silence)
    async with Client(peer.address) as client:
        outcomes: Outcomes = [None] * 3
        await client.ask(PRE, bundle(3, templates=2), outcomes)
    assert peer.documents == [
        {
            "workflow": {},
            "templates": {"t": {"name": "t", "turn": 0}, "t#2": {"name": "t", "turn": 1}},
            "calls": [
                {"template": "t", "node": {"id": "n0"}},
                {"template": "t#2", "node": {"id": "n1"}},
                {"template": "t", "node": {"id": "n2"}},
            ],
        }
    ]


async def test_a_request_has_no_more_bytes_and_calls_than_allowed(server: Any) -> None:
    peer = await server(silence)
    async with Client(peer.address, batch=BatchPolicy(max_calls=7)) as client:
        assert await send(client, 30) == [EMPTY] * 30
    assert max(map(len, peer.batches)) == 7
    peer.batches.clear()
    async with Client(peer.address, batch=BatchPolicy(max_bytes=200)) as client:
        assert await send(client, 30) == [EMPTY] * 30
    assert 1 < max(map(len, peer.batches)) < 5
    peer.batches.clear()
    async with Client(peer.address, batch=BatchPolicy(max_bytes=1)) as client:
        assert await send(client, 3) == [EMPTY] * 3
    assert set(map(len, peer.batches)) == {1}


async def test_what_a_plugin_announces_is_told(server: Any) -> None:
    peer = await server(lambda ids: {**silence(ids), "resend": "changed", "resendAfter": "10m", "other": 1})
    async with Client(peer.address) as client:
        before = client.announcement
        assert await send(client, 3) == [EMPTY] * 3
        told = client.announcement
        assert before is None
        assert told is not None
        assert told.cacheable
        assert told.seconds == 600
        assert client.stats.unknown_fields == 1


async def test_counters_count_calls_and_how_many_shared_a_reply(server: Any) -> None:
    peer = await server(silence)
    async with Client(peer.address) as client:
        await send(client, 10)
        stats = client.stats
        assert stats.attempts == stats.outcomes[Outcome.ANSWERED] == 10
        assert stats.batched == 9
        assert stats.in_flight == 0


async def test_cancelling_gives_back_permits_and_leaves_others_alone(server: Any) -> None:
    release = asyncio.Event()
    entered = asyncio.Event()

    async def answer(ids: list[str]) -> Any:
        if "n0" in ids:
            entered.set()
            await release.wait()
        return silence(ids)

    peer = await server(answer)
    async with Client(peer.address, timeout=30) as client:
        asking = [asyncio.create_task(send(client, 20)) for _ in range(3)]
        await entered.wait()
        asking[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking[0]
        release.set()
        assert await asking[1] == await asking[2] == [EMPTY] * 20
        assert client.stats.in_flight == client.stats.waiting == 0


async def test_both_lanes_carry_batches(server: Any) -> None:
    peer = await server(silence)
    for lane in ("wire", "aiohttp"):
        async with Client(peer.address, lane=lane) as client:
            assert await send(client, 50) == [EMPTY] * 50
