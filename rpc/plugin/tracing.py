"""A connection of a plugin that traces: functions are called within a span of the request, in its caller's trace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from rpc.plugin.answers import BadRequest
from rpc.plugin.connection import Connection
from rpc.plugin.listening import Listener
from rpc.plugin.reading import Reader
from rpc.plugin.requests import Request, Served
from rpc.statuses import in_one_line

if TYPE_CHECKING:  # it is an extra
    from rpc.tracing import Serving, Tracing


class TracedReader(Reader):
    """Requests have the headers of their trace."""

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        known = name.lower()
        if known in (b"traceparent", b"tracestate"):
            before = self._carrier.get(known.decode(), [])
            self._carrier = {**self._carrier, known.decode(): [*before, value.decode("latin-1")]}


class TracedConnection(Connection):
    """Requests are answered in turn, so that there is one span at a time, which the answer ends."""

    def __init__(self, plugin: Served, listener: Listener, loop: asyncio.AbstractEventLoop, tracing: Tracing) -> None:
        super().__init__(plugin, listener, loop, TracedReader)
        self._tracing = tracing
        self._serving: Serving | None = None

    def _answer(self, request: Request) -> None:
        path = in_one_line(request.url.partition(b"?")[0].decode("latin-1"))
        known = request.endpoint is not None
        serving = self._tracing.request_from(request.carrier, request.verb.decode(), path, known=known)
        self._serving = serving
        with serving.current():
            super()._answer(request)

    async def _finish(self, url: bytes, awaitable: Awaitable[object], keep_alive: bool) -> None:
        try:
            await super()._finish(url, awaitable, keep_alive)
        finally:
            if self.task is None:
                self._over(None)

    def _failed(self, url: bytes, error: BaseException, keep_alive: bool) -> None:
        if self._serving is not None and not isinstance(error, BadRequest):
            self._serving.raised(error)
        super()._failed(url, error, keep_alive)

    def _reply(self, url: bytes, reply: object, keep_alive: bool) -> None:
        super()._reply(url, reply, keep_alive)
        self._over(200)

    def _send(
        self, status: int, content: bytes, keep_alive: bool, headers: bytes = b"", *, bodiless: bool = False
    ) -> None:
        super()._send(status, content, keep_alive, headers, bodiless=bodiless)
        self._over(status)

    def _over(self, status: int | None) -> None:
        """What was said first counts; None where the plugin was stopped before it said anything."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.end(status)
