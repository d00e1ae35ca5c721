"""The example of a fleet on Ray loses no leaf, and starts none twice, while its shards are killed."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from shutil import which

import psutil
import pytest

from engine import SqliteStore
from engine.reconciling.archive import Archive
from tests.cluster.conftest import with_ray
from tests.examples.conftest import Checkout
from tests.processes import beneath, started_here

pytestmark = with_ray

WORKFLOWS = 20
LEAVES = 5 * WORKFLOWS
KILLS = 4


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with closing(Checkout(tmp_path)) as made:
        yield made


def kill_one(dice: Random) -> bool:
    """Kill an actor of the cluster; whether one was there to be killed."""
    with suppress(IndexError, psutil.NoSuchProcess):
        dice.choice(beneath(what="ray::Actor")).kill()
        return True
    return False


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def patient(folder: Path) -> Path:
    """A folder for PATH, with a `sleep` for leaves: the last fifth of them waits until all kills have been."""
    sleep = folder / "bin/sleep"
    sleep.parent.mkdir()
    waits = f"[ $(wc -l < starts) -gt {LEAVES * 4 // 5} ] && [ ! -e {folder}/go-on ]"
    sleep.write_text(f'#!/bin/sh\nwhile {waits}; do {which("sleep")} 0.02; done\nexec {which("sleep")} "$@"\n')
    sleep.chmod(0o755)
    return sleep.parent


async def test_the_fleet_on_ray_loses_nothing_while_its_shards_are_killed(cluster: str, checkout: Checkout) -> None:
    checkout.leave_running(".venv/bin/python examples/plain_plugin.py")
    command = f".venv/bin/python examples/fleet.py --config examples/plugins.toml --workflows {WORKFLOWS}"
    dice, killed, starts = Random(1), 0, checkout.folder / "fleet/starts"
    environment = {**os.environ, "PATH": f"{patient(checkout.folder)}:{os.environ['PATH']}"}
    async with started_here(
        *command.split(), "--address", cluster, cwd=checkout.folder, stdout=PIPE, env=environment
    ) as fleet:
        ended = asyncio.create_task(fleet.communicate())
        while killed < KILLS and not ended.done():
            if len(lines(starts)) > killed * LEAVES // (KILLS + 1):
                killed += kill_one(dice)
            await asyncio.sleep(0.01)
        (checkout.folder / "go-on").touch()
        await ended
    assert (fleet.returncode, killed) == (0, KILLS)
    async with SqliteStore(checkout.folder / "fleet/workflows.db") as store:
        archive = Archive(store)
        uids = [document["metadata"]["uid"] async for document in archive.list(finished=None)]
        works = [work for uid in uids if (work := await archive.get(uid)) is not None]
    assert [work.phase for work in works] == ["Succeeded"] * WORKFLOWS
    assert {work.document["metadata"]["annotations"]["signed"] for work in works} == {"plain plugin"}
    leaves = [f"{work.uid} {node.id}" for work in works for node in work.nodes.values() if node.type == "Pod"]
    assert len(leaves) == LEAVES
    assert sorted(lines(starts)) == sorted(leaves)
