"""What is answered as JSON. What is large is written by another thread: it takes as long as a turn should at most."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from engine.model.large import is_large


def answer(body: bytes, status: int = 200) -> web.Response:
    """What is JSON already."""
    return web.Response(body=body, status=status, content_type="application/json")


def answer_json(content: Any, status: int = 200) -> web.Response:
    """A few fields."""
    return answer(orjson.dumps(content), status)


async def answer_document(document: Any) -> web.Response:
    """A document, or several, which nobody changes meanwhile."""
    return answer(await asyncio.to_thread(orjson.dumps, document) if is_large(document) else orjson.dumps(document))
