"""One connection to a plugin: HTTP/1.1 requests in, replies out, in order.

The engine's loop is half a million requests, so a request costs no task, no stream and no object of its own unless its
function is async.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import logging
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, cast

import httptools
import orjson

from rpc.lanes import MAX_HEAD
from rpc.plugin.answers import encode, refusal

if TYPE_CHECKING:
    from rpc.plugin.server import Plugin

_log = logging.getLogger("rpc.plugin")

_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
_HEAD: Final = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
_NOTHING: Final = _HEAD % (200, b"OK", 2, b"") + b"{}"
# How long a refused peer may go on sending before it is cut off; closed at once, it would lose our answer to a reset.
_LINGER: Final = 1.0


class Connection(asyncio.Protocol):
    """Parses requests and answers them one after the other, pipelined ones too."""

    def __init__(self, plugin: Plugin, connections: set[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self.task: asyncio.Task[None] | None = None
        """The async function that this connection waits for."""
        self._plugin = plugin
        self._connections = connections
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when the connection is closed."""
        self._waiting: deque[tuple[bytes, bytes, bytes, bytes, bool]] = deque()
        self._closing = False
        self._stopping = False
        self._in_head = True
        self._head_size = 0
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._authorization = b""
        self._expects = False
        self._upgrade = False
        self._pieces: list[bytes] = []
        self._size = 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._connections.discard(self)
        self._waiting.clear()
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._waiting:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._in_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "no upgrade is possible here")
        except httptools.HttpParserError as error:
            self._refuse(400, f"not an HTTP/1.1 request: {error}")
        else:
            if self._in_head and self._head_size > MAX_HEAD:
                self._refuse(431, f"the request's head is over {MAX_HEAD} bytes")

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 13 and name.lower() == b"authorization":
            self._authorization = value
        elif length == 6 and name.lower() == b"expect":
            self._expects = value.lower() == b"100-continue"
        elif length == 7 and name.lower() == b"upgrade":
            self._upgrade = True  # the parser will stop behind this head, before any body

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._expects and not self._closing:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, piece: bytes) -> None:
        if self._closing:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._plugin.max_body:
            self._refuse(413, f"the request's body is over {self._plugin.max_body} bytes")

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_size = 0
        if self._closing or self._upgrade:
            return
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        parser = self._parser
        keep_alive = parser.should_keep_alive()
        if keep_alive and parser.get_http_version() == "1.0":
            keep_alive = False  # it would have to be offered in a header of the reply; a new connection is simpler
        if self.task is None:
            self._answer(parser.get_method(), self._url, self._authorization, body, keep_alive)
        else:
            self._waiting.append((parser.get_method(), self._url, self._authorization, body, keep_alive))
            self._transport.pause_reading()

    # Answering.

    def _answer(self, verb: bytes, url: bytes, authorization: bytes, body: bytes, keep_alive: bool) -> None:
        plugin = self._plugin
        if plugin.authorization is not None and not hmac.compare_digest(authorization, plugin.authorization):
            if authorization:
                self._error(403, "this token is not accepted", keep_alive)
            else:
                self._error(401, "a bearer token is needed", keep_alive, b"WWW-Authenticate: Bearer\r\n")
            return
        handler = plugin.routes.get(url)
        if verb != b"POST":
            self._error(405, "plugins are called with POST", keep_alive, b"Allow: POST\r\n")
            return
        if handler is None:
            handler = plugin.routes.get(url.partition(b"?")[0])
            if handler is None:
                self._error(404, "this plugin does not have the method", keep_alive)
                return
        try:
            args = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            self._error(400, f"the arguments are not JSON: {error}", keep_alive)
            return
        if type(args) is not dict:
            self._error(400, "the arguments are not a JSON object", keep_alive)
            return
        try:
            reply = handler(args)
        except Exception as error:
            self._failed(url, error, keep_alive)
            return
        if inspect.isawaitable(reply):
            self.task = self._loop.create_task(self._finish(url, reply, keep_alive))
        else:
            self._reply(url, reply, keep_alive)

    async def _finish(self, url: bytes, awaitable: Awaitable[object], keep_alive: bool) -> None:
        try:
            reply = await awaitable
        except Exception as error:
            self._failed(url, error, keep_alive)
        else:
            self._reply(url, reply, keep_alive)
        finally:
            self.task = None
        while self._waiting and self.task is None and not self._closing:
            self._answer(*self._waiting.popleft())
        if not self._waiting and not self._closing:
            self._transport.resume_reading()

    def _reply(self, url: bytes, reply: object, keep_alive: bool) -> None:
        if reply is None or reply == {}:
            if keep_alive and not self._stopping:
                self._transport.write(_NOTHING)
            else:
                self._send(200, b"{}", keep_alive)
            return
        try:
            content = orjson.dumps(reply) if type(reply) is dict else encode(reply)
        except Exception as error:
            self._failed(url, error, keep_alive)
            return
        self._send(200, content, keep_alive)

    def _failed(self, url: bytes, error: Exception, keep_alive: bool) -> None:
        status, message, retry_after = refusal(error)
        if status == 500:
            _log.error("plugin %s failed in %s", self._plugin.name, url.decode("latin-1"), exc_info=error)
        self._error(status, message, keep_alive, b"" if retry_after is None else b"Retry-After: %d\r\n" % retry_after)

    def _error(self, status: int, message: str, keep_alive: bool, headers: bytes = b"") -> None:
        self._send(status, orjson.dumps({"message": message}), keep_alive, headers)

    def _send(self, status: int, content: bytes, keep_alive: bool, headers: bytes = b"") -> None:
        if self._closing:
            return
        keep_alive = keep_alive and not self._stopping
        if not keep_alive:
            headers += b"Connection: close\r\n"
        self._transport.write(_HEAD % (status, _REASONS[status], len(content), headers) + content)
        if not keep_alive:
            self._closing = True
            self._transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read any further, and close."""
        if self._closing:
            return
        content = orjson.dumps({"message": message})
        head = _HEAD % (status, _REASONS[status], len(content), b"Connection: close\r\n")
        self._closing = True
        self._transport.write(head + content)
        self._transport.write_eof()
        self._loop.call_later(_LINGER, self._transport.abort)

    # Stopping.

    def stop(self) -> None:
        """Take no more requests; close now if idle, else once the running function has been answered."""
        self._waiting.clear()
        self._stopping = True
        if self.task is None:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is not yet sent."""
        self._closing = True
        self._transport.abort()
