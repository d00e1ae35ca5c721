"""Reading the requests that come on a connection to a plugin: HTTP/1.1, by llhttp, within bounds of our own."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final, Protocol

import httptools

from rpc.lanes import MAX_HEAD
from rpc.plugin.requests import Endpoint, Request, Served, head

# Bytes that may travel for one of a body, beside a head: chunks have six more than their content.
_PER_BYTE: Final = 2

NO_CARRIER: Final[Mapping[str, list[str]]] = {}

FIRST, IDLE, HEAD, BODY = "first", "idle", "head", "body"


class Owner(Protocol):
    """What a reader needs of its connection: to hand on what has come, to be deaf to what cannot be read any further,
    and to have the body sent of whoever waits for that."""

    def take(self, request: Request) -> None: ...

    def refuse(self, status: int, message: str, headers: bytes = b"") -> None: ...

    def proceed(self) -> None: ...


class Reader:
    """Of one connection. ``doing`` is what it waits for: the `FIRST` request, another one (`IDLE`), or more of one.

    A token is asked for once the head is there, before any of the body is kept. Methods called ``on_`` are named by
    httptools.
    """

    def __init__(self, plugin: Served, owner: Owner) -> None:
        self.deaf = False
        """Whether nothing more is read."""
        self.doing = FIRST
        self.requests = 0
        """How many have come."""
        self._plugin = plugin
        self._owner = owner
        self._parser = httptools.HttpRequestParser(self)
        self._overhead = 0
        self._declining = False
        self._begin()

    def _begin(self) -> None:
        self.body: bytes | bytearray = b""
        """What is there of one that is not complete."""
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
        self._size = 0

    @property
    def is_amid(self) -> bool:
        """Whether a part of a request has come."""
        return self.doing in (HEAD, BODY)

    @property
    def is_bodiless(self) -> bool:
        """Whether the answer to the request that is being read may have no body."""
        return self._parser.get_method() == b"HEAD"

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._overhead += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._owner.refuse(400, f"not an HTTP/1.1 request: {error}")
            return
        if self._overhead < 0:
            self._overhead = 0
        elif self._overhead > MAX_HEAD:
            self._owner.refuse(431, f"the request has more than {MAX_HEAD} bytes beside its body")

    def _parse(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                # Declined (RFC 9110, 7.8): this is a request like any other. The parser takes what is behind the head
                # for another protocol, so a new one is given the head without the offer.
                if self.deaf:
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

    def on_message_begin(self) -> None:
        if not self._declining:
            self._begin()
            self.doing = HEAD

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
        self.doing = BODY
        self._upgrade = self._parser.should_upgrade()
        plugin, refuse = self._plugin, self._owner.refuse
        if plugin.authorization is not None and not hmac.compare_digest(self._authorization, plugin.authorization):
            if self._authorization:
                refuse(403, "this token is not accepted")
            else:
                refuse(401, "a bearer token is needed", b"WWW-Authenticate: Bearer\r\n")
            return
        verb = self._verb = self._parser.get_method()
        if verb == b"CONNECT":  # what follows is no HTTP
            refuse(405, "plugins are called with POST", b"Allow: POST\r\n")
            return
        endpoint = self._endpoint = plugin.endpoint(self._url) if verb == b"POST" else None
        self._limit = plugin.max_body if endpoint is None else endpoint.max_body
        if self._length and int(self._length) > self._limit:
            refuse(413, f"the request's body is over {self._limit} bytes")
        elif self._expects and not self.deaf and self._parser.get_http_version() != "1.0":
            self._owner.proceed()  # who speaks HTTP/1.0 would take that for the answer (RFC 9110, 15.2)

    def on_body(self, piece: bytes) -> None:
        if self.deaf:
            return
        if self._endpoint is not None:
            if not self._size:
                self.body = piece
            elif type(self.body) is bytearray:
                self.body += piece
            else:
                self.body = bytearray(self.body) + piece
        self._size += len(piece)
        self._overhead -= _PER_BYTE * len(piece)
        if self._size > self._limit:
            self._owner.refuse(413, f"the request's body is over {self._limit} bytes")

    def on_message_complete(self) -> None:
        if self._upgrade:  # only the head, until the offer is declined
            return
        self.doing = IDLE
        self.requests += 1
        self._overhead = 0
        if self.deaf:
            return
        parser = self._parser
        keep_alive = parser.should_keep_alive()
        if keep_alive and parser.get_http_version() == "1.0":
            keep_alive = False  # it would have to be offered in a header of the reply; a new connection is simpler
        self.deaf = not keep_alive
        request = Request(self._verb, self._url, self._endpoint, self.body, keep_alive, self._carrier)
        self.body = b""
        self._owner.take(request)
