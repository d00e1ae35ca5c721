"""One plugin, called: spelling, permits, the status table and the two errors, above the lane that carries the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Self

import orjson

from rpc.address import Address, parse_address
from rpc.errors import FatalError, TransientError
from rpc.lanes import Broken, Lane, Malformed, Response, Unreachable
from rpc.lanes.aiohttp import AiohttpLane
from rpc.methods import Method, Spelling
from rpc.permits import Permits
from rpc.replies import EMPTY, IllegalReply, Reply, decode, decode_object, validate
from rpc.spellings import Spellings
from rpc.statuses import illegal, refusal

LaneName = Literal["auto", "aiohttp", "wire"]
Protocol = Literal["auto"] | Spelling


class Client:
    """Calls one plugin. An async context manager, open between ``async with`` and its end; for one event loop.

    ``address`` is an http, https or ``unix:///path`` address; ``name`` is what errors and statistics call the plugin,
    by default its address. ``timeout`` is the total time of one HTTP exchange in seconds, ``concurrency`` the most of
    them at a time, ``max_body`` the most bytes of a reply that are read; ``token`` is sent as a bearer token
    (RFC 6750). Raises `ValueError` where one of them makes no sense.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str | None = None,
        lane: LaneName = "auto",
        protocol: Protocol = "auto",
        timeout: float = 1.0,
        concurrency: int | Literal["adaptive"] = "adaptive",
        token: str | None = None,
        max_body: int = 4 * 1024 * 1024,
    ) -> None:
        self.address = parse_address(address)
        self.name = name or address
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout must be a positive, finite number of seconds, not {timeout}")
        if concurrency != "adaptive" and concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, or 'adaptive', not {concurrency}")
        if max_body < 2:
            raise ValueError(f"max_body must be at least 2 bytes, the size of an empty object, not {max_body}")
        if lane == "wire" and self.address.scheme == "https":
            raise ValueError("the wire lane does not speak https; use lane 'auto' or 'aiohttp'")
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise ValueError("a token is printable ASCII")
        self._make_lane = _lane_class(lane, self.address)
        self._timeout = timeout
        self._max_body = max_body
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._spellings = Spellings(protocol, self.address.prefix)
        self._paths = self._spellings.paths
        self._permits = Permits(64 if concurrency == "adaptive" else concurrency)
        self._asking: dict[Method, asyncio.Future[TransientError | None]] = {}
        self._unreachable = False
        self._lane: Lane | None = None
        self._post: Callable[[str, bytes], Awaitable[Response]] = _never_opened

    async def __aenter__(self) -> Self:
        if self._lane is None:
            self._lane = self._make_lane(
                self.address, timeout=self._timeout, max_body=self._max_body, headers=self._headers
            )
            self._post = self._lane.post
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls in flight end with `TransientError`. Idempotent."""
        lane, self._lane, self._post = self._lane, None, _closed
        if lane is not None:
            await lane.aclose()

    def __repr__(self) -> str:
        return f"<Client {self.name!r} at {self.address}>"

    def supports(self, method: Method) -> bool:
        """False once the plugin has answered 404 in every spelling; calling it would be answered without being sent."""
        return method not in self._spellings.refused

    def spelling(self, method: Method) -> Spelling | None:
        """The spelling in which the plugin has answered `method`, None where it has not (yet)."""
        return self._spellings.found.get(method)

    async def call(self, method: str, args: Mapping[str, object]) -> dict[str, Any] | None:
        """Call `method` by its canonical name and return the plugin's reply, ``None`` where it is unsupported.

        ``args`` is the JSON object to send. Raises `TransientError`, `FatalError`, and `ValueError` for a name that is
        no method of the protocol.
        """
        known = Method(method)
        try:
            body = orjson.dumps(args)
        except orjson.JSONEncodeError as error:
            raise FatalError(self.name, known, f"the arguments cannot be sent as JSON: {error}") from error
        response = await self._request(known, body)
        if response is None:
            return None
        if not response.body:
            return {}
        try:
            document = decode_object(response.body)
            validate(known, document)
        except IllegalReply as error:
            raise illegal(self.name, known, response, error) from error
        return document

    async def exchange(self, method: Method, body: bytes) -> Reply | None:
        """Send `body`, an encoded JSON object, and return the typed reply, None where the method is unsupported.

        A reply without content is `EMPTY`. Raises `TransientError` and `FatalError`.
        """
        response = await self._request(method, body)
        if response is None:
            return None
        content = response.body
        if content == b"{}" or not content:
            return EMPTY
        try:
            reply, _ = decode(method, content)
        except IllegalReply as error:
            raise illegal(self.name, method, response, error) from error
        return reply

    async def _request(self, method: Method, body: bytes) -> Response | None:
        """The plugin's 200 or 204, None for a method it does not have, else one of the two errors."""
        path = self._paths.get(method)
        if path is not None:
            response = await self._send(method, path, body)
        else:
            discovered = await self._discover(method, body)
            if discovered is None:
                return None
            response = discovered
        status = response.status
        if status == 200 or status == 204:
            return response
        if status == 404:
            self._spellings.refuse(method)
            return None
        raise refusal(self.name, method, response)

    async def _send(self, method: Method, path: str, body: bytes) -> Response:
        permits = self._permits
        if permits.in_flight < permits.limit:
            permits.in_flight += 1
        else:
            await permits.wait()
        try:
            response = await self._post(path, body)
        except Broken as error:
            self._unreachable = self._unreachable or isinstance(error, Unreachable)
            raise TransientError(self.name, method, str(error)) from error
        except Malformed as error:
            raise FatalError(self.name, method, str(error)) from error
        finally:
            permits.release()
        if self._unreachable:  # it is back, and may have been changed meanwhile
            self._unreachable = False
            self._spellings.forget()
        return response

    async def _discover(self, method: Method, body: bytes) -> Response | None:
        """Ask for a method not known yet, spelling by spelling. One caller asks, the others wait for what it learns."""
        spellings = self._spellings
        while (asking := self._asking.get(method)) is not None:
            # Shielded: a waiter that is cancelled must not take the others with it.
            failure = await asyncio.shield(asking)
            if failure is not None:
                raise TransientError(self.name, method, failure.reason) from failure
            if (path := self._paths.get(method)) is not None:
                return await self._send(method, path, body)
        if method in spellings.refused:
            return None
        answer = self._asking[method] = asyncio.get_running_loop().create_future()
        failure = None
        try:
            for spelling, path in spellings.candidates(method):
                try:
                    response = await self._send(method, path, body)
                except FatalError:
                    spellings.settle(method, spelling)
                    raise
                if response.status != 404:
                    spellings.settle(method, spelling)
                    return response
            spellings.refuse(method)
            return None
        except TransientError as error:
            failure = error
            raise
        finally:
            del self._asking[method]
            answer.set_result(failure)


def _lane_class(lane: LaneName, address: Address) -> Any:
    if lane == "aiohttp" or address.scheme == "https":
        return AiohttpLane
    return AiohttpLane  # the wire lane is on its way


async def _never_opened(path: str, body: bytes) -> Response:
    raise RuntimeError("the client is not open: use it inside `async with`")


async def _closed(path: str, body: bytes) -> Response:
    raise Broken("the client was closed")
