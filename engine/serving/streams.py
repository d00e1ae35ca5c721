"""Answers without an end: a line of JSON per message, or a server-sent event where the client asks for those."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from typing import Any, Final

import orjson
from aiohttp import web

from engine.serving.errors import api_error
from engine.serving.guard import is_gone

EVENTS: Final = "text/event-stream"

KEEPALIVE: Final = 15.0
"""Seconds of silence after which it is looked whether the client is still there; a server-sent comment tells it so."""


LAST: Final = 0.5
"""Seconds that a stream waits for another message once the server ends."""


async def stream(
    request: web.Request, messages: AsyncGenerator[Any], seconds: float | None = None
) -> web.StreamResponse:
    """Answer with each of `messages` as ``{"result": ...}``, as grpc-gateway does; one that fails ends it.

    A list is several messages that are sent at once. It ends after so many ``seconds``, by default when the messages
    do, or the client is gone. An error is answered as ``{"error": ...}``, since the answer has begun by then.
    """
    events = EVENTS in request.headers.get("Accept", "")
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.content_type = EVENTS if events else "application/json"
    response.enable_chunked_encoding()
    await response.prepare(request)
    with suppress(ConnectionError):  # the client is gone
        async with aclosing(_with_pauses(messages, seconds, ending_of(request.app))) as each_one:
            try:
                async for message in each_one:
                    if is_gone(request):
                        return response
                    if message is not None:
                        several = message if isinstance(message, list) else [message]
                        await _write(response, ({"result": each} for each in several), events=events)
                    elif events:
                        await response.write(b":\n\n")
            except Exception as error:
                if not is_gone(request):
                    told = api_error(error, request)
                    await _write(response, [{"error": told.in_stream}], events=events)
        await response.write_eof()
    return response


_ENDING: Final = web.AppKey("ending", asyncio.Event)


def ending_of(app: web.Application) -> asyncio.Event:
    """Set once the server ends: streams that have nothing to tell for `LAST` seconds end, too."""
    return app[_ENDING]


def end_streams(app: web.Application) -> None:
    """Have the streams of an application end when it does."""
    app[_ENDING] = ending = asyncio.Event()

    async def end(_: web.Application) -> None:
        ending.set()

    app.on_shutdown.append(end)


async def _with_pauses(
    messages: AsyncGenerator[Any], seconds: float | None, ending: asyncio.Event
) -> AsyncGenerator[Any]:
    """The messages, and None after each `KEEPALIVE` seconds without one; no more of them after ``seconds``."""
    clock = asyncio.get_running_loop().time
    until = None if seconds is None else clock() + seconds
    coming: asyncio.Future[Any] | None = None
    end = asyncio.ensure_future(ending.wait())
    try:
        while True:
            left = KEEPALIVE if until is None else min(until - clock(), KEEPALIVE)
            if left <= 0:
                return
            coming = coming or asyncio.ensure_future(anext(messages))
            if end.done():
                done, _ = await asyncio.wait((coming,), timeout=LAST)
                if not done:
                    return
            else:
                done, _ = await asyncio.wait((coming, end), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if coming in done:
                taken, coming = coming, None
                try:
                    message = taken.result()
                except StopAsyncIteration:
                    return
                yield message
            elif not done and left == KEEPALIVE:
                yield None
    finally:
        end.cancel()
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await messages.aclose()


async def _write(response: web.StreamResponse, messages: Iterable[dict[str, Any]], *, events: bool) -> None:
    before, after = (b"data: ", b"\n\n") if events else (b"", b"\n")
    await response.write(b"".join(before + orjson.dumps(each) + after for each in messages))
