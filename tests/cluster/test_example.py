"""The example of a fleet on Ray loses no leaf, and starts none twice, while its shards are killed."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import psutil
import pytest

from engine import SqliteStore
from engine.reconciling.archive import Archive
from tests.cluster.conftest import with_ray
from tests.examples.conftest import Checkout

pytestmark = with_ray

WORKFLOWS = 20
KILLS = 4


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with closing(Checkout(tmp_path)) as made:
        yield made


def kill_one(dice: Random) -> bool:
    """Kill an actor of the cluster; whether one was there to be killed."""
    ours = {each.pid: each for each in psutil.Process().children(recursive=True)}
    actors = [pid for pid, each in ours.items() if each.is_running() and each.name().startswith("ray::Actor")]
    if actors:
        ours[dice.choice(actors)].kill()
    return bool(actors)


async def test_the_fleet_on_ray_loses_nothing_while_its_shards_are_killed(cluster: str, checkout: Checkout) -> None:
    checkout.leave_running(".venv/bin/python examples/plain_plugin.py")
    command = f".venv/bin/python examples/fleet.py --config examples/plugins.toml --workflows {WORKFLOWS}"
    dice, killed, said = Random(1), 0, b""
    fleet = await asyncio.create_subprocess_exec(
        *command.split(), "--address", cluster, cwd=checkout.folder, stdout=PIPE
    )
    assert fleet.stdout is not None
    async for line in fleet.stdout:
        said += line
        if killed < KILLS and said.count(b"\n") > killed * WORKFLOWS // (KILLS + 1):
            killed += kill_one(dice)
    assert await fleet.wait() == 0
    assert killed == KILLS
    starts = (checkout.folder / "fleet/starts").read_text().splitlines()
    async with SqliteStore(checkout.folder / "fleet/workflows.db") as store:
        archive = Archive(store)
        uids = [document["metadata"]["uid"] async for document in archive.list(finished=None)]
        works = [work for uid in uids if (work := await archive.get(uid)) is not None]
    assert [work.phase for work in works] == ["Succeeded"] * WORKFLOWS
    assert {work.document["metadata"]["annotations"]["signed"] for work in works} == {"plain plugin"}
    leaves = [f"{work.uid} {node.id}" for work in works for node in work.nodes.values() if node.type == "Pod"]
    assert len(leaves) == 5 * WORKFLOWS
    assert sorted(starts) == sorted(leaves)
