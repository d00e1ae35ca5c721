"""A client whose plugin fails: breaker, retries, deadlines, and what the statistics say of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from rpc import BreakerPolicy, Budget, Client, FatalError, Method, NotSent, Outcome, RetryPolicy, TransientError
from rpc.lanes import Dark, Exhausted, LaneError, TimedOut, Untrusted, Waiting
from rpc.plugin import Plugin, Unavailable
from rpc.replies import EMPTY
from tests.asking import ask

NODE = Method.NODE_PRE_EXECUTE


class Failing:
    """A lane on which every call fails alike."""

    def __init__(self, error: LaneError) -> None:
        self._error = error

    def send(self, path: str, body: bytes, waiting: Waiting, headers: Mapping[str, str] | None = None) -> None:
        waiting.set_exception(self._error)


ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=3, backoff=0.001, max_backoff=0.001)
TOUCHY = BreakerPolicy(failure_ratio=0.5, min_calls=4, window=60.0, open_for=3600.0)


@pytest.fixture(params=["aiohttp", "wire"])
def lane(request: pytest.FixtureRequest) -> Any:
    return request.param


class Moody:
    """A plugin that raises, waits or answers, as its ``mood`` says."""

    def __init__(self) -> None:
        self.plugin = Plugin("moody")
        self.plugin.on("node.preExecute")(self.answer)
        self.mood: list[Exception] = []
        self.calls = 0
        self.arrivals: asyncio.Queue[None] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, args: dict[str, Any]) -> None:
        self.calls += 1
        self.arrivals.put_nowait(None)
        await self.gate.wait()
        if self.mood:
            raise self.mood.pop()

    async def arrived(self, calls: int) -> None:
        """Wait until so many calls have come since this was last waited for."""
        for _ in range(calls):
            await self.arrivals.get()


def open_after(breaker: Any, seconds: float) -> None:
    """Let the time pass that a breaker stays open."""
    breaker._open_until -= seconds


async def test_an_open_breaker_sends_nothing_and_says_so(lane: Any, caplog: pytest.LogCaptureFixture) -> None:
    moody = Moody()
    async with (
        moody.plugin.serve() as address,
        Client(address, lane=lane, timeout=30, retry=ONCE, breaker=TOUCHY) as client,
    ):
        moody.mood = [Unavailable("no") for _ in range(4)]
        for _ in range(4):
            with pytest.raises(TransientError, match="503"):
                await client.call(NODE, {})
        assert client.stats.breaker == "open"
        [record] = caplog.records
        assert (record.levelname, record.getMessage(), vars(record)["plugin"]) == (
            "WARNING",
            f"plugin fails too often, breaker open name={client.name}",
            client.name,
        )
        for _ in range(100):
            with pytest.raises(NotSent, match="breaker open"):
                await client.call(NODE, {})
        assert moody.calls == 4
        assert client.stats.outcomes[Outcome.BREAKER_OPEN] == 100


@contextlib.asynccontextmanager
async def probing(moody: Moody, lane: Any) -> AsyncIterator[tuple[Client, asyncio.Future[Any]]]:
    """A client whose breaker was open for long enough, and the call on its way by which it looks."""
    async with (
        moody.plugin.serve() as address,
        Client(address, lane=lane, timeout=30, retry=ONCE, breaker=TOUCHY) as client,
    ):
        moody.mood = [Unavailable("no") for _ in range(4)]
        for _ in range(4):
            with contextlib.suppress(TransientError):
                await client.call(NODE, {})
        open_after(client._ledger.breaker, 3600)
        moody.gate.clear()
        probe = asyncio.ensure_future(client.call(NODE, {}))
        await moody.arrived(5)
        yield client, probe


async def test_one_probe_closes_it_again(lane: Any) -> None:
    moody = Moody()
    async with probing(moody, lane) as (client, probe):
        with pytest.raises(NotSent):
            await client.call(NODE, {})
        patient = [asyncio.ensure_future(ask(client, NODE)) for _ in range(3)]
        await asyncio.sleep(0)
        patient[0].cancel()
        moody.gate.set()
        assert await probe == {}
        assert await asyncio.gather(*patient[1:]) == [EMPTY, EMPTY]
        assert client.stats.breaker == "closed"
        assert await client.call(NODE, {}) == {}


async def test_a_cancelled_probe_leaves_the_way_free_for_another(lane: Any) -> None:
    moody = Moody()
    async with probing(moody, lane) as (client, probe):
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        moody.gate.set()
        assert await client.call(NODE, {}) == {}
        assert client.stats.breaker == "closed"


async def test_a_fatal_answer_is_an_answer_to_the_breaker(lane: Any) -> None:
    moody = Moody()
    async with moody.plugin.serve() as address, Client(address, lane=lane, timeout=30, breaker=TOUCHY) as client:
        moody.mood = [ValueError("mine") for _ in range(20)]
        for _ in range(20):
            with pytest.raises(FatalError):
                await client.call(NODE, {})
        assert client.stats.breaker == "closed"
        assert client.stats.outcomes[Outcome.BAD_STATUS] == 20
        assert client.stats.retries == 0


async def test_too_many_requests_do_not_open_the_breaker(scripted: Any, http: Any, lane: Any) -> None:
    peer = await scripted(http("429 Slow"))
    async with Client(peer.address, lane=lane, timeout=30, retry=ONCE, breaker=TOUCHY) as client:
        for _ in range(20):
            with pytest.raises(TransientError):
                await client.call(NODE, {})
        assert client.stats.breaker == "closed"
        assert client.stats.outcomes[Outcome.BUSY] == 20
        assert client.stats.limit < 4


async def test_our_own_lack_of_descriptors_does_not_open_the_breaker(
    lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client("http://127.0.0.1:1", lane=lane, timeout=30, retry=ONCE, breaker=TOUCHY) as client:
        monkeypatch.setattr(client._attempts, "lane", Failing(Exhausted("too many open files")))
        for _ in range(20):
            with pytest.raises(TransientError, match="too many open files"):
                await client.call(NODE, {})
        assert client.stats.breaker == "closed"
        assert client.stats.outcomes[Outcome.OWN_FAULT] == 20


async def test_an_address_that_goes_dark_does_not_open_the_breaker_while_there_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Client("http://127.0.0.1:1", retry=ONCE, breaker=TOUCHY) as client:
        monkeypatch.setattr(client._attempts, "lane", Failing(Dark("no complete reply within 1 s")))
        for _ in range(20):
            with pytest.raises(TransientError, match="no complete reply"):
                await client.call(NODE, {})
        assert client.stats.breaker == "closed"
        assert client.stats.outcomes[Outcome.TIMED_OUT] == 20


async def test_nor_does_one_that_the_probe_meets_keep_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Client("http://127.0.0.1:1", retry=ONCE, breaker=TOUCHY) as client:
        monkeypatch.setattr(client._attempts, "lane", Failing(TimedOut("no complete reply within 1 s")))
        for _ in range(4):
            with pytest.raises(TransientError):
                await client.call(NODE, {})
        open_after(client._ledger.breaker, 3600)
        monkeypatch.setattr(client._attempts, "lane", Failing(Dark("no complete reply within 1 s")))
        for _ in range(2):
            with pytest.raises(TransientError, match="no complete reply"):
                await client.call(NODE, {})
        assert client.stats.breaker == "half-open"


async def test_cancelled_calls_do_not_open_the_breaker(lane: Any) -> None:
    moody = Moody()
    async with moody.plugin.serve() as address, Client(address, lane=lane, timeout=30, breaker=TOUCHY) as client:
        await client.call(NODE, {})
        moody.gate.clear()
        calls = [asyncio.ensure_future(client.call(NODE, {})) for _ in range(20)]
        await moody.arrived(5)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert client.stats.breaker == "closed"
        assert client.stats.in_flight == client.stats.waiting == 0
        moody.gate.set()
        assert await client.call(NODE, {}) == {}


async def test_those_who_wait_for_a_permit_are_spared_when_it_opens(lane: Any) -> None:
    moody = Moody()
    async with moody.plugin.serve() as address:
        client = await Client(address, lane=lane, retry=ONCE, breaker=TOUCHY, concurrency=4, timeout=30).__aenter__()
        await client.call(NODE, {})
        moody.gate.clear()
        moody.mood = [Unavailable("no") for _ in range(4)]
        calls = [asyncio.ensure_future(client.call(NODE, {})) for _ in range(50)]
        await moody.arrived(5)
        moody.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert client.stats.breaker == "open"
        await client.aclose()
    assert sum(isinstance(outcome, NotSent) for outcome in outcomes) >= 42
    assert moody.calls <= 9


async def test_a_transient_failure_is_retried(lane: Any) -> None:
    moody = Moody()
    async with moody.plugin.serve() as address, Client(address, lane=lane, timeout=30, retry=QUICK) as client:
        moody.mood = [Unavailable("no"), Unavailable("no")]
        assert await client.call(NODE, {}) == {}
        moody.mood = [Unavailable("no"), Unavailable("no")]
        assert await client.call("node.preExecute", {}) == {}
        assert moody.calls == 6
        assert client.stats.retries == 4
        assert client.stats.attempts == 6
        assert client.budget.spent == 4


async def test_clients_may_share_a_budget(lane: Any) -> None:
    began = time.monotonic()
    budget = Budget(began)
    moody = Moody()
    moody.mood = [Unavailable("no") for _ in range(1000)]
    patient = BreakerPolicy(min_calls=10_000)
    async with (
        moody.plugin.serve() as address,
        Client(address, lane=lane, timeout=30, retry=QUICK, budget=budget, breaker=patient) as one,
        Client(address, lane=lane, timeout=30, retry=QUICK, budget=budget, breaker=patient) as other,
    ):
        for client in (one, other):
            for _ in range(50):
                with pytest.raises(TransientError):
                    await client.call(NODE, {})
        assert budget.calls == 100
        assert one.stats.retries + other.stats.retries == budget.spent
        assert moody.calls <= 1.2 * 100 + 10 * (1 + time.monotonic() - began)
        assert budget.refused > 0


async def test_after_the_deadline_nothing_is_sent(lane: Any) -> None:
    moody = Moody()
    async with moody.plugin.serve() as address, Client(address, lane=lane, timeout=30) as client:
        past = asyncio.get_running_loop().time()
        with pytest.raises(NotSent, match="deadline"):
            await client.call(NODE, {}, deadline=past)
        with pytest.raises(NotSent, match="deadline"):
            await client.call("node.preExecute", {}, deadline=past)
        assert moody.calls == 0
        assert await client.call(NODE, {}, deadline=past + 3600) == {}
        assert client.stats.outcomes[Outcome.PAST_DEADLINE] == 2


async def test_a_plugin_that_is_not_there_is_counted_as_such(lane: Any, closed_port: int) -> None:
    async with Client(f"http://127.0.0.1:{closed_port}", lane=lane, timeout=30, retry=ONCE) as client:
        with pytest.raises(TransientError):
            await client.call(NODE, {})
        assert client.stats.outcomes[Outcome.UNREACHABLE] == 1


async def test_an_untrusted_plugin_is_logged_loudly_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client("https://localhost:1", name="p", retry=ONCE) as client:
        monkeypatch.setattr(client._attempts, "lane", Failing(Untrusted("TLS failed: certificate has expired")))
        for _ in range(3):
            with pytest.raises(TransientError):
                await client.call(NODE, {})
        assert client.stats.outcomes[Outcome.UNTRUSTED] == 3
    problem = "TLS failed: certificate has expired"
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == f'plugin cannot be trusted name=p problem="{problem}"'


async def test_statistics_start_at_zero_and_are_frozen() -> None:
    stats = Client("http://localhost:1", name="p").stats
    assert set(stats.outcomes) == set(Outcome)
    assert not any(stats.outcomes.values())
    assert (stats.name, stats.attempts, stats.breaker, stats.limit, stats.in_flight) == ("p", 0, "closed", 4, 0)
    assert stats.latency.samples == stats.latency.p99 == 0
    unguarded: Any = stats
    with pytest.raises(AttributeError):
        unguarded.attempts = 1
    with pytest.raises(TypeError):
        unguarded.outcomes[Outcome.BUSY] = 1


async def test_every_outcome_is_counted_once(scripted: Any, http: Any, lane: Any) -> None:
    peer = await scripted(
        http("200 OK", b"{}"),
        http("200 OK", b'{"requeue": "1s", "own": 1}'),
        http("200 OK", b"null"),
        http("503 Busy"),
        http("500 Oops"),
        b"SSH-2.0\r\n\r\n",
        http("404 Not Found"),
    )
    async with Client(peer.address, lane=lane, timeout=30, protocol="short", retry=ONCE) as client:
        for _ in range(7):
            with contextlib.suppress(TransientError, FatalError):
                await client.call(NODE, {})
        stats = client.stats
    assert {outcome: count for outcome, count in stats.outcomes.items() if count} == {
        Outcome.ANSWERED: 2,
        Outcome.ILLEGAL: 1,
        Outcome.BUSY: 1,
        Outcome.BAD_STATUS: 1,
        Outcome.MALFORMED: 1,
        Outcome.UNSUPPORTED: 1,
    }
    assert stats.attempts == 7
    assert stats.unknown_fields == 1


async def test_each_request_has_its_latency(lane: Any) -> None:
    moody = Moody()
    async with moody.plugin.serve() as address, Client(address, lane=lane, timeout=30) as client:
        for _ in range(64):
            await client.call(NODE, {})
        latency = client.stats.latency
    assert latency.samples == 64
    assert 0 < latency.p50 <= latency.p90 <= latency.p99 <= latency.max
