"""A plugin that has too much to do; through the client on each lane."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from rpc import BreakerPolicy, Client, Method, NotSent, Outcome, RetryPolicy, TransientError
from rpc.limiter import START
from tests.undisturbed import undisturbed

NODE = Method.NODE_PRE_EXECUTE
ONCE = RetryPolicy(attempts=1)
PATIENT = BreakerPolicy(min_calls=10_000)


@pytest.fixture(params=["aiohttp", "wire"])
def lane(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def full_backlog() -> Iterator[str]:
    """The address of a listener that accepts nobody and has no room for any more to wait."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    for each in (listener, *fillers):
        each.close()


@undisturbed
async def test_a_full_listen_backlog_is_transient_and_the_limit_falls(
    lane: Any, full_backlog: str, brief_connects: None
) -> None:
    async with Client(full_backlog, lane=lane, timeout=1.0, retry=ONCE, breaker=PATIENT) as client:
        before = client.stats.limit
        with pytest.raises(TransientError):
            await client.call(NODE, {})
        assert before == START
        assert client.stats.limit < before
        assert client.stats.outcomes[Outcome.UNREACHABLE] == 1


@pytest.mark.parametrize("why", ["breaker", "deadline", "closed"])
async def test_a_long_queue_that_is_not_sent_any_more_is_told_at_once(
    lane: Any, scripted: Any, http: Any, why: str
) -> None:
    """Each that hears of it gives its permit to the next: not from within, or the stack would not suffice."""
    peer = await scripted(http("503 Busy"))
    loop = asyncio.get_running_loop()
    breaker = BreakerPolicy(min_calls=2) if why == "breaker" else PATIENT
    async with Client(
        peer.address, lane=lane, protocol="short", concurrency=2, retry=ONCE, breaker=breaker, timeout=30
    ) as client:
        with pytest.raises(TransientError):  # where the method is has to be known
            await client.call(NODE, {})
        deadline = loop.time() if why == "deadline" else None
        calls = [asyncio.create_task(client.call(NODE, {}, deadline=deadline)) for _ in range(2000)]
        if why == "closed":
            await asyncio.sleep(0)
            await client.aclose()
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(failure, TransientError) for failure in failures)
        assert sum(isinstance(failure, NotSent) for failure in failures) > 1900
        assert (client.stats.in_flight, client.stats.waiting) == (0, 0)


async def test_retry_after_is_waited_for_within_the_deadline_and_not_beyond(
    lane: Any, scripted: Any, http: Any
) -> None:
    busy = [http(f"{status} Not now", b"", f"Retry-After: {seconds}") for status, seconds in ((503, 0), (429, 0))]
    never = http("503 Busy", b"", "Retry-After: 3600")
    peer = await scripted(*busy, http("200 OK", b"{}"), never)
    async with Client(peer.address, lane=lane, protocol="short", timeout=30) as client:
        deadline = asyncio.get_running_loop().time() + 60
        assert await client.call(NODE, {}, deadline=deadline) == {}
        assert len(peer.requests) == 3
        with pytest.raises(TransientError) as caught:
            await client.call(NODE, {}, deadline=deadline)
        assert caught.value.retry_after == 3600
        assert len(peer.requests) == 4, "an hour is beyond the deadline: not asked again"


async def test_every_plugin_503_and_the_retries_of_all_stay_within_one_budget(
    lane: Any, scripted: Any, http: Any
) -> None:
    peers = [await scripted(http("503 Busy")) for _ in range(3)]
    clock = asyncio.get_running_loop().time
    began = clock()
    async with Client(peers[0].address, lane=lane, protocol="short", breaker=PATIENT, timeout=30) as first:
        budget = first.budget
        clients = [first]
        for peer in peers[1:]:
            other = Client(peer.address, lane=lane, protocol="short", breaker=PATIENT, timeout=30, budget=budget)
            clients.append(await other.__aenter__())
        calls = [client.call(NODE, {}) for client in clients for _ in range(100)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, TransientError) for outcome in outcomes)
        sent = sum(len(peer.requests) for peer in peers)
        retries = sum(client.stats.retries for client in clients)
        assert sent == 300 + retries
        assert sent <= 1.2 * 300 + 10 * (1 + clock() - began)
        assert budget.refused > 0
        for client in clients[1:]:
            await client.aclose()
