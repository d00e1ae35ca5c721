"""ConfigMaps are followed while the API server comes and goes, in a time of the test's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from registry.config import KubernetesSettings
from registry.discovering import LONGEST_PAUSE, ClusterError, Event, Listing, Manifests, follow
from registry.kubernetes import ConfigMaps
from tests.registry.api_server import ApiServer, asked, write_kubeconfig


class Time:
    """It passes when one sleeps. ``slept`` are the pauses; `at` has something happen after so many seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._plans: list[tuple[float, Callable[[], Awaitable[None]]]] = []

    def at(self, moment: float, act: Callable[[], Awaitable[None]]) -> None:
        self._plans.append((moment, act))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.slept.append(seconds)
        self.now += seconds
        for plan in [plan for plan in self._plans if plan[0] <= self.now]:
            self._plans.remove(plan)
            await plan[1]()

    def clock(self) -> float:
        return self.now


@pytest.fixture
async def told(cluster: ApiServer, tmp_path: Path) -> AsyncIterator[tuple[asyncio.Queue[Manifests], Time]]:
    """What is found, and the time in which it is."""
    queue: asyncio.Queue[Manifests] = asyncio.Queue()
    time = Time()
    settings = KubernetesSettings(namespace="argo", kubeconfig=str(tmp_path / "kubeconfig"))
    task = asyncio.create_task(follow(ConfigMaps(settings), queue.put, sleep=time.sleep, clock=time.clock))
    yield queue, time
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_while_the_server_is_away_what_was_found_stays(
    cluster: ApiServer, told: tuple[asyncio.Queue[Manifests], Time], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    found, time = told
    cluster.put("a", address="http://localhost:1")
    while "a" not in await found.get():
        pass
    time.at(30, cluster.start)
    await cluster.stop()
    cluster.put("b", address="http://localhost:2")
    assert set(await found.get()) == {"a", "b"}
    cluster.put("c", address="http://localhost:3")
    assert set(await found.get()) == {"a", "b", "c"}
    problems = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert 1 <= len(problems) <= 3  # closed in mid-watch, then refused: each said once, however often it was tried
    assert caplog.records[-1].message == "configmaps are followed again"


class Away:
    """A cluster whose API server is away until that moment."""

    def __init__(self, until: float, time: Time, reasons: tuple[str, ...] = ("nobody there",)) -> None:
        self.until, self.time, self.reasons = until, time, reasons
        self.tried = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Away]:
        self.tried += 1
        if self.time.now < self.until:
            raise ClusterError(self.reasons[self.tried % len(self.reasons) - 1])
        yield self

    async def list(self) -> Listing:
        return Listing({}, "1")

    async def watch(self, version: str) -> AsyncGenerator[Event, None]:
        yield Event("BOOKMARK", "", {}, version)
        await asyncio.Event().wait()


async def test_reasons_that_come_and_go_are_said_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    time, found = Time(), asyncio.Queue[Manifests]()
    reasons = "nobody there", "status 503", "no answer in time"
    away = Away(3600, time, reasons)
    task = asyncio.create_task(follow(away, found.put, sleep=time.sleep, clock=time.clock))
    assert await found.get() == {}
    task.cancel()
    await asyncio.wait([task])
    assert away.tried > 100
    problems = [each.__dict__["problem"] for each in caplog.records if each.levelno == logging.ERROR]
    assert problems == list(reasons)


async def test_a_server_that_is_away_for_an_hour_is_asked_now_and_then_and_found_soon() -> None:
    time, found = Time(), asyncio.Queue[Manifests]()
    away = Away(3600, time)
    task = asyncio.create_task(follow(away, found.put, sleep=time.sleep, clock=time.clock))
    assert await found.get() == {}
    task.cancel()
    await asyncio.wait([task])
    assert 3600 <= time.now <= 3600 + LONGEST_PAUSE
    assert sum(time.slept[:4]) < 8
    assert max(time.slept) <= LONGEST_PAUSE
    assert away.tried < 3600 / (LONGEST_PAUSE / 2) + 10


@pytest.mark.parametrize(
    "fault",
    [
        b"no JSON\n",
        b"[]\n",
        b'{"type": "ADDED", "object": null}\n',
        b'{"type": "ERROR", "object": null}\n',
        b'{"type": "ERROR", "object": {"code": 500, "message": "etcd is away"}}\n',
        b'{"type": "ADDED", "object": {"metadata": {}}}\n',
        b"x" * (5 << 20) + b"\n",
    ],
)
async def test_a_watch_that_makes_no_sense_is_begun_anew(
    cluster: ApiServer, told: tuple[asyncio.Queue[Manifests], Time], fault: bytes
) -> None:
    found, time = told
    await found.get()
    cluster.say(fault)
    assert await found.get() == {}, "listed again"
    cluster.put("a", address="http://localhost:1")
    assert set(await found.get()) == {"a"}
    assert time.slept


async def test_a_token_that_was_rotated_is_read_again(
    cluster: ApiServer, told: tuple[asyncio.Queue[Manifests], Time], tmp_path: Path
) -> None:
    found, time = told
    await found.get()
    cluster.token = "another"

    async def rotate() -> None:
        write_kubeconfig(tmp_path, cluster.address, "another")

    time.at(60, rotate)
    await asked(cluster, "watch")
    cluster.end_watches()
    assert await found.get() == {}


async def test_watches_that_end_at_once_are_not_begun_without_end(
    cluster: ApiServer, told: tuple[asyncio.Queue[Manifests], Time]
) -> None:
    found, time = told
    await found.get()
    for _ in range(20):
        await asked(cluster, "watch")
        cluster.end_watches()
    await asked(cluster, "watch")
    assert len(time.slept) >= 20
    assert time.slept[-1] >= LONGEST_PAUSE / 2
