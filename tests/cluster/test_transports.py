"""The contract of every transport: what a fleet may rely on, whatever its shards run on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.cluster.processes import Processes
from engine.cluster.transport import Gone, Link, Transport, TransportError
from tests.cluster.echo import Settings

ECHO = "tests.cluster.echo:Echo"


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Processes(ECHO) as over:
        yield over


async def begin(transport: Transport, settings: Settings | None = None) -> Link:
    return await transport.start(3, msgspec.json.encode(settings or Settings()))


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
    """Returns once the process is stopped."""
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)


async def test_a_shard_answers_mail_of_any_size(transport: Transport) -> None:
    link = await begin(transport)
    for size in (0, 1, 100 * 1024, 5_000_000):
        mail = os.urandom(size)
        assert await link.exchange(mail) == mail


async def test_a_second_exchange_has_the_first_answered_and_both_are_in_order(transport: Transport) -> None:
    link = await begin(transport)
    order = list[bytes]()
    for turn in range(20):
        async with asyncio.TaskGroup() as group:
            for mail in (b"wait", b"%d" % turn):
                group.create_task(link.exchange(mail)).add_done_callback(lambda each: order.append(each.result()))
    assert order == [each for turn in range(20) for each in (b"wait", b"%d" % turn)]


async def test_an_exchange_that_nobody_waits_for_any_more_takes_no_others_answer(transport: Transport) -> None:
    link = await begin(transport)
    first = asyncio.create_task(link.exchange(b"wait"))
    await asyncio.sleep(0)
    first.cancel()
    assert await link.exchange(b"second") == b"second"
    assert await link.exchange(b"third") == b"third"


async def test_shards_are_processes_of_their_own_and_named(transport: Transport) -> None:
    first, second = [await begin(transport) for _ in range(2)]
    assert len({await process(first), await process(second), os.getpid()}) == 3
    assert first.name.startswith("shard 3 (")
    assert first.name != second.name


@pytest.mark.parametrize(
    ("mail", "why"), [(b"fail", r"ValueError: told to\nfail"), (b"exit", "ended with exit code 3")]
)
async def test_a_shard_that_ends_by_itself_is_gone_with_all_that_was_under_way(
    transport: Transport, mail: bytes, why: str
) -> None:
    link = await begin(transport)
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


async def test_a_shard_that_somebody_kills_is_gone(transport: Transport) -> None:
    link = await begin(transport)
    held = asyncio.create_task(link.exchange(b"hold"))
    os.kill(await process(link), signal.SIGKILL)
    with pytest.raises(Gone):
        await held
    await link.kill()
    await link.close()


async def test_a_stopped_shard_does_not_answer_and_can_be_killed(transport: Transport) -> None:
    link = await begin(transport)
    pid = await process(link)
    held = asyncio.create_task(link.exchange(b"stop"))
    await asyncio.to_thread(stopped, pid)
    assert not held.done()
    await link.kill()
    with pytest.raises(Gone):
        await held
    await ended(pid)
    await link.kill()


async def test_a_shard_that_is_closed_ends_in_good_order(transport: Transport, tmp_path: Path) -> None:
    left = tmp_path / "left"
    link = await begin(transport, Settings(left=str(left)))
    pid = await process(link)
    held = asyncio.create_task(link.exchange(b"hold"))
    await asyncio.sleep(0)
    await link.close()
    with pytest.raises(Gone):
        await held
    await ended(pid)
    assert left.read_text() == "left"


async def test_what_still_runs_is_killed_with_its_transport(transport: Transport) -> None:
    link = await begin(transport)
    pid = await process(link)
    await transport.__aexit__(None, None, None)
    await ended(pid)
    with pytest.raises(Gone):
        await link.exchange(b"")


@pytest.mark.parametrize("doing", [None, b"stuck"])
async def test_a_shard_without_an_exchange_for_its_deadline_ends_itself(
    transport: Transport, doing: bytes | None
) -> None:
    link = await begin(transport, Settings(deadline=0.5))
    pid = await process(link)
    if doing is not None:
        with pytest.raises(Gone):
            await link.exchange(doing)
    await ended(pid)
    with pytest.raises(Gone, match="no exchange came within its deadline"):
        await link.exchange(b"")


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        (ECHO, r"ValueError: no\nshard"),
        ("tests.cluster.echo:Other", "has no attribute 'Other'"),
        ("tests.cluster.other:Echo", "No module named 'tests.cluster.other'"),
    ],
)
async def test_a_shard_that_cannot_be_made_says_why_in_one_line(factory: str, why: str) -> None:
    async with Processes(factory) as over:
        with pytest.raises(TransportError) as caught:
            await begin(over, Settings(refuse="no\nshard"))
    assert why in str(caught.value)
    assert "shard 3" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", ["waiting", "stopped"])
async def test_shards_are_gone_with_their_driver(state: str) -> None:
    command = (sys.executable, "-m", "tests.cluster.driving", state)
    driver = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert driver.stdout is not None
    pid = int(await driver.stdout.readline())
    driver.kill()
    await driver.wait()
    await ended(pid)


async def test_an_interrupt_of_the_terminals_group_is_for_the_driver_alone() -> None:
    command = (sys.executable, "-m", "tests.cluster.driving")
    driver = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, start_new_session=True)
    assert driver.stdout is not None
    pid = int(await driver.stdout.readline())
    os.killpg(driver.pid, signal.SIGINT)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert await driver.stdout.readline() == b"after SIGINT\n"
    driver.kill()
    await driver.wait()
    await ended(pid)
