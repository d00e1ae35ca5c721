"""What is Ray's own: clusters of another version or token, and ones that lose what they are made of."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from engine.cluster import actors
from engine.cluster.actors import Actors
from engine.cluster.transport import Gone, Link, TransportError
from tests.cluster.conftest import ECHO, refused, with_ray
from tests.processes import beneath, started

pytestmark = with_ray


async def runs_on(link: Link, raylet: psutil.Process) -> bool:
    return psutil.Process(int(await link.exchange(b"pid"))).ppid() == raylet.pid


def test_a_cluster_of_our_own_listens_on_loopback_alone(cluster: str) -> None:
    places = set[str]()
    for process in beneath():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it ends just now
            places |= {each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    assert {place.removeprefix("::ffff:") for place in places} == {"127.0.0.1"}


def test_nothing_of_ray_is_in_the_drivers_process(cluster: str) -> None:
    assert "ray" not in sys.modules


async def test_what_listens_and_is_no_ray_or_has_another_token_is_given_up(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "CONNECT", 3.0)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "8" * 64)
    assert "was not ready within 3 s: is that a Ray cluster's control service" in await refused(cluster)


async def test_a_cluster_of_another_version_is_refused(cluster: str) -> None:
    async with Actors(cluster, ECHO) as over:
        link = await over.start(0, b"{}")
        await link.exchange(b"version 9.9.9")
        said = await refused(cluster)
        await link.exchange(f"version {version('ray')}".encode())
    assert f"The cluster was started with: Ray: 9.9.9 Python: {sys.version.split()[0]}" in said
    assert f"was started with: Ray: {version('ray')} Python:" in said


async def test_a_node_with_another_oarlock_is_refused(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "oarlock-9.9.9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: oarlock\nVersion: 9.9.9\n")
    said = f"its node has oarlock {version('oarlock')}, and the driver 9.9.9: expected the same"
    monkeypatch.syspath_prepend(tmp_path)
    async with Actors(cluster, ECHO) as over:
        with pytest.raises(TransportError, match=said):
            await over.start(0, b"{}")


async def test_where_what_speaks_with_ray_is_stuck_it_is_killed_with_a_shard_and_made_anew(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "PATIENCE", 0.1)
    others = beneath()
    async with Actors(cluster, ECHO) as over:
        link, another = await over.start(0, b"{}"), await over.start(1, b"{}")
        for speaker in set(beneath(what="engine.cluster.ray")) - set(others):
            speaker.suspend()
        await link.kill()
        with pytest.raises(Gone):
            await another.exchange(b"hold")  # its actor may answer until it is told
        again = await over.start(0, b"{}")
        assert await again.exchange(b"answered") == b"answered"


@pytest.fixture
def node(cluster: str) -> Iterator[psutil.Process]:
    """The raylet of another node, with as many CPUs as the first."""
    command = (sys.executable, "-m", "tests.cluster.node", cluster)
    with started(*command, stdout=subprocess.PIPE) as another:
        assert another.stdout is not None
        yield psutil.Process(int(another.stdout.readline()))


async def test_shards_of_a_node_that_is_killed_are_gone_and_start_on_another(
    cluster: str, node: psutil.Process
) -> None:
    async with Actors(cluster, ECHO) as over:
        links = list[Link]()
        while not (there := [each for each in links if await runs_on(each, node)]):
            links.append(await over.start(len(links), b"{}"))
        held = [asyncio.create_task(each.exchange(b"hold")) for each in there]
        node.kill()
        for each in held:
            with pytest.raises(Gone):
                await each
        again = await over.start(0, b"{}")
        assert await again.exchange(b"answered") == b"answered"


async def test_a_cluster_without_its_control_service_goes_on_until_ray_gives_up_and_takes_shards_alone(
    doomed: str,
) -> None:
    async with Actors(doomed, ECHO) as over:
        link = await over.start(0, b"{}")
        beneath(what="gcs_server")[0].kill()
        assert await link.exchange(b"goes on") == b"goes on"
        held = asyncio.create_task(link.exchange(b"hold"))
        with pytest.raises(Gone):
            await held
        with pytest.raises(TransportError, match=f"no Ray cluster at {doomed}"):
            await over.start(0, b"{}")
