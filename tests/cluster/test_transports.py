"""The contract of every transport: what a fleet may rely on, whatever its shards run on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from engine.cluster.actors import Actors
from engine.cluster.transport import Gone, Link, Transport, TransportError
from tests.cluster.conftest import Begin
from tests.cluster.echo import Settings
from tests.cluster.kills import process_of
from tests.processes import beneath, started_here

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def process(link: Link) -> int:
    return int(await link.exchange(b"pid"))


async def ended(pid: int) -> None:
    """Returns once there is no such process, or only what its parent has not asked for yet."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, over.set)
    await over.wait()
    loop.remove_reader(descriptor)
    os.close(descriptor)


def stopped(pid: int) -> None:
    """Returns once the process is stopped. Raises `psutil.NoSuchProcess` where it has ended instead."""
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)


@contextlib.asynccontextmanager
async def driver(over: Transport, *more: str) -> AsyncIterator[tuple[Process, int, asyncio.StreamReader]]:
    """A process that drives a shard, in a session of its own; the shard's process, and what the driver says."""
    address = over.address if isinstance(over, Actors) else None
    command = (sys.executable, "-m", "tests.cluster.driving", address or "", *more)
    async with started_here(*command, stdout=asyncio.subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        yield process, int(await process.stdout.readline()), process.stdout


async def test_a_shard_answers_mail_of_any_size(link: Link) -> None:
    for size in (0, 1, 100 * 1024, 5_000_000):
        mail = os.urandom(size)
        assert await link.exchange(mail) == mail


async def test_a_second_exchange_has_the_first_answered_and_both_are_in_order(link: Link) -> None:
    order = list[bytes]()
    for turn in range(20):
        async with asyncio.TaskGroup() as group:
            for mail in (b"wait", b"%d" % turn):
                group.create_task(link.exchange(mail)).add_done_callback(lambda each: order.append(each.result()))
    assert order == [each for turn in range(20) for each in (b"wait", b"%d" % turn)]


async def test_an_exchange_that_nobody_waits_for_any_more_takes_no_others_answer(link: Link) -> None:
    first = asyncio.create_task(link.exchange(b"wait"))
    await asyncio.sleep(0)
    first.cancel()
    assert await link.exchange(b"second") == b"second"
    assert await link.exchange(b"third") == b"third"


async def test_shards_are_processes_of_their_own_and_named(link: Link, begin: Begin) -> None:
    another = await begin()
    assert len({await process(link), await process(another), os.getpid()}) == 3
    assert another.name.startswith("shard 3 (")
    assert another.name != link.name


@pytest.mark.parametrize(("mail", "why"), [(b"fail", r"ValueError: told to\nfail"), (b"exit", "")])
async def test_a_shard_that_ends_by_itself_is_gone_with_all_that_was_under_way(
    begin: Begin, mail: bytes, why: str
) -> None:
    link = await begin()
    first = asyncio.create_task(link.exchange(b"hold"))
    with pytest.raises(Gone) as second:
        await link.exchange(mail)
    with pytest.raises(Gone):
        await first
    with pytest.raises(Gone) as later:
        await link.exchange(b"")
    assert str(second.value) == str(later.value)
    assert link.name in str(later.value)
    assert why in str(later.value)
    assert "\n" not in str(later.value)


async def test_a_shard_that_somebody_kills_is_gone(begin: Begin) -> None:
    link = await begin()
    held = asyncio.create_task(link.exchange(b"hold"))
    os.kill(await process(link), signal.SIGKILL)
    with pytest.raises(Gone):
        await held
    await link.kill()
    await link.close()


async def test_a_stopped_shard_does_not_answer_and_can_be_killed(begin: Begin) -> None:
    link = await begin()
    pid = await process(link)
    held = asyncio.create_task(link.exchange(b"stop"))
    await asyncio.to_thread(stopped, pid)
    assert not held.done()
    await link.kill()
    with pytest.raises(Gone):
        await held
    await ended(pid)
    await link.kill()


async def test_a_shard_that_is_closed_ends_in_good_order(begin: Begin, tmp_path: Path) -> None:
    left = tmp_path / "left"
    link = await begin(Settings(left=str(left)))
    pid = await process(link)
    held = asyncio.create_task(link.exchange(b"hold"))
    await asyncio.sleep(0)
    await link.close()
    with pytest.raises(Gone):
        await held
    await ended(pid)
    assert left.read_text() == "left"


async def test_what_still_runs_is_killed_with_its_transport(transport: Transport, begin: Begin) -> None:
    link = await begin()
    pid = await process(link)
    await transport.__aexit__(None, None, None)
    await ended(pid)
    with pytest.raises(Gone):
        await link.exchange(b"")


@pytest.mark.parametrize("doing", [None, b"stuck"])
async def test_a_shard_without_an_exchange_for_its_deadline_ends_itself(begin: Begin, doing: bytes | None) -> None:
    link = await begin(Settings(deadline=1.0))
    pid = process_of(link)
    if doing is not None:
        with pytest.raises(Gone):
            await link.exchange(doing)
    await ended(pid)
    with pytest.raises(Gone):
        await link.exchange(b"")


async def test_a_shard_that_cannot_be_made_says_why_in_one_line(begin: Begin) -> None:
    with pytest.raises(TransportError) as caught:
        await begin(Settings(refuse="no\nshard"))
    assert str(caught.value) == r"shard 3 failed: ValueError: no\nshard"


async def test_signals_are_for_the_driver_alone_and_shards_are_gone_with_it(over: Transport) -> None:
    async with driver(over) as (process, pid, lines):
        os.killpg(process.pid, signal.SIGINT)
        for child in beneath(process.pid):
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.send_signal(number)
        assert await lines.readline() == b"after SIGINT\n"
        process.kill()
        await ended(pid)


async def test_a_stopped_shard_is_gone_with_its_driver(over: Transport) -> None:
    async with driver(over, "stopped") as (process, pid, _):
        await asyncio.to_thread(stopped, pid)
        process.kill()
        await ended(pid)
