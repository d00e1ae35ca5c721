"""The plugin an author writes: functions by method, and the server around them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson
import uvloop

from rpc.credentials import check_token
from rpc.durations import parse_duration
from rpc.methods import BATCHES, SPELLINGS, Method, Route, path
from rpc.plugin.answers import BatchHandler, Handler
from rpc.plugin.batches import MAX_BATCH, Batch, each, only
from rpc.plugin.calls import Call
from rpc.plugin.connection import Connection
from rpc.plugin.listening import Listener
from rpc.plugin.requests import Endpoint
from rpc.plugin.threads import Threaded, Threads
from rpc.plugin.tracing import TracedConnection
from rpc.plugin.typed import converting, wanted
from rpc.tracers import find_tracing

if TYPE_CHECKING:
    from rpc.tracing import TracerProvider

_H = TypeVar("_H", bound=Handler)
_B = TypeVar("_B", bound=BatchHandler)
_A = TypeVar("_A")
_log = logging.getLogger(__name__)

_MAX_PORT = 65_535
_TURNS = 3
"""Turns of the loop within which all are taken in that have connected: closing the port would reset them."""


class Plugin:
    """A named set of functions, one per method it implements; the other methods are answered with 404.

    ``token``, where given, must come with each request as ``Authorization: Bearer <token>``: without one the answer is
    401, with another 403. A request body over ``max_body`` bytes is refused with 413, and what is under way of them on
    all connections is at most four times that (503). Of ``max_connections`` at a time the next one is told 503. Of the
    functions that are not async so many as there are ``threads`` may block at a time, and the next ones wait.

    Batches of calls (docs/batches.md) are answered, too, or with ``batches=False`` are not: their paths are 404s.
    ``resend="changed"`` says in each batch reply that a call with the same arguments would be answered the same, so
    that it need not come again for ``resend_after``, a duration such as ``"10m"``, or for good.

    Requests go on with the trace that they are part of: spans of them go to OpenTelemetry's ``tracer_provider``, by
    default to the process's own, where one is set by the time that the plugin is served. Raises `ValueError` for a
    duration that is none, an announcement that would not be made, a bound below 1, or a token that nobody could send.
    """

    def __init__(
        self,
        name: str,
        *,
        token: str | None = None,
        max_body: int = 64 * 1024 * 1024,
        max_connections: int = 1024,
        threads: int = 32,
        batches: bool = True,
        resend: Literal["changed"] | None = None,
        resend_after: str | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        if token is not None:
            check_token(token)
        for option, bound in (("max_body", max_body), ("max_connections", max_connections)):
            if bound < 1:
                raise ValueError(f"{option}: expected 1 or more, got {bound}")
        self.name = name
        self.max_body = max_body
        self.max_connections = max_connections
        self.authorization = None if token is None else f"Bearer {token}".encode()
        self.calls: Sequence[Call] = ()
        """In a test with the fixture ``oarlock``: those of its last run."""
        self._threads = Threads(name, threads)
        self._endpoints: dict[bytes, Endpoint] = {}
        self._routes: dict[Route, None] = {}
        self._batches = batches
        self._tracer_provider = tracer_provider
        self._announcement = _announcement(batches, resend, resend_after)
        self._single: dict[Method, Handler] = {}
        self._batch: dict[Method, BatchHandler] = {}

    def on(self, method: str) -> Callable[[_H], _H]:
        """Register the decorated function, sync or async, for `method`, a canonical name such as ``node.preExecute``.

        It is called once for each call, several at the same time: an async one in the loop, another one in threads, so
        that it may block. One that returns within a millisecond each time is called in the loop after a while, one call
        after the other. Calls of a batch share their workflow and templates, so arguments are not to be changed.

        Arguments are a dict, or where its parameter is annotated so what the method is sent, such as `NodePreExecute`;
        what does not fit in there is answered with 400.

        An exception it raises is logged and answered with 500, which the engine takes as fatal; `Unavailable` with 503,
        which is tried again. Raises `ValueError` for a name that is no method or has a function already, and
        `TypeError` for a function that takes the arguments of another method.
        """
        known = Method(method)
        if known in self._single:
            raise ValueError(f"plugin {self.name!r} has a function for {method} already")

        def register(handler: _H) -> _H:
            self._single[known] = self._unblocked(handler, wanted(handler, known))
            self._route(known)
            return handler

        return register

    def on_batch(self, method: str) -> Callable[[_B], _B]:
        """Register the decorated function, sync or async, for batches of `method`, such as ``node.preExecute``.

        It gets a list with the arguments of each call and returns a list of as many: for each call its reply, None, or
        an exception, such as `Unavailable`, for that call alone. One that it raises is for all calls. Where `on` has no
        function for the method, single calls come here too, in lists of one.

        Arguments are as for `on`, so that a parameter may be annotated with ``list[NodePreExecute]``.

        Raises `ValueError` for a name that is no method, has no batches, or has a function for them already, and
        `TypeError` for a function that takes the arguments of another method.
        """
        known = Method(method)
        if known not in BATCHES:
            raise ValueError(f"{method} has no batches, only {', '.join(BATCHES)} have")
        if known in self._batch:
            raise ValueError(f"plugin {self.name!r} has a function for batches of {method} already")

        def register(handler: _B) -> _B:
            self._batch[known] = self._unblocked(handler, wanted(handler, known, listed=True))
            self._route(known)
            return handler

        return register

    def _unblocked(self, function: Callable[[_A], Any], kind: Any) -> Callable[[_A], Any]:
        answer = function if inspect.iscoroutinefunction(function) else Threaded(function, self._threads)
        return answer if kind is None else converting(answer, kind)

    def _route(self, method: Method) -> None:
        single = self._single[method] if method in self._single else only(self._batch[method])
        self._answer_at(method, single, self.max_body)
        if self._batches and method in BATCHES:
            batch = self._batch[method] if method in self._batch else each(single)
            answer = Batch(self.name, method, batch, self._announcement)
            self._answer_at(BATCHES[method], answer, min(self.max_body, MAX_BATCH))

    def _answer_at(self, route: Route, answer: Callable[[dict[str, Any]], object], max_body: int) -> None:
        endpoint = Endpoint(answer, max_body)
        self._routes[route] = None
        self._endpoints.update({path(route, spelling).encode(): endpoint for spelling in SPELLINGS})

    def not_found(self) -> bytes:
        """The body of a 404, which spares the engine asking for each method that there is none of."""
        methods = [str(each) for each in self._routes]
        return orjson.dumps({"message": "this plugin does not have the method", "methods": methods})

    def endpoint(self, target: bytes) -> Endpoint | None:
        """What is at a request's target, be it a path with or without a query or an absolute URL (RFC 9112, 3.2)."""
        return self._endpoints.get(target) or self._endpoints.get(_path(target))

    @contextlib.asynccontextmanager
    async def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, unix: str | os.PathLike[str] | None = None, grace: float = 0.0
    ) -> AsyncIterator[str]:
        """Serve inside the running loop; yields the address, ``http://host:port`` or ``unix:///path``.

        Port 0 takes a free one. At the end new connections are refused, idle ones closed, and requests that are under
        way are answered, with ``Connection: close``; after `grace` seconds their functions are cancelled. Raises
        `OSError` where it cannot listen, and `ValueError` for a port that is none.
        """
        if not 0 <= port <= _MAX_PORT:  # uvloop takes it modulo 65,536
            raise ValueError(f"port: expected 0 to {_MAX_PORT}, got {port}")
        loop = asyncio.get_running_loop()
        listener = Listener(self.max_connections, self.max_body)
        tracing = find_tracing(self._tracer_provider)

        def accept() -> Connection:
            if tracing is not None:
                return TracedConnection(self, listener, loop, tracing)
            return Connection(self, listener, loop)

        if unix is not None:
            socket = _absolute(unix)
            server = await loop.create_unix_server(accept, socket, backlog=1024)
            ours = socket.stat()
            address = f"unix://{socket}"
        else:
            server = await loop.create_server(accept, host, port, backlog=1024)
            actual = server.sockets[0].getsockname()
            shown = f"[{host}]" if ":" in host else host
            address = f"http://{shown}:{actual[1]}"
        listener.look_around()
        try:
            yield address
        finally:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if unix is not None:  # while we listen nobody else's can have this inode
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(ours, socket.stat()):  # else whoever comes after us listens there already
                        socket.unlink()
            server.close()
            await listener.close(grace)
            self._threads.close()
            await server.wait_closed()

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 4355,
        *,
        unix: str | os.PathLike[str] | None = None,
        grace: float = 5.0,
    ) -> None:
        """Serve on uvloop until SIGTERM or SIGINT; functions that still run then have `grace` seconds to finish.

        Where it cannot listen, as when the port is taken, the process ends with a line that says so.
        """
        if not _log.hasHandlers():
            logging.basicConfig(level=logging.INFO, format="level=%(levelname)s msg=%(message)s")
        uvloop.run(self._run(host, port, unix, grace))

    async def _run(self, host: str, port: int, unix: str | os.PathLike[str] | None, grace: float) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            try:
                address = await stack.enter_async_context(self.serve(host, port, unix=unix, grace=grace))
            except OSError as error:
                place = f"{host}:{port}" if unix is None else unix
                raise SystemExit(f"plugin {self.name} cannot listen at {place}: {error.strerror or error}") from None
            _log.info('"plugin is listening" name=%s address=%s', self.name, address)
            await stop.wait()


def _announcement(batches: bool, resend: str | None, resend_after: str | None) -> dict[str, str]:
    """What stands beside the replies of a batch."""
    if resend not in (None, "changed"):
        raise ValueError(f'expected resend="changed" or None, got {resend!r}')
    if resend is None:
        if resend_after is not None:
            raise ValueError('resend_after goes with resend="changed"')
        return {}
    if not batches:
        raise ValueError("resend is announced in batch replies, and this plugin has none")
    if resend_after is None:
        return {"resend": resend}
    if not parse_duration(resend_after):
        raise ValueError("resend_after is longer than 0")
    return {"resend": resend, "resendAfter": resend_after}


def _path(target: bytes) -> bytes:
    path = target.partition(b"?")[0]
    if path.startswith(b"/"):
        return path
    return b"/" + path.partition(b"://")[2].partition(b"/")[2]


def _absolute(unix: str | os.PathLike[str]) -> Path:
    return Path(unix).absolute()
