"""Answers without an end: a line of JSON per message, or a server-sent event where the client asks for those."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import orjson
from aiohttp import web

from engine.serving.errors import ApiError

EVENTS: Final = "text/event-stream"

STALLED: Final = 30.0
"""Seconds after which a client that takes nothing any more is let go."""

KEEPALIVE: Final = 15.0
"""Seconds of silence after which a server-sent comment tells that the connection lives."""


async def stream(request: web.Request, messages: AsyncGenerator[Any]) -> web.StreamResponse:
    """Answer with each of `messages` as ``{"result": ...}``, as grpc-gateway does; one that fails ends it.

    An error before the first message is answered as any other, with its status; a later one as ``{"error": ...}``.
    """
    events = EVENTS in request.headers.get("Accept", "")
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.content_type = EVENTS if events else "application/json"
    response.enable_chunked_encoding()
    async with aclosing(_with_pauses(messages)) as each_one:
        await response.prepare(request)
        try:
            async for message in each_one:
                if message is not None:
                    await _write(response, {"result": message}, events=events)
                elif events:
                    await _send(response, b":\n\n")
        except ApiError as error:
            await _write(response, {"error": error.body | {"http_code": error.status}}, events=events)
    await response.write_eof()
    return response


async def _with_pauses(messages: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
    """The messages, and None after each `KEEPALIVE` seconds without one."""
    coming: asyncio.Future[Any] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(messages))
            done, _ = await asyncio.wait((coming,), timeout=KEEPALIVE)
            if not done:
                yield None
                continue
            taken, coming = coming, None
            try:
                message = taken.result()
            except StopAsyncIteration:
                return
            yield message
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _write(response: web.StreamResponse, message: dict[str, Any], *, events: bool) -> None:
    text = orjson.dumps(message)
    await _send(response, b"data: " + text + b"\n\n" if events else text + b"\n")


async def _send(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(STALLED):
        await response.write(data)
