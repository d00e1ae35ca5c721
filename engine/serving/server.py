"""The server's life: an engine with a store, its API on a socket, until SIGTERM has drained it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ssl import SSLContext
from typing import Final, NamedTuple

from aiohttp import web

from engine.reconciler import Reconciler
from engine.serving.app import application
from engine.serving.connections import Connections, HttpLog
from engine.serving.guard import guard
from engine.serving.records import Records
from engine.serving.shelves import Shelves
from engine.signals import draining
from engine.storage.store import Store
from rpc.logs import get_logger

LAST_REQUESTS: Final = 3.0
"""Seconds that requests have to be answered once the passes under way are over."""

_log = get_logger(__name__)


class CannotListen(Exception):
    """The address cannot be had: one line that says why."""


class Listening(NamedTuple):
    """Where to listen, and who may come. ``token`` None lets everybody, ``loopback`` is for those of this machine."""

    host: str
    port: int
    token: str | None
    loopback: bool
    tls: SSLContext | None

    def url(self, port: int) -> str:
        """What a client on this machine is to be told; `port` is the one that was found where 0 was asked for."""
        host = f"[{self.host}]" if ":" in self.host else self.host or "localhost"
        return f"{'https' if self.tls is not None else 'http'}://{host}:{port}"


async def serve(
    engine: Reconciler,
    store: Store,
    listening: Listening,
    around: Callable[[Records, Shelves], AbstractAsyncContextManager[None]],
    told: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT, of which the first lets the passes under way end, and the second does not.

    ``around`` is what is to be done before anybody is let in, and when all are gone; ``told`` is given the address once
    somebody may come. Raises `CannotListen` and `StoreError`.
    """
    hurry = asyncio.Event()
    async with (
        engine,
        Records(engine, store) as records,
        Shelves(engine, store) as shelves,
        around(records, shelves),
        answering(engine, store, records, shelves, listening) as runner,
    ):
        with draining(engine, hurry.set):
            told(listening.url(runner.addresses[0][1]))
            await engine.serve()
            records.hub.close()
            await _or(hurry, runner.cleanup())


@asynccontextmanager
async def answering(
    engine: Reconciler,
    store: Store,
    records: Records,
    shelves: Shelves,
    listening: Listening,
    connections: Connections | None = None,
) -> AsyncIterator[web.AppRunner]:
    """Answer requests within this block, and have CronWorkflows fire. Raises `CannotListen`."""
    connections = connections or Connections()
    guarding = guard(listening.token, loopback=listening.loopback)
    before, named = [connections.counting, guarding], listening.token is not None
    app = application(engine, store, records, shelves, before, named=named)
    runner = web.AppRunner(app, access_log=None, logger=HttpLog(), shutdown_timeout=LAST_REQUESTS)
    await runner.setup()
    assert runner.server is not None
    watching = asyncio.create_task(connections.watch(runner.server))
    try:
        site = web.TCPSite(runner, listening.host or None, listening.port, ssl_context=listening.tls)
        try:
            await site.start()
        except OSError as error:
            raise CannotListen(f"{listening.host}:{listening.port}: {error.strerror or error}") from error
        async with shelves.firing(records):
            yield runner
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await runner.cleanup()


async def _or(hurry: asyncio.Event, work: Awaitable[None]) -> None:
    """Wait for the work, unless there is a hurry."""
    both = asyncio.ensure_future(work), asyncio.ensure_future(hurry.wait())
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    for each in both:
        each.cancel()
    await asyncio.gather(*both, return_exceptions=True)
