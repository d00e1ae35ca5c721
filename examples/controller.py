"""A controller: takes workflows over HTTP, runs their containers as processes, and goes on after a restart.

python examples/controller.py --config examples/plugins.toml

docs/embedding.md goes through it piece by piece.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from aiohttp import web

from engine import (
    AlreadySubmitted,
    Commit,
    Draining,
    Engine,
    EngineOptions,
    InvalidDocument,
    InvalidWorkflow,
    ManifestError,
    Node,
    NotFinished,
    OperationError,
    Result,
    SqliteStore,
    Store,
    StoreError,
    TooManyWorkflows,
    Workflow,
    WorkflowHandle,
    parse,
)

log = logging.getLogger("controller")

KEEPING = '"$@" > output 2> log; echo $? > code'


class Processes:
    """An executor. A leaf is a process with a folder of its own, `FOLDER/<workflow uid>/<node id>`, and may outlive us.

    As long as it runs, `lock` in its folder is locked; when it has ended, `code` has its exit code.
    """

    engine: Engine

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watched: dict[Path, threading.Thread] = {}

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        command = template.get("container", {}).get("command")
        if not command:
            return Result("Error", "expected a container with a command")
        if self.adopt(workflow, template, node):
            return None
        place = self.place(workflow, node)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        with (place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the process has it from us, and until its end
            process = subprocess.Popen(
                ["sh", "-c", KEEPING, "sh", *command, *template["container"].get("args", ())],
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
        (place / "pid").write_text(str(process.pid))
        self.watch(workflow, node.id, place, process)
        return None

    def adopt(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> bool:
        place = self.place(workflow, node)
        if place not in self.watched:
            if not (place / "code").exists() and not is_running(place):
                return False
            self.watch(workflow, node.id, place)
        return True

    def stop(self, workflow: Workflow, node: Node) -> None:
        place = self.place(workflow, node)
        self.watched.pop(place, None)
        if is_running(place):
            os.killpg(int((place / "pid").read_text()), signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)

    def place(self, workflow: Workflow, node: Node) -> Path:
        return self.folder / workflow.uid / node.id

    def watch(
        self, workflow: Workflow, node_id: str, place: Path, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        lock = (place / "lock").open()
        thread = threading.Thread(target=self.wait, args=(workflow, node_id, place, lock, process), daemon=True)
        self.watched[place] = thread
        thread.start()

    def wait(
        self, workflow: Workflow, node_id: str, place: Path, lock: TextIO, process: subprocess.Popen[bytes] | None
    ) -> None:
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
        if process is not None:
            process.wait()
        if self.watched.get(place) is not threading.current_thread():
            return  # it was stopped
        del self.watched[place]
        try:
            code, output = (place / "code").read_text().strip(), (place / "output").read_text().strip()
            result = Result("Failed" if int(code) else "Succeeded", outputs={"result": output, "exitCode": code})
        except (OSError, ValueError) as error:
            result = Result("Error", f"it has left nothing behind: {error}")
        with contextlib.suppress(RuntimeError):  # we are ending: the next process is asked whether it adopts it
            self.engine.report_threadsafe(workflow, node_id, result)


def is_running(place: Path) -> bool:
    try:
        with (place / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


class Service:
    """What is asked of the engine over HTTP."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self.engine = engine
        self.store = store
        self.app = web.Application(middlewares=[refuse])
        self.app.add_routes(
            [
                web.post("/manifests", self.take),
                web.get("/workflows/{namespace}/{name}", self.show),
                web.delete("/workflows/{namespace}/{name}", self.delete),
                web.get("/finished/{uid}", self.show_finished),
                web.get("/livez", self.live),
                web.get("/readyz", self.ready),
            ]
        )

    async def take(self, request: web.Request) -> web.Response:
        """Templates and ConfigMaps count from now on, and workflows are submitted; `?wait` waits for their end."""
        manifests = await asyncio.to_thread(parse, await request.read(), named="body", strict=True)
        for shelf in (manifests.workflow_templates, manifests.cluster_workflow_templates, manifests.config_maps):
            for manifest in shelf.values():
                self.engine.templates.put(manifest.document)
                await self.store.put(manifest.document["kind"], manifest.namespace, manifest.name, manifest.document)
        handles = []
        for manifest in manifests.workflows:
            handle = self.engine.submit(await Workflow.loaded(manifest.document))
            await self.engine.saved(handle)  # it is on the disk before we say that we have it
            handles.append(handle)
        if "wait" in request.query:
            await asyncio.gather(*(handle.finished() for handle in handles))
        return web.json_response([seen(handle) for handle in handles], status=202)

    async def show(self, request: web.Request) -> web.Response:
        handle = self.find(request)
        return web.json_response({**seen(handle), "waitingFor": self.engine.waiting_for(handle)})

    async def delete(self, request: web.Request) -> web.Response:
        await self.engine.delete(self.find(request))
        return web.Response(status=204)

    async def show_finished(self, request: web.Request) -> web.Response:
        assert self.engine.archive is not None
        workflow = await self.engine.archive.get(request.match_info["uid"])
        if workflow is None:
            raise web.HTTPNotFound
        return web.Response(body=await workflow.encoded(), content_type="application/json")

    async def live(self, request: web.Request) -> web.Response:
        health = self.engine.health
        return web.json_response(status=200 if health.turning and health.longest_pass < 300 else 503)

    async def ready(self, request: web.Request) -> web.Response:
        return web.json_response(status=200 if self.engine.health.ready else 503)

    def find(self, request: web.Request) -> WorkflowHandle:
        handle = self.engine.find("{namespace}/{name}".format_map(request.match_info))
        if handle is None:
            raise web.HTTPNotFound
        return handle


