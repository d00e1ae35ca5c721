"""Connections that hold on to the server without asking for anything, or without taking what they asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger
from aiohttp.typedefs import Middleware

from engine.serving.guard import Handler

SILENT: Final = 60.0
"""Seconds that a connection may take until its next request's header is complete; it may be kept alive for as long."""

STALLED: Final = 30.0
"""Seconds after which a client that takes nothing of its answer any more is let go."""

SWEEP: Final = 5.0
"""Seconds between two looks at all connections."""


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp says of a connection, in its own log; of a peer that does not speak HTTP one line, and no trace."""

    def __init__(self) -> None:
        super().__init__(server_logger, {})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """For `logging`: what becomes of a call's arguments."""
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            told = " ".join(str(error).split()).replace("%", "%%")
            return f"{msg}: {told}", {**kwargs, "exc_info": None}
        return msg, kwargs


class _Seen(NamedTuple):
    """When a connection was last seen to get on, and how many bytes it had yet to take then."""

    at: float
    unsent: int


class Connections:
    """Closes connections that do not get on, by looking at all of them now and then: no timer for each request."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._busy: dict[object, int] = {}
        self._seen: dict[object, _Seen] = {}

    async def watch(self, server: web.Server) -> None:
        """Sweep for ever."""
        while True:
            self.sweep(server)
            await asyncio.sleep(SWEEP)

    @property
    def counting(self) -> Middleware:
        """While a request is being answered its connection owes nothing but to take the answer."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._count(request, handler)

        return count

    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        self._busy[connection] = self._busy.get(connection, 0) + 1
        try:
            return await handler(request)
        finally:
            self._busy[connection] -= 1
            if not self._busy[connection]:
                del self._busy[connection]
            self._seen.pop(connection, None)

    def sweep(self, server: web.Server) -> None:
        """Close those that have not got on for too long."""
        now, before = self._clock(), self._seen
        self._seen = {}
        for connection in server.connections:
            transport = connection.transport
            if transport is None or transport.is_closing():
                continue
            unsent = transport.get_write_buffer_size()
            last = before.get(connection)
            if last is None or unsent != last.unsent or (not unsent and connection in self._busy):
                last = _Seen(now, unsent)
            self._seen[connection] = last
            if now - last.at > (STALLED if unsent else SILENT):
                transport.abort()
