"""A shard for the contract of transports: it does what it is told by its settings and by its mail."""

from __future__ import annotations

import asyncio
import os
import signal
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any, Self

import msgspec


class Settings(msgspec.Struct):
    """What the shard is to do, and where it leaves word of how it ended."""

    deadline: float = 30.0
    refuse: str = ""
    left: str = ""


def _pretend(version: str) -> None:
    """Have the Ray cluster that this runs on say that it is of another version."""
    worker: Any = import_module("ray._private.worker").global_worker
    place = (b"CLUSTER_METADATA", b"cluster")
    metadata = msgspec.json.decode(worker.gcs_client.internal_kv_get(*place))
    encoded = msgspec.json.encode(metadata | {"ray_version": version})
    worker.gcs_client.internal_kv_put(place[0], encoded, True, place[1])


class Echo:
    """Answers mail with itself, ``wait`` once there is another exchange, ``hold`` never; what else it knows it does."""

    def __init__(self, settings: bytes) -> None:
        self._settings = msgspec.json.decode(settings, type=Settings)
        if self._settings.refuse:
            raise ValueError(self._settings.refuse)
        self.deadline = self._settings.deadline
        self._came = 0
        self._another = asyncio.Condition()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave_word()

    def _leave_word(self) -> None:
        if self._settings.left:
            Path(self._settings.left).write_text("left")

    async def exchange(self, mail: bytes) -> bytes:
        self._came += 1
        mine = self._came
        async with self._another:
            self._another.notify_all()
        match mail:
            case b"wait":
                async with self._another:
                    await self._another.wait_for(lambda: self._came > mine)
            case b"hold":
                await asyncio.get_running_loop().create_future()
            case b"pid":
                return b"%d" % os.getpid()
            case _ if mail.startswith(b"version "):
                _pretend(mail.decode().split()[1])
            case b"fail":
                raise ValueError("told to\nfail")
            case b"exit":
                os._exit(3)
            case b"stuck":
                Event().wait()
            case b"stop":
                os.kill(os.getpid(), signal.SIGSTOP)
                Event().wait()  # one of many threads may go on for a moment
        return mail
