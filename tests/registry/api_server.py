"""A stand-in for a cluster's API server: it lists ConfigMaps and lets them be watched, as Kubernetes' does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.processes import PATIENCE

LABELS = {"workflows.argoproj.io/configmap-type": "ControllerPlugin"}


def configmap(name: str, labels: dict[str, str] = LABELS, **data: str) -> dict[str, Any]:
    """As the items of a list are: with no kind."""
    return {"metadata": {"name": name, "namespace": "argo", "labels": labels}, "data": data}


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}


class ApiServer:
    """ConfigMaps of the namespace ``argo``, by versions that count up.

    ``asked`` are the verbs and versions of requests. ``forbidden`` are verbs that are. ``oldest`` is the first version
    that can be watched from. ``token`` is the one that is taken.
    """

    def __init__(self) -> None:
        self.configmaps: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.oldest = 0
        self.token = "a-token"
        self.forbidden: set[str] = set()
        self.refuse_with = 0
        self.asked: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.address = ""
        self._events: list[tuple[int, bytes]] = []
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    def put(self, name: str, labels: dict[str, str] = LABELS, **data: str) -> None:
        kind = "MODIFIED" if name in self.configmaps else "ADDED"
        self.configmaps[name] = configmap(name, labels, **data)
        self._tell(kind, self.configmaps[name])

    def delete(self, name: str) -> None:
        self._tell("DELETED", self.configmaps.pop(name))

    def bookmark(self) -> None:
        self._tell("BOOKMARK", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {}})

    def say(self, line: bytes) -> None:
        """To all who watch, or will from what they know now."""
        self.version += 1
        self._events.append((self.version, line))
        self._wake()

    def end_watches(self) -> None:
        cut, self._cut = self._cut, asyncio.Event()
        cut.set()
        self._wake()

    def forget_the_past(self) -> None:
        self.version += 1
        self.oldest = self.version

    def _tell(self, kind: str, item: dict[str, Any]) -> None:
        item["metadata"]["resourceVersion"] = str(self.version + 1)
        document = {"type": kind, "object": {"kind": "ConfigMap", "apiVersion": "v1", **item}}
        self.say(json.dumps(document).encode() + b"\n")

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/api/v1/namespaces/argo/configmaps", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.address = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        self.end_watches()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        verb, version = "watch" if "watch" in request.query else "list", request.query.get("resourceVersion", "")
        self.asked.put_nowait((verb, version))
        if self.refuse_with:
            return web.Response(status=self.refuse_with, text="<html>")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response(status(401, "Unauthorized", "Unauthorized"), status=401)
        if verb in self.forbidden:
            message = (
                f'configmaps is forbidden: User "system:serviceaccount:argo:oarlock" cannot {verb} '
                'resource "configmaps" in API group "" in the namespace "argo"'
            )
            return web.json_response(status(403, "Forbidden", message), status=403)
        if verb == "watch":
            return await self._watched(request, int(version))
        key, _, value = request.query["labelSelector"].partition("=")
        items = [item for item in self.configmaps.values() if item["metadata"]["labels"].get(key) == value]
        metadata = {"resourceVersion": str(self.version)}
        return web.json_response(
            {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items or None}
        )

    async def _watched(self, request: web.Request, since: int) -> web.StreamResponse:
        response, cut = web.StreamResponse(headers={"Content-Type": "application/json"}), self._cut
        await response.prepare(request)
        if since < self.oldest:
            gone = status(410, "Expired", f"too old resource version: {since} ({self.oldest})")
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        told = next((i for i, (version, _) in enumerate(self._events) if version > since), len(self._events))
        while True:
            changed, over = self._changed, cut.is_set()
            for _, line in self._events[told:]:
                await response.write(line)
            told = len(self._events)
            if over:
                return response
            await changed.wait()


def write_kubeconfig(folder: Path, address: str, token: str = "a-token") -> Path:
    file = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    file.write_text(json.dumps(document))
    return file


@asynccontextmanager
async def api_server() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def asked(server: ApiServer, verb: str) -> str:
    """Wait until the server was asked for that; the version."""
    async with asyncio.timeout(PATIENCE):
        while (request := await server.asked.get())[0] != verb:
            pass
    return request[1]
