"""One connection to a plugin: HTTP/1.1 requests in, replies out, in order.

The engine's loop is half a million requests, so a request costs no task, no stream and no object of its own unless its
function is async.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable
from typing import Final, cast

import orjson

from rpc.plugin.answers import encode, refusal
from rpc.plugin.listening import Listener
from rpc.plugin.reading import BODY, FIRST, HEAD, IDLE, Reader
from rpc.plugin.requests import Request, Served
from rpc.plugin.responses import CLOSE, NOTHING, response, told
from rpc.statuses import in_one_line

_log = logging.getLogger("rpc.plugin")

# How long a refused peer may go on sending before it is cut off; closed at once, it would lose our answer to a reset.
_LINGER: Final = 1.0
# What a peer is waited for, and for how many seconds. A function is waited for as long as it takes.
_READER = "reader"
_PATIENCE: Final = {FIRST: 10.0, IDLE: 75.0, HEAD: 10.0, BODY: 60.0, _READER: 60.0}


class Connection(asyncio.Protocol):
    """Answers the requests that come on it one after the other, pipelined ones too.

    It is the `Owner` of the reader that ``reads`` them.
    """

    def __init__(
        self, plugin: Served, listener: Listener, loop: asyncio.AbstractEventLoop, reads: type[Reader] = Reader
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        """The async function that this connection waits for."""
        self._plugin = plugin
        self._listener = listener
        self._loop = loop
        self._reader = reads(plugin, self)
        self._transport: asyncio.Transport
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when the connection is closed, and its function over."""
        self._waiting: deque[Request] = deque()
        self._refusal: bytes | None = None
        """What is answered after all that is waiting, and then no more."""
        self._closing = False
        """Whether nothing more is written."""
        self._stopping = False
        self._ended = self._gone = False
        self._unread = False
        self._running = 0
        self._held = 0
        self._seen: object = None
        self._since = 0.0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        if self._listener.is_full:
            self._transport.write(response(503, told("too many connections"), CLOSE + b"Retry-After: 1\r\n"))
            self._close()
        else:
            self._stopping = self._listener.is_stopping
            self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shut()
        self._waiting.clear()
        self._reader.body = b""
        self._gone = True
        self._leave()

    def _leave(self) -> None:
        """Count no more, once it is closed: but what a function was given is there until that has ended."""
        self._account()
        over = self.task is None or self.task.done()  # the latter of one that was cancelled before its first step
        if self._gone and over and not self.lost.done():
            self._listener.connections.discard(self)
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._unread = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._unread = False
        if not self._waiting:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer sends no more, and may still read."""
        self._ended = True
        if self._reader.is_amid:
            self.refuse(400, "the request ended before it was complete")
        return self.task is not None

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader.deaf:
            return
        reader.feed(data)
        self._account()
        if reader.body and self._listener.is_crowded:
            self.refuse(503, "too much is under way", b"Retry-After: 1\r\n")

    # What the reader calls.

    def take(self, request: Request) -> None:
        if self.task is None:
            self._answer(request)
        else:
            self._waiting.append(request)
            self._transport.pause_reading()

    def proceed(self) -> None:
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def refuse(self, status: int, message: str, headers: bytes = b"") -> None:
        """Answer what cannot be read any further, after what came before it, and close."""
        reader = self._reader
        if reader.deaf:
            return
        reader.deaf, reader.body = True, b""
        self._account()
        self._refusal = response(status, told(message), headers + CLOSE, bodiless=reader.is_bodiless)
        if self.task is None:
            self._end(self._refusal)

    # Answering.

    def _answer(self, request: Request) -> None:
        url, keep_alive = request.url, request.keep_alive
        if request.verb != b"POST":
            bodiless = request.verb == b"HEAD"
            message = "plugins are called with POST"
            self._send(405, told(message), keep_alive, b"Allow: POST\r\n", bodiless=bodiless)
            return
        if request.endpoint is None:
            self._send(404, self._plugin.not_found(), keep_alive)
            return
        try:
            reply = request.answer(request.endpoint)
        except (Exception, asyncio.CancelledError) as error:
            self._failed(url, error, keep_alive)
            return
        if inspect.isawaitable(reply):
            self._running = len(request.body)
            self.task = self._loop.create_task(self._finish(url, reply, keep_alive))
        else:
            self._reply(url, reply, keep_alive)

    async def _finish(self, url: bytes, awaitable: Awaitable[object], keep_alive: bool) -> None:
        try:
            reply = await awaitable
        except asyncio.CancelledError as error:
            if self._stopping:
                raise
            self._failed(url, error, keep_alive)
        except Exception as error:
            self._failed(url, error, keep_alive)
        else:
            self._reply(url, reply, keep_alive)
        finally:
            self.task = None
            self._running = 0
            if self._gone:
                self._leave()
        while self._waiting and self.task is None and not self._closing:
            self._answer(self._waiting.popleft())
        self._account()
        if self._waiting or self._closing:
            return
        if self.task is None and self._refusal is not None:
            self._end(self._refusal)
        elif not self._unread:
            self._transport.resume_reading()

    def _reply(self, url: bytes, reply: object, keep_alive: bool) -> None:
        if reply is None or reply == {}:
            if keep_alive and not self._stopping and not self._ended and not self._closing:
                self._transport.write(NOTHING)
            else:
                self._send(200, b"{}", keep_alive)
            return
        try:
            content = orjson.dumps(reply) if type(reply) is dict else encode(reply)
        except Exception as error:
            self._failed(url, error, keep_alive)
            return
        self._send(200, content, keep_alive)

    def _failed(self, url: bytes, error: BaseException, keep_alive: bool) -> None:
        status, message, retry_after = refusal(error)
        if status == 500:
            _log.error("plugin %s failed in %s", self._plugin.name, in_one_line(url.decode("latin-1")), exc_info=error)
        headers = b"" if retry_after is None else b"Retry-After: %d\r\n" % retry_after
        self._send(status, told(message), keep_alive, headers)

    def _send(
        self, status: int, content: bytes, keep_alive: bool, headers: bytes = b"", *, bodiless: bool = False
    ) -> None:
        if self._closing:
            return
        last = self._ended and not self._waiting and self._refusal is None
        keep_alive = keep_alive and not self._stopping and not last
        if not keep_alive:
            headers += CLOSE
        self._transport.write(response(status, content, headers, bodiless=bodiless))
        if not keep_alive:
            self._close()

    def _end(self, answer: bytes) -> None:
        self._closing = True
        self._transport.write(answer)
        if self._ended:
            self._transport.close()
        else:
            self._transport.resume_reading()  # what comes is dropped
            self._transport.write_eof()
            self._loop.call_later(_LINGER, self._transport.abort)

    def _account(self) -> None:
        """Tell the listener how many bytes of bodies are kept here."""
        held = len(self._reader.body) + self._running
        if self._waiting:
            held += sum(len(request.body) for request in self._waiting)
        if held != self._held:
            self._listener.held += held - self._held
            self._held = held

    # Time, and stopping.

    def look_at_clock(self, now: float) -> None:
        """End this connection if its peer is waited for, and has been for too long."""
        if self.task is not None:
            self._seen = None
            return
        waits_for = _READER if self._unread or self._closing else self._reader.doing
        seen = waits_for, self._reader.requests
        if seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since < _PATIENCE[waits_for]:
            return
        elif waits_for in (HEAD, BODY):
            self.refuse(408, f"the request's {waits_for} did not come within {_PATIENCE[waits_for]:g} seconds")
        elif waits_for is _READER:
            self.abort()
        else:
            self._close()

    @property
    def is_busy(self) -> bool:
        """Whether a request is on its way here, or under way."""
        return self.task is not None or (not self._closing and self._reader.is_amid)

    def stop(self) -> None:
        """Take no more requests after the one that is under way, or on its way: close once that has been answered.

        Who has just connected is about to send one. Between two there is none that could not be sent elsewhere instead.
        """
        self._waiting.clear()
        self._stopping = True
        if self.task is None and self._reader.doing is IDLE:
            self.hang_up()

    def hang_up(self) -> None:
        """Close unless a request is on its way, or under way."""
        if not self.is_busy and not self._closing:
            self._close()

    def deafen(self) -> None:
        """Read nothing more."""
        self._reader.deaf = True

    def abort(self) -> None:
        """Close at once, whatever is not yet sent."""
        self._shut()
        self._transport.abort()
        self._leave()

    def _close(self) -> None:
        self._shut()
        self._transport.close()

    def _shut(self) -> None:
        self._reader.deaf = self._closing = True
