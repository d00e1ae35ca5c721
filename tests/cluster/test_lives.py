"""Whatever becomes of shards, and of who waits for them, nothing of them stays behind: no process, socket or task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psutil
import pytest

from engine.cluster.actors import Actors
from engine.cluster.processes import Processes
from engine.cluster.transport import Gone, Transport, TransportError
from tests.cluster.conftest import ECHO, with_ray


@contextlib.contextmanager
def leaving_nothing() -> Iterator[None]:
    me = psutil.Process()
    descriptors, children, tasks = me.num_fds(), set(me.children()), asyncio.all_tasks()
    yield
    assert me.num_fds() <= descriptors  # something of before may be closed only now
    assert set(me.children()) <= children
    assert asyncio.all_tasks() <= tasks


async def live(over: Transport) -> None:
    """Shards that are closed, that end, that are killed, that cannot be made and that run until the end."""
    async with over:
        closed, ending, killed, _ = [await over.start(number, b"{}") for number in range(4)]
        held = asyncio.create_task(closed.exchange(b"hold"))
        await closed.close()
        await killed.kill()
        with pytest.raises(Gone):
            await held
        with pytest.raises(Gone):
            await ending.exchange(b"exit")
        with pytest.raises(TransportError):
            await over.start(4, b'{"refuse": "no"}')


async def test_child_processes_leave_nothing_behind() -> None:
    await live(Processes(ECHO))  # the loop has what it keeps
    with leaving_nothing():
        await live(Processes(ECHO))


@pytest.mark.parametrize("turns", [1, 2, 5, 20, 50])
async def test_a_start_that_is_cancelled_leaves_nothing_behind(turns: int) -> None:
    await live(Processes(ECHO))
    with leaving_nothing():
        async with Processes(ECHO) as over:
            starting = asyncio.create_task(over.start(0, b"{}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting


class TestActors:
    pytestmark = with_ray

    async def test_actors_leave_nothing_behind(self, cluster: str) -> None:
        with leaving_nothing():
            await live(Actors(cluster, ECHO))
