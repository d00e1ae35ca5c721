"""What the tests of transports share: one cluster of Ray's, since one takes eight seconds to start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec

import msgspec
import pytest
import pytest_asyncio

from engine.cluster.actors import Actors
from engine.cluster.processes import Processes
from engine.cluster.transport import Link, Transport, TransportError
from tests.cluster.echo import Settings

ECHO = "tests.cluster.echo:Echo"
Begin = Callable[..., Awaitable[Link]]

with_ray = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
]
"""Marks of what needs the cluster: all of it goes to one worker."""


async def refused(address: str | None) -> str:
    """What is said where no cluster can be had at that address, in one line."""
    with pytest.raises(TransportError) as caught:
        await Actors(address, ECHO).__aenter__()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster of four CPUs on loopback, which this process may join, and whoever it starts."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "7" * 64)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "2")
        patch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 4}')
        runner = stack.enter_context(asyncio.Runner())
        actors = Actors()
        runner.run(actors.__aenter__())
        assert actors.address is not None
        yield actors.address
        runner.run(actors.__aexit__(None, None, None))


@pytest.fixture
def doomed(cluster: str) -> str:
    """The cluster, for a test that ends it."""
    return cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What ends the cluster comes after all that needs it."""
    items.sort(key=lambda item: isinstance(item, pytest.Function) and "doomed" in item.fixturenames)


@pytest.fixture(scope="module", params=["processes", pytest.param("ray", marks=with_ray)])
def over(request: pytest.FixtureRequest) -> Transport:
    """One of the transports, not entered yet."""
    return Processes(ECHO) if request.param == "processes" else Actors(request.getfixturevalue("cluster"), ECHO)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def transport(over: Transport) -> AsyncIterator[Transport]:
    async with over:
        yield over


@pytest_asyncio.fixture(loop_scope="module")
async def begin(transport: Transport) -> AsyncIterator[Begin]:
    """Starts shards, which are killed at the end of the test."""
    links = list[Link]()

    async def start(settings: Settings | None = None) -> Link:
        links.append(await transport.start(3, msgspec.json.encode(settings or Settings())))
        return links[-1]

    yield start
    await asyncio.gather(*(link.kill() for link in links))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def link(transport: Transport) -> Link:
    """A shard for tests that leave it as it is."""
    return await transport.start(3, msgspec.json.encode(Settings()))
