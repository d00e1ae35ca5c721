"""Shards as actors of a Ray cluster: all that needs ``ray``, which is an extra: ``pip install 'oarlock[ray]'``.

This is a process of its own, which `engine.cluster.actors` starts, not the driver's. Ray wants one for itself: it ends
the process that it is in once the cluster's control service is lost, has SIGTERM abort it after three seconds whatever
handles it, and runs dozens of threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final, Self

import msgspec
import ray
from ray.exceptions import RayError, RayTaskError

from engine.cluster.child import ignore_signals
from engine.cluster.door import Door
from engine.cluster.frames import framed
from engine.cluster.hosting import Hosted, reason
from engine.cluster.serving import serve
from engine.cluster.transport import Gone

START: Final = 60.0
"""Seconds until there is an actor: there may have to be another node first."""

LOST: Final = 69
"""The exit code where Ray's node on this machine is dead (EX_UNAVAILABLE of sysexits.h)."""

LOCAL: Final = "local"
"""The address, as Ray has it, of a cluster that is started for us and ends with us."""

HASTE: Final = {
    "kill_worker_timeout_milliseconds": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
"""For a cluster of our own, which so notices after 1.8 to 3.4 s that a node is dead, and kills a stopped actor after a
second. With Ray's own figures it takes 17 and 5."""


async def run(control: socket.socket, factory: str, address: str) -> None:
    """The whole of the process. Sockets come over ``control``: the first stands for the cluster, and its end is that of
    the process; each other for a shard."""

    async def take(make: type[_Cluster | _Shard]) -> asyncio.Task[None] | None:
        descriptors = (await asyncio.to_thread(socket.recv_fds, control, 1, 1))[1]
        if not descriptors:
            return None
        driver = await framed(socket.socket(fileno=descriptors[0]))
        return asyncio.create_task(serve(driver, lambda _: make(factory, address)))

    cluster = await take(_Cluster)
    if cluster is None:
        return
    cluster.add_done_callback(lambda _: control.shutdown(socket.SHUT_RDWR))
    shards = list[asyncio.Task[None]]()
    while (shard := await take(_Shard)) is not None:
        shards = [shard, *(each for each in shards if not each.done())]
    for each in shards:
        each.cancel()
    await asyncio.gather(cluster, *shards, return_exceptions=True)


class _Cluster:
    """The connection to a cluster, or one of our own."""

    def __init__(self, factory: str, address: str) -> None:
        self._address = address
        self.place = ""

    async def __aenter__(self) -> Self:
        options: dict[str, Any] = {"logging_level": logging.WARNING}
        if self._address == LOCAL:
            options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "_system_config": HASTE}
        try:
            ray.init(self._address, **options)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            raise Gone(" ".join(str(error).split())) from error
        finally:
            ignore_signals()
        self.place = ray.get_runtime_context().gcs_address
        return self

    async def __aexit__(self, *_: object) -> None:
        ray.shutdown()

    async def exchange(self, mail: bytes) -> bytes:
        return mail


class _Shard:
    """An actor for a shard: how to get there, and the life of it."""

    def __init__(self, factory: str, address: str) -> None:
        self._factory = factory
        self._options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "num_cpus": 0}
        if address != LOCAL:
            self._options |= {"num_cpus": 1, "scheduling_strategy": "SPREAD"}
        self._actor: Any = None  # Ray's types have no `remote`
        self.place = ""

    async def __aenter__(self) -> Self:
        self._actor = ray.remote(**self._options)(Actor).remote()
        try:
            with _plainly():
                self.place = await self._begun()
        except BaseException:
            self._kill()
            raise
        return self

    async def _begun(self) -> str:
        """Wait until the actor has begun; nothing in Ray would end that where there is nowhere to start it."""
        begun: asyncio.Future[str] = asyncio.wrap_future(self._actor.open.remote(version("oarlock")).future())
        begun.add_done_callback(lambda each: each.cancelled() or each.exception())  # maybe nobody else will ask
        wanted = self._options["num_cpus"]
        for _ in range(int(START)):
            if (await asyncio.wait((begun,), timeout=1))[0]:
                return await begun
            await asyncio.to_thread(_check, wanted)
        free: Any = ray.available_resources
        raise Gone(
            f"not ready within {START:g} s: it wants {wanted} CPU, and the cluster has {free().get('CPU', 0):g} free"
        )

    async def exchange(self, mail: bytes) -> bytes:
        with _plainly():
            await self._actor.serve.remote(self._factory)
        return mail

    async def __aexit__(self, *_: object) -> None:
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(RayError):  # the cluster may be gone
            ray.kill(self._actor)


def _check(cpus: int) -> None:
    """See that there is anything to start an actor on. Raises `Gone` where no node has any CPU, and one is wanted.
    Where Ray's node on this machine is dead, this process ends: nothing can be started from here any more."""
    nodes: Any = ray.nodes  # these have no types
    alive = [node for node in nodes() if node["Alive"]]
    if ray.get_runtime_context().get_node_id() not in {node["NodeID"] for node in alive}:
        os._exit(LOST)
    if cpus > sum(node["Resources"].get("CPU", 0) for node in alive):
        raise Gone(f"it wants {cpus} CPU, and no node of the cluster has any")


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """What Ray raises, in words for people: its own have a traceback, or tables."""
    try:
        yield
    except RayTaskError as error:
        raise Gone(reason(error.cause)) from None
    except RayError as error:
        said = [line for line in str(error).splitlines() if not line.startswith("\t")]
        raise Gone(" ".join(" ".join(said).split()).partition(" Some common causes include")[0]) from None


class Actor:
    """A shard in a worker of Ray's."""

    async def open(self, release: str) -> str:
        """How its driver gets there. Raises `RuntimeError` for another release of Oarlock."""
        if (here := version("oarlock")) != release:
            raise RuntimeError(f"its node has oarlock {here}, and the driver {release}: expected the same")
        address: Any = ray.util.get_node_ip_address  # it has no types
        self._host: str = address()
        self._door = Door()
        return msgspec.json.encode(await self._door.open(self._host)).decode()

    async def serve(self, factory: str) -> None:
        """Be a shard, until the driver wants it to end or is gone."""
        place = f"actor process {os.getpid()} at {self._host}"
        await serve(await self._door.driver(), lambda settings: Hosted(factory, settings, place))
