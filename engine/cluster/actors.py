"""Shards as actors of a Ray cluster, as the driver sees them: a process of its own knows Ray, has it start an actor,
and tells how to get there and what becomes of it. Mail goes straight to the actor: to call one takes Ray 1.5 ms of CPU,
ten times what a socket takes.

So the driver's process needs no Ray, keeps its signal handlers, and outlives the cluster's control service, with which
Ray ends the process that it is in: all that is lost then is shards.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, Self

import msgspec

from engine.cluster.door import Way, enter
from engine.cluster.frames import Frames, framed
from engine.cluster.sockets import PATIENCE, SocketLink, completed, connected, end, kill, spawn
from engine.cluster.transport import SHARD, Link, TransportError

AUTO: Final = "auto"
"""The address, as Ray has it, of whatever cluster is found."""

REACH: Final = 5.0
"""Seconds that a cluster's control service has to answer at all."""

CONNECT: Final = 15.0
"""Seconds until there is a connection with it; mostly two."""

_HINT: Final = ": is that a Ray cluster's control service, and RAY_AUTH_TOKEN its token, with RAY_AUTH_MODE=token?"
"""Ray tries on and on where what listens is something else, or where the token is wrong."""

START: Final = 60.0
"""Seconds that a cluster of our own has to start; mostly eight."""

READY: Final = 75.0
"""Seconds until there is an actor: more than the other process waits, which knows why there is none."""

BEGIN: Final = 60.0
"""Seconds that it has from there until it can take mail."""

TOLD: Final = 1.0
"""Seconds that Ray has to say what became of an actor that does not speak any more."""

ENDING: Final = 15.0
"""Seconds that a cluster of our own has to end."""

_ALWAYS: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_COLOR_PREFIX": "0"}
_OWN: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # has all of Ray listen on loopback alone, on Linux, too
    "RAY_AUTH_MODE": "token",
    "RAY_prestart_worker_first_driver": "0",  # else as many workers as there are cores
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # a control service of ours that is gone does not come back
}


def _own() -> dict[str, str]:
    """For a cluster of our own: a token that nobody else has, unless we were given one."""
    return _OWN | {"RAY_AUTH_TOKEN": os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)}


class Actors:
    """A `Transport` over actors in the cluster at ``address``, that of its control service as ``HOST:PORT``, or
    ``auto``, for ``RAY_ADDRESS`` or one that runs here; Ray wants this machine to be a node of it. Without an address a
    cluster is started here, which listens on loopback alone, knows nobody else, and ends with this process.

    Each actor has one of the cluster's CPUs to itself, so that they are spread. Where a cluster authenticates by token,
    Ray finds ours as ever: ``RAY_AUTH_MODE=token``, with ``RAY_AUTH_TOKEN`` or ``RAY_AUTH_TOKEN_PATH``.

    A cluster that is lost takes all links with it, and `start` connects anew.
    """

    def __init__(self, address: str | None = None, factory: str = SHARD) -> None:
        self.address = address
        """Once entered also that of a cluster of our own, for the ``ray`` command."""
        self._given = address
        self._factory = factory
        self._connecting = asyncio.Lock()
        self._ray: _Connection | None = None
        self._links = set[SocketLink]()

    async def __aenter__(self) -> Self:
        if find_spec("ray") is None:
            raise TransportError("ray is not installed: pip install 'oarlock[ray]'")
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(link.kill() for link in self._links))
        if self._ray is not None:
            await self._ray.close()

    async def start(self, number: int, settings: bytes) -> Link:
        """Start a shard. Raises `TransportError`."""
        ray = await self._connected()
        link = await ray.reach(await completed(ray.open(f"shard {number}"), SocketLink.kill))
        self._links.add(link)
        link.listening.add_done_callback(lambda _: self._links.discard(link))
        link.name += f" ({await link.begin(settings, BEGIN)})"
        return link

    async def _connected(self) -> _Connection:
        """Ray, connected with anew where it is lost. Raises `TransportError`."""
        async with self._connecting:
            if self._ray is None or self._ray.lost:
                self._ray = await _connect(self._factory, self._given)
                self.address = self._ray.address
            return self._ray


