"""A server in the test's own process, on a real socket, with leaves that end at once, or when a test says so."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import ClientSession, web

from engine import Engine, Executor, Fleet, MemoryStore, SimulatedExecutor, Store
from engine.serving.connections import Connections
from engine.serving.records import Records
from engine.serving.server import Listening, answering
from engine.serving.shelves import Shelves
from tests.cluster.inside import Inside as InThisProcess

Document = dict[str, Any]
HERE = Listening("127.0.0.1", 0, None, True, None)

sharded = False
"""Whether workflows are in the shards of a fleet: see the fixture `engine_or_fleet`."""


class Answer(NamedTuple):
    """A status and the JSON that came with it."""

    status: int
    body: Any

    @property
    def error(self) -> tuple[int, int, str]:
        """Of an error: status, code and message, and that there is nothing else."""
        assert set(self.body) == {"code", "message"}, self.body
        assert "Traceback" not in self.body["message"]
        assert "\n" not in self.body["message"]
        return self.status, self.body["code"], self.body["message"]


class Inside:
    """The server, and a client of it."""

    def __init__(self, engine: Engine | Fleet, store: Store, records: Records, runner: web.AppRunner) -> None:
        self.engine, self.store, self.records, self.runner = engine, store, records, runner
        self.port: int = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = ClientSession()

    async def ask(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] = {}, data: bytes | None = None
    ) -> Answer:
        """What is answered; a ``body`` is sent as JSON."""
        given = dict(headers)
        if body is not None or data is not None:
            given.setdefault("Content-Type", "application/json")
            data = json.dumps(body).encode() if data is None else data
        sent = None if data is None else io.BytesIO(data)
        async with self.session.request(method, self.url + path, data=sent, headers=given) as response:
            return Answer(response.status, json.loads(await response.read()))

    async def submit(self, document: Document, namespace: str = "default") -> Document:
        """Create a workflow; it is as it was answered."""
        status, body = await self.ask("POST", f"/api/v1/workflows/{namespace}", {"workflow": document})
        assert status == 200, body
        created: Document = body
        return created

    async def get(self, name: str, namespace: str = "default", query: str = "") -> Document:
        """A workflow."""
        status, body = await self.ask("GET", f"/api/v1/workflows/{namespace}/{name}{query}")
        assert status == 200, body
        found: Document = body
        return found

    async def put(self, name: str, what: str, body: object = None, namespace: str = "default") -> Answer:
        """Do something to a workflow."""
        return await self.ask("PUT", f"/api/v1/workflows/{namespace}/{name}/{what}", body if body is not None else {})

    async def until(self, name: str, *phases: str, namespace: str = "default") -> Document:
        """The workflow, once it is in one of these phases; by default any of its end."""
        async with self.session.get(
            f"{self.url}/api/v1/workflow-events/{namespace}?listOptions.fieldSelector=metadata.name={name}"
        ) as response:
            async for line in response.content:
                workflow: Document = json.loads(line)["result"]["object"]
                if workflow["status"].get("phase") in (phases or ("Succeeded", "Failed", "Error")):
                    return workflow
        raise AssertionError(f"{name} did not get there")


@asynccontextmanager
async def inside(
    executor: Executor | None = None,
    store: Store | None = None,
    listening: Listening = HERE,
    connections: Connections | None = None,
    **options: Any,
) -> AsyncIterator[Inside]:
    """Serve within this block; the engine is drained at its end."""
    store = store or MemoryStore()
    options |= {"executor": executor or SimulatedExecutor(), "store": store, "clock": time.time}
    engine = Fleet(over=InThisProcess(), **options) if sharded else Engine(**options)
    async with (
        engine,
        Records(engine, store) as records,
        Shelves(engine, store) as shelves,
        answering(engine, store, records, shelves, listening, connections) as runner,
    ):
        serving = asyncio.create_task(engine.serve())
        server = Inside(engine, store, records, runner)
        try:
            async with server.session:
                yield server
        finally:
            engine.drain(1.0)
            await serving
            records.hub.close()


def workflow(name: str = "", *templates: Document, **spec: Any) -> Document:
    """A manifest; without templates of one leaf, without a name with a generated one."""
    metadata = {"name": name} if name else {"generateName": "wf-"}
    templates = templates or (leaf("main"),)
    return {"metadata": metadata, "spec": {"entrypoint": templates[0]["name"], "templates": list(templates), **spec}}


def leaf(name: str, **fields: Any) -> Document:
    """A template of a container."""
    return {"name": name, "container": {"image": "i", "command": ["true"]}, **fields}