def seen(handle: WorkflowHandle) -> dict[str, str]:
    return {"key": handle.key, "uid": handle.workflow.uid, "phase": handle.phase, "progress": handle.progress}


STATUSES: dict[type[Exception], int] = {
    ManifestError: 400,
    InvalidDocument: 400,
    InvalidWorkflow: 400,
    AlreadySubmitted: 409,
    TooManyWorkflows: 429,
    Draining: 503,
    NotFinished: 503,
    StoreError: 503,
    OperationError: 422,  # what all the others are
}


@web.middleware
async def refuse(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except tuple(STATUSES) as error:
        status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
        return web.json_response({"message": str(error)}, status=status)


class Lines(logging.Formatter):
    """A line of JSON for each record, with the fields that it may have."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: getattr(record, name) for name in ("workflow", "node", "plugin") if hasattr(record, name)}
        line = {"level": record.levelname, "logger": record.name, "message": record.getMessage(), **fields}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


async def serve(config: Path | None, folder: Path, port: int) -> None:
    processes, store = Processes(folder / "leaves"), SqliteStore(folder / "workflows.db")
    options: EngineOptions = {"executor": processes, "store": store, "max_workflows": 1000, "max_nodes": 100_000}
    engine = Engine(**options) if config is None else Engine.from_config(config, **options)
    processes.engine = engine

    def committed(commit: Commit) -> None:
        if commit.finished:
            log.info("finished", extra={"workflow": commit.workflow.key})
            shutil.rmtree(folder / "leaves" / commit.workflow.uid, ignore_errors=True)

    engine.listeners.append(committed)
    async with engine:
        for kind in ("WorkflowTemplate", "ClusterWorkflowTemplate", "ConfigMap"):
            for item in await store.items(kind):
                engine.templates.put(item.document)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.drain, 10.0)
        runner = web.AppRunner(Service(engine, store).app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        log.info("listening on port %d, with %d workflows from before", port, len(engine.workflows))
        try:
            await engine.serve()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--config", type=Path)
    arguments.add_argument("--folder", type=Path, default=Path("controller"))
    arguments.add_argument("--port", type=int, default=8080)
    given = arguments.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    given.folder.mkdir(exist_ok=True)
    asyncio.run(serve(given.config, given.folder, given.port))
