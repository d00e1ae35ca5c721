"""Batches that fail: what is wrong is judged call by call, and what may be too much is sent again in parts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rpc import BreakerPolicy, Client, FatalError, NotSent, Outcome, RetryPolicy, TransientError
from rpc.batches import CallBatch
from rpc.replies import EMPTY, NodeReply
from rpc.window import Outcomes
from tests.rpc.batching import FAST, PRE, bundle, send, silence
from tests.undisturbed import undisturbed


class TestWrongReplies:
    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            ({"replies": [{}]}, "expected 3 replies, one for each call, got 1"),
            ({"replies": [{}] * 4}, "expected 3 replies, one for each call, got 4"),
            ({"replies": None}, "expected an array"),
            ({"replies": {"a": {}}}, "expected an array"),
            ({"replies": [{}] * 3, "resend": "sometimes"}, "sometimes"),
            ({"replies": [{}] * 3, "resendAfter": "soon"}, "soon"),
            (b'{"replies":[{},{},{}],"replies":[{},{},{}]}', "comes twice"),
            (b'{"replies":[{},{},{}', "not JSON"),
            (b"[]", "expected a JSON object"),
            (b'{"replies":[{},{},NaN]}', "not JSON"),
        ],
    )
    async def test_as_a_whole_are_fatal_to_every_call(self, document: Any, reason: str, server: Any) -> None:
        peer = await server(lambda _: document)
        async with Client(peer.address, name="p") as client:
            outcomes = await send(client, 3)
            assert client.stats.outcomes[Outcome.ILLEGAL] == client.stats.attempts == 3
        assert all(isinstance(outcome, FatalError) and reason in str(outcome) for outcome in outcomes), outcomes
        assert len(peer.batches) == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 500, 301])
    async def test_a_status_has_the_outcome_for_all_that_it_has_for_one(self, status: int, server: Any) -> None:
        peer = await server(lambda _: status)
        async with Client(peer.address) as client:
            outcomes = await send(client, 3)
        assert {outcome.status for outcome in outcomes if isinstance(outcome, FatalError)} == {status}
        assert len(peer.batches) == 1

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (None, "expected a JSON object, got null"),
            ([], "expected a JSON object, got an array"),
            ([{}], "expected a JSON object, got an array"),
            ("{}", "expected a JSON object, got a string"),
            ({"node": {"phase": "Done"}}, "Invalid enum value 'Done'"),
            ({"requeue": "soon"}, "'soon' is not a duration"),
            ({"error": {"status": "503"}}, "Expected `int`"),
            ({"error": {"status": 200}}, "Expected `int` >= 300"),
            ({"error": "no"}, "Expected `object`"),
            ({"error": {"status": 418, "message": "teapot"}}, 'status 418, body: {"message":"teapot"}'),
        ],
    )
    async def test_of_one_call_are_fatal_to_that_call(self, entry: Any, reason: str, server: Any) -> None:
        peer = await server(lambda _: {"replies": [{}, entry, {"node": {"message": "ok"}}]})
        async with Client(peer.address) as client:
            first, second, third = await send(client, 3)
        assert first is EMPTY
        assert isinstance(second, FatalError)
        assert reason in str(second)
        assert second.method == "node.preExecute"
        assert isinstance(third, NodeReply)
        assert third.node is not None
        assert third.node.message == "ok"

    async def test_a_404_within_is_silence_to_that_call_and_no_other(self, server: Any) -> None:
        peer = await server(lambda _: {"replies": [{"error": {"status": 404}}, {}]})
        async with Client(peer.address) as client:
            for _ in range(2):
                assert await send(client, 2) == [EMPTY, EMPTY]
            assert client.supports(PRE)
            assert client.takes_batches(PRE)
        assert len(peer.batches) == 2


class TestTransientFailures:
    async def test_of_one_call_is_retried_alone(self, server: Any) -> None:
        turns = iter([503, None])

        def answer(ids: list[str]) -> dict[str, Any]:
            status = next(turns) if "n1" in ids else None
            error = {"error": {"status": status, "message": "wait"}}
            return {"replies": [error if each == "n1" and status else {"node": {"message": each}} for each in ids]}

        peer = await server(answer)
        async with Client(peer.address, retry=FAST) as client:
            outcomes = await send(client, 3)
            assert client.stats.retries == 1
            assert client.stats.outcomes[Outcome.BUSY] == 1
            assert client.stats.outcomes[Outcome.ANSWERED] == 3
        assert [reply.node.message for reply in outcomes if isinstance(reply, NodeReply) and reply.node] == [
            "n0",
            "n1",
            "n2",
        ]
        assert peer.batches == [["n0", "n1", "n2"], ["n1"]]

    async def test_that_stands_is_raised_with_the_other_outcomes_in_place(self, server: Any) -> None:
        error = {"error": {"status": 503, "message": "never"}}
        peer = await server(lambda ids: {"replies": [error if each == "n1" else {} for each in ids]})
        async with Client(peer.address, retry=FAST) as client:
            outcomes: Outcomes = [None] * 3
            with pytest.raises(TransientError, match=r'node\.preExecute: status 503, body: \{"message":"never"\}'):
                await client.ask(PRE, bundle(3), outcomes)
        assert outcomes == [EMPTY, None, EMPTY]
        assert peer.batches == [["n0", "n1", "n2"], ["n1"]]

    async def test_of_the_first_batch_of_all_is_not_that_of_those_who_wait_for_it(self, server: Any) -> None:
        error = {"error": {"status": 503, "message": "not this one"}}
        peer = await server(lambda ids: {"replies": [error if each == "n0" else {} for each in ids]})
        async with Client(peer.address, retry=RetryPolicy(attempts=1)) as client:
            first = asyncio.create_task(send(client, 2))
            await asyncio.sleep(0)
            others: Outcomes = [None] * 2
            calls = bundle(4).calls[2:]
            await client.ask(PRE, CallBatch(b"{}", calls), others)
            with pytest.raises(TransientError):
                await first
        assert others == [EMPTY, EMPTY]

    async def test_is_an_outcome_where_failures_are_tolerated(self, server: Any) -> None:
        error = {"error": {"status": 503}}
        peer = await server(lambda ids: {"replies": [error if each == "n1" else {} for each in ids]})
        async with Client(peer.address, retry=FAST) as client:
            first, second, third = await send(client, 3, tolerant=True)
        assert first is third is EMPTY
        assert isinstance(second, TransientError)

    async def test_says_when_to_come_again(self, server: Any) -> None:
        error = {"error": {"status": 429, "message": "busy", "retryAfter": 30}}
        peer = await server(lambda ids: {"replies": [error for _ in ids]})
        async with Client(peer.address, retry=FAST) as client:
            with pytest.raises(TransientError) as caught:
                await send(client, 2)
        assert caught.value.retry_after == 30
        assert len(peer.batches) == 1, "longer than max_backoff is left to the caller"

    @pytest.mark.parametrize("status", [413, 503])
    async def test_of_a_batch_that_is_too_large_splits_it_until_it_fits(self, status: int, server: Any) -> None:
        peer = await server(lambda ids: status if len(ids) > 3 else silence(ids))
        async with Client(peer.address, retry=FAST) as client:
            assert await send(client, 16) == [EMPTY] * 16
            assert client.stats.outcomes[Outcome.ANSWERED] == 16
            peer.batches.clear()
            assert await send(client, 16) == [EMPTY] * 16
        assert max(map(len, peer.batches)) <= 8, "what failed is not tried again at once"

    @undisturbed
    async def test_a_timeout_for_large_batches_only_loses_no_call_and_opens_no_breaker(self, server: Any) -> None:
        hang = asyncio.Event()

        async def answer(ids: list[str]) -> Any:
            if len(ids) > 4:
                await hang.wait()
            return silence(ids)

        peer = await server(answer)
        try:
            async with Client(peer.address, timeout=0.2, retry=FAST) as client:
                assert await send(client, 16) == [EMPTY] * 16
                assert client.stats.breaker == "closed"
        finally:
            hang.set()
        assert [len(batch) for batch in peer.batches] == [16, 8, 4, 4, 8, 4, 4]

    async def test_a_reply_over_the_limit_splits_the_batch(self, server: Any) -> None:
        peer = await server(lambda ids: {"replies": [{"node": {"message": "x" * 300}} for _ in ids]})
        async with Client(peer.address, max_body=1000) as client:
            outcomes = await send(client, 8)
        assert all(isinstance(outcome, NodeReply) for outcome in outcomes)

    async def test_a_reply_with_too_many_values_splits_the_batch(self, server: Any) -> None:
        many = {"node": {"outputs": {"x": [1] * 7000}}}
        peer = await server(lambda ids: {"replies": [many for _ in ids]})
        async with Client(peer.address) as client:
            outcomes = await send(client, 8)
        assert all(isinstance(outcome, NodeReply) for outcome in outcomes)
        assert [len(batch) for batch in peer.batches] == [8, 4, 2, 2, 4, 2, 2]

    async def test_one_call_that_is_too_large_is_fatal_to_itself(self, server: Any) -> None:
        peer = await server(lambda ids: 413 if "n2" in ids else silence(ids))
        async with Client(peer.address) as client:
            outcomes = await send(client, 8)
        assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, FatalError)] == [2]

    async def test_a_dead_plugin_is_not_split_into_more_requests(self, free_address: str) -> None:
        async with Client(free_address, retry=FAST) as client:
            with pytest.raises(TransientError):
                await send(client, 4)
            assert client.stats.retries == 4
            assert client.stats.outcomes[Outcome.UNREACHABLE] == 8

    async def test_retries_of_batches_stay_in_the_budget(self, server: Any) -> None:
        peer = await server(lambda _: 503)
        clock = asyncio.get_running_loop().time
        began = clock()
        async with Client(peer.address, retry=FAST, breaker=BreakerPolicy(min_calls=10**6)) as client:
            outcomes = await send(client, 64, tolerant=True)
            allowed = 0.2 * 64 + 10 * (1 + clock() - began) + 1
            assert all(isinstance(outcome, TransientError) for outcome in outcomes)
            assert client.budget.refused > 0
            assert client.budget.spent <= allowed
            assert len(peer.batches) <= 64 + allowed, "halving again and again is no way around it"

    async def test_with_the_breaker_open_nothing_is_sent(self, server: Any) -> None:
        peer = await server(lambda _: 503)
        policy = BreakerPolicy(min_calls=2, open_for=3600)
        async with Client(peer.address, retry=RetryPolicy(attempts=1), breaker=policy) as client:
            for _ in range(4):
                with pytest.raises(TransientError):
                    await send(client, 1)
            sent = len(peer.batches)
            with pytest.raises(NotSent):
                await send(client, 5)
        assert len(peer.batches) == sent

    async def test_errors_within_batches_open_the_breaker_as_those_of_single_calls_do(self, server: Any) -> None:
        peer = await server(lambda ids: {"replies": [{"error": {"status": 503}} for _ in ids]})
        policy = BreakerPolicy(min_calls=20)
        async with Client(peer.address, retry=RetryPolicy(attempts=1), breaker=policy) as client:
            for _ in range(2):
                await send(client, 10, tolerant=True)
            assert client.stats.breaker == "open"


@pytest.fixture
def free_address(closed_port: int) -> str:
    return f"http://127.0.0.1:{closed_port}"