async def _connect(factory: str, address: str | None) -> _Connection:
    if address is not None:
        await _reach(address)
    environment = _ALWAYS | ({} if address else _own())
    arguments = ("engine.cluster.ray:run", factory, address or "local")
    making = _Connection.make("Ray" if address is None else f"Ray at {address}", arguments, environment)
    connection = await completed(making, _Connection.kill)
    await connection.begin(START if address is None else CONNECT)
    return connection


async def _reach(address: str) -> None:
    """See that somebody listens there, since Ray would try for long. Raises `TransportError`."""
    host, _, port = address.rpartition(":")
    if address != AUTO and not (host and port.isdecimal() and "/" not in host):
        raise TransportError(
            f"address of a Ray cluster {address!r}: expected HOST:PORT of its control service, or auto"
        )
    if address != AUTO:
        try:
            async with asyncio.timeout(REACH):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError as error:
            raise TransportError(f"no Ray cluster at {address}: {error or 'no answer'}") from error
        writer.close()


class _Connection:
    """A process that speaks with Ray: sockets are sent to it over ``control``, the first for the cluster, then one for
    each shard."""

    address: str
    """That of the cluster, once there is a connection."""

    _cluster: SocketLink

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control

    @classmethod
    async def make(cls, name: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Self:
        """Start the process. Raises `TransportError`."""
        process, control = await spawn(*arguments, environment=environment)
        made = cls(process, control)
        made._cluster = SocketLink(
            name, await made._frames(), lambda: end(process), lambda: kill(process), patience=ENDING
        )
        made._cluster.listening.add_done_callback(lambda _: control.close())
        return made

    async def begin(self, patience: float) -> None:
        """Connect, or start a cluster, in so many seconds. Raises `TransportError`."""
        self.address = await self._cluster.begin(b"", patience, _HINT)
        self._cluster.name += f" ({self.address})"

    @property
    def lost(self) -> bool:
        """Whether there is no connection any more."""
        return self._cluster.listening.done()

    async def open(self, name: str) -> SocketLink:
        """A link to what is to start an actor, and looks after it. Raises `TransportError`."""
        frames = await self._frames()
        keeper = SocketLink(name, frames, lambda: self._end(keeper), lambda: kill(self._process), PATIENCE)
        return keeper

    async def reach(self, keeper: SocketLink) -> SocketLink:
        """A link to its actor, which is yet to be told its settings. Raises `TransportError`."""
        way = msgspec.json.decode(await keeper.begin(b"", READY), type=Way)
        try:
            frames = await enter(way)
        except BaseException as error:
            await keeper.kill()
            if isinstance(error, OSError):
                said = f"{keeper.name} cannot be reached at {way.host}:{way.port}: {error or 'no answer'}"
                raise TransportError(said) from error
            raise
        link = SocketLink(keeper.name, frames, lambda: _end_of(link, keeper), frames.abort)
        serving = asyncio.create_task(keeper.exchange(b""))  # it lasts as long as the actor

        def over(each: asyncio.Task[bytes]) -> None:
            each.cancelled() or each.exception()
            frames.abort()

        serving.add_done_callback(over)
        return link

    async def kill(self) -> None:
        """End the process at once."""
        await self._cluster.kill()

    async def close(self) -> None:
        """End the process in good order."""
        await self._cluster.close()

    async def _frames(self) -> Frames:
        ours, theirs = connected()
        with theirs:
            try:
                socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise TransportError(f"the process that speaks with Ray is gone: {error}") from error
        return await framed(ours)

    async def _end(self, keeper: SocketLink) -> str:
        """What became of an actor of which nothing was said."""
        return "was ended" if keeper.ending else f"is lost: {self._cluster.name} {await end(self._process)}"


async def _end_of(link: SocketLink, keeper: SocketLink) -> str:
    """See an actor end that has closed its socket, and tell how it did: mostly Ray knows."""
    if not link.ending:
        await asyncio.wait((keeper.listening,), timeout=TOLD)
    await keeper.kill()
    return await keeper.listening
