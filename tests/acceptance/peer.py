"""A plugin on a real socket, scripted by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from rpc.methods import BATCHES, PATHS, SPELLINGS, Spelling, path

Answer = Mapping[str, Any] | int | Callable[[dict[str, Any]], Any]
"""A reply, an HTTP status to refuse with, or a function of the arguments that gives one of the two."""


class Hanging:
    """Answers `{}` once the test says so: it waits for `leave`, and ``asked`` tells that somebody waits for it."""

    def __init__(self) -> None:
        self.asked, self.leave = asyncio.Event(), asyncio.Event()

    async def __call__(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.set()
        await self.leave.wait()
        return {}


class Peer:
    """A plugin whose answers a test may change at any time; it remembers what it was asked, by method and by path."""

    def __init__(self, answers: Mapping[str, Answer], spelling: Spelling | None, token: str | None) -> None:
        self.answers = dict(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        """Of every request, whatever it was answered."""
        self.batches = False
        """Whether batches are answered, each call by itself."""
        self._spellings = SPELLINGS if spelling is None else (spelling,)
        self._token = token
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def args(self, method: str) -> list[dict[str, Any]]:
        """The arguments of every call of `method`, in order."""
        return [args for asked, args in self.asked if asked == method]

    def nodes(self, method: str) -> list[str]:
        """The display name of the node of every call of `method`, in order."""
        return [(args.get("node") or args["new"])["displayName"] for args in self.args(method)]

    async def start(self) -> None:
        """Listen, on the port of the last time where there was one."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.paths.append(request.path)
        self.headers.append(request.headers)
        if self._token is not None and request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=403)
        method = PATHS.get(request.path)
        if self.batches and method in BATCHES.values():
            answer = self.answers.get(str(method).removesuffix(".batch"), {})
            replies = [answer(call) if callable(answer) else answer for call in orjson.loads(body)["calls"]]
            replies = [{"error": {"status": each}} if isinstance(each, int) else each for each in replies]
            return web.Response(body=orjson.dumps({"replies": replies}))
        spelt_so = any(method is not None and path(method, spelling) == request.path for spelling in self._spellings)
        if method is None or not spelt_so or method not in self.answers:
            return web.Response(status=404)
        args = orjson.loads(body)
        self.asked.append((str(method), args))
        self.bodies.append(body)
        answer = self.answers[method]
        if callable(answer):
            answer = answer(args)
            if asyncio.iscoroutine(answer):
                answer = await answer
        if isinstance(answer, int):
            return web.Response(status=answer, text="no, not now")
        return web.Response(body=orjson.dumps(answer), content_type="application/json")
