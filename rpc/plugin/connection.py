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
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol, cast

import httptools
import orjson

from rpc.lanes import MAX_HEAD
from rpc.plugin.answers import encode, refusal
from rpc.plugin.listening import Listener
from rpc.plugin.requests import Endpoint, Request, head
from rpc.plugin.responses import CLOSE, NOTHING, response, told
from rpc.statuses import in_one_line

_log = logging.getLogger("rpc.plugin")

# How long a refused peer may go on sending before it is cut off; closed at once, it would lose our answer to a reset.
_LINGER: Final = 1.0
# Bytes that may travel for one of a body, beside a head: chunks have six more than their content.
_PER_BYTE: Final = 2

NO_CARRIER: Final[Mapping[str, list[str]]] = {}

# What a peer is waited for, and for how many seconds. A function is waited for as long as it takes.
_FIRST, _IDLE, _HEAD, _BODY, _READER = "first", "idle", "head", "body", "reader"
_PATIENCE: Final = {_FIRST: 10.0, _IDLE: 75.0, _HEAD: 10.0, _BODY: 60.0, _READER: 60.0}


class Served(Protocol):
    """What a connection needs of the plugin: who may ask, what answers at a path, what is said where nothing does."""

    name: str
    max_body: int
    authorization: bytes | None

    def endpoint(self, target: bytes) -> Endpoint | None: ...

    def not_found(self) -> bytes: ...


