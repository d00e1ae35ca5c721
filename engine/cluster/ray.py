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
from types import TracebackType
from typing import Any, Final, Self

import ray
from ray.exceptions import RayError, RayTaskError

from engine.cluster.child import ignore_signals
from engine.cluster.hosting import Hosted, reason
from engine.cluster.serving import serve
from engine.cluster.transport import Gone

START: Final = 60.0
"""Seconds until an actor can take mail: there may have to be another node first."""

PATIENCE: Final = 5.0
"""Seconds that an actor has to end in good order."""

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
        return asyncio.create_task(serve(socket.socket(fileno=descriptors[0]), lambda it: make(factory, address, it)))

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

    def __init__(self, factory: str, address: str, settings: bytes) -> None:
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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()

    async def exchange(self, mail: bytes) -> bytes:
        return mail


class _Shard:
    """Stands for a shard in an actor of its own."""

    def __init__(self, factory: str, address: str, settings: bytes) -> None:
        self._settings = (version("oarlock"), factory, settings)
        self._options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "num_cpus": 0}
        if address != LOCAL:
            self._options |= {"num_cpus": 1, "scheduling_strategy": "SPREAD"}
        self._actor: Any = None  # Ray's types have no `remote`
        self._sent = 0
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
        begun: asyncio.Future[str] = asyncio.wrap_future(self._actor.begin.remote(*self._settings).future())
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
        number, self._sent = self._sent, self._sent + 1
        with _plainly():
            answer: bytes = await self._actor.exchange.remote(number, mail)
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with contextlib.suppress(RayError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._actor.end.remote()
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

    def __init__(self) -> None:
        self._next = 0
        self._turn = asyncio.Condition()

    async def begin(self, release: str, factory: str, settings: bytes) -> str:
        """What it runs on. Raises what the factory does."""
        if (here := version("oarlock")) != release:
            raise RuntimeError(f"its node has oarlock {here}, and the driver {release}: expected the same")
        self._hosted = await Hosted(factory, settings).__aenter__()
        address: Any = ray.util.get_node_ip_address  # it has no types
        return f"actor {self._hosted.place} at {address()}"

    async def exchange(self, number: int, mail: bytes) -> bytes:
        """What the shard answers to the mail of that number, from 0 on. Ray may take up a small one before a large one
        that was sent first."""
        async with self._turn:
            await self._turn.wait_for(lambda: self._next == number)
            self._next += 1
            self._turn.notify_all()
        return await self._hosted.exchange(mail)

    async def end(self) -> None:
        """Leave the shard."""
        await self._hosted.__aexit__(None, None, None)