class Connection(asyncio.Protocol):
    """Parses requests and answers them one after the other, pipelined ones too.

    A token is asked for once the head is there, before any of the body is kept.
    """

    def __init__(self, plugin: Served, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self.task: asyncio.Task[None] | None = None
        """The async function that this connection waits for."""
        self._plugin = plugin
        self._listener = listener
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when the connection is closed."""
        self._waiting: deque[Request] = deque()
        self._refusal: bytes | None = None
        """What is answered after all that is waiting, and then no more."""
        self._deaf = False  # nothing more is read,
        self._closing = False  # or written
        self._stopping = False
        self._ended = False
        self._unread = False
        self._doing = _FIRST
        self._requests = 0
        self._overhead = 0
        self._running = 0
        self._held = 0
        self._seen: object = None
        self._since = 0.0
        self._declining = False
        self._begin()

    def _begin(self) -> None:
        self._verb = b""
        self._url = b""
        self._authorization = b""
        self._length = b""
        self._encoding = b""
        self._carrier = NO_CARRIER
        self._expects = False
        self._upgrade = False
        self._endpoint: Endpoint | None = None
        self._limit = 0
        self._body: bytes | bytearray = b""
        self._size = 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        if self._listener.is_full:
            self._deaf = self._closing = True
            self._transport.write(response(503, told("too many connections"), CLOSE + b"Retry-After: 1\r\n"))
            self._transport.close()
        else:
            self._stopping = self._listener.is_stopping
            self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = self._closing = True
        self._listener.connections.discard(self)
        self._waiting.clear()
        self._body, self._running = b"", 0
        self._account()
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
        if self._doing in (_HEAD, _BODY):
            self._refuse(400, "the request ended before it was complete")
        return self.task is not None

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._overhead += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(400, f"not an HTTP/1.1 request: {error}")
            return
        if self._overhead < 0:
            self._overhead = 0
        elif self._overhead > MAX_HEAD:
            self._refuse(431, f"the request has more than {MAX_HEAD} bytes beside its body")
        self._account()
        if self._body and self._listener.is_crowded:
            self._refuse(503, "too much is under way", b"Retry-After: 1\r\n")

    def _feed(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                # Declined (RFC 9110, 7.8): this is a request like any other. The parser takes what is behind the head
                # for another protocol, so a new one is given the head without the offer.
                if self._deaf:
                    return
                rest = memoryview(rest)[offer.args[0] :]
                before, self._parser = self._parser, httptools.HttpRequestParser(self)
                self._declining = True
                self._parser.feed_data(
                    head(
                        before.get_method(),
                        before.get_http_version(),
                        length=self._length,
                        encoding=self._encoding,
                        keep_alive=before.should_keep_alive(),
                    )
                )
            else:
                return

    # What the parser calls.

    def on_message_begin(self) -> None:
        if not self._declining:
            self._begin()
            self._doing = _HEAD

    def on_url(self, url: bytes) -> None:
        if not self._declining:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 14 and name.lower() == b"content-length":
            self._length = value
        elif length == 13 and name.lower() == b"authorization":
            self._authorization = value
        elif length == 17 and name.lower() == b"transfer-encoding":
            self._encoding = self._encoding + b", " + value if self._encoding else value
        elif length == 6 and name.lower() == b"expect":
            self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        if self._declining:
            self._declining = self._upgrade = False
            return
        self._doing = _BODY
        self._upgrade = self._parser.should_upgrade()
        plugin = self._plugin
        if plugin.authorization is not None and not hmac.compare_digest(self._authorization, plugin.authorization):
            if self._authorization:
                self._refuse(403, "this token is not accepted")
            else:
                self._refuse(401, "a bearer token is needed", b"WWW-Authenticate: Bearer\r\n")
            return
        verb = self._verb = self._parser.get_method()
        if verb == b"CONNECT":  # what follows is no HTTP
            self._refuse(405, "plugins are called with POST", b"Allow: POST\r\n")
            return
        endpoint = self._endpoint = plugin.endpoint(self._url) if verb == b"POST" else None
        self._limit = plugin.max_body if endpoint is None else endpoint.max_body
        if self._length and int(self._length) > self._limit:
            self._refuse(413, f"the request's body is over {self._limit} bytes")
        elif self._expects and not self._deaf:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, piece: bytes) -> None:
        if self._deaf:
            return
        if self._endpoint is not None:
            if not self._size:
                self._body = piece
            elif type(self._body) is bytearray:
                self._body += piece
            else:
                self._body = bytearray(self._body) + piece
        self._size += len(piece)
        self._overhead -= _PER_BYTE * len(piece)
        if self._size > self._limit:
            self._refuse(413, f"the request's body is over {self._limit} bytes")

    def on_message_complete(self) -> None:
        if self._upgrade:  # only the head, until the offer is declined
            return
        self._doing = _IDLE
        self._requests += 1
        self._overhead = 0
        if self._deaf:
            return
        parser = self._parser
        keep_alive = parser.should_keep_alive()
        if keep_alive and parser.get_http_version() == "1.0":
            keep_alive = False  # it would have to be offered in a header of the reply; a new connection is simpler
        self._deaf = not keep_alive
        request = Request(self._verb, self._url, self._endpoint, self._body, keep_alive, self._carrier)
        self._body = b""
        if self.task is None:
            self._answer(request)
        else:
            self._waiting.append(request)
            self._transport.pause_reading()

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
            if keep_alive and not self._stopping and not self._ended:
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
            self._deaf = self._closing = True
            self._transport.close()

    def _refuse(self, status: int, message: str, headers: bytes = b"") -> None:
        """Answer what cannot be read any further, after what came before it, and close."""
        if self._deaf:
            return
        self._deaf = True
        self._body = b""
        self._account()
        bodiless = self._parser.get_method() == b"HEAD"
        self._refusal = response(status, told(message), headers + CLOSE, bodiless=bodiless)
        if self.task is None:
            self._end(self._refusal)

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
        held = len(self._body) + self._running
        if self._waiting:
            held += sum(len(request.body) for request in self._waiting)
        if held != self._held:
            self._listener.held += held - self._held
            self._held = held

    # Time, and stopping.

    def look_at_clock(self, now: float) -> None:
        """End this connection if its peer is waited for, and has been for too long."""
        if self.task is not None or self._closing:
            self._seen = None
            return
        waits_for = _READER if self._unread else self._doing
        seen = waits_for, self._requests
        if seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since < _PATIENCE[waits_for]:
            return
        elif waits_for in (_HEAD, _BODY):
            self._refuse(408, f"the request's {waits_for} did not come within {_PATIENCE[waits_for]:g} seconds")
        elif waits_for is _READER:
            self.abort()
        else:
            self._deaf = self._closing = True
            self._transport.close()

    @property
    def is_busy(self) -> bool:
        """Whether a request is on its way here, or under way."""
        return not self._closing and (self.task is not None or self._doing in (_HEAD, _BODY))

    def stop(self) -> None:
        """Take no more requests after the one that is under way, or on its way: close once that has been answered.

        Who has just connected is about to send one. Between two there is none that could not be sent elsewhere instead.
        """
        self._waiting.clear()
        self._stopping = True
        if self.task is None and self._doing is _IDLE:
            self.hang_up()

    def hang_up(self) -> None:
        """Close unless a request is on its way, or under way."""
        if not self.is_busy and not self._closing:
            self._deaf = self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is not yet sent."""
        self._deaf = self._closing = True
        self._transport.abort()
