"""The application: each operation of the API with who answers it, and what stands before all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from engine.reconciler import Reconciler
from engine.serving.acting import Acting
from engine.serving.archived import Archived
from engine.serving.artifacts import ArtifactFiles
from engine.serving.errors import ApiError, Code, answered, api_error
from engine.serving.events import Events
from engine.serving.exposition import Exposition
from engine.serving.guard import UNSAFE, Handler, is_gone
from engine.serving.info import Info
from engine.serving.live import Live
from engine.serving.logs import Logs
from engine.serving.page import FILES, page
from engine.serving.records import Records
from engine.serving.requests import MAX_BODY, letting_go
from engine.serving.routes import OPERATIONS
from engine.serving.shelves import Shelves
from engine.serving.streams import end_streams
from engine.serving.submitting import Submitting
from engine.serving.workflows import Workflows
from engine.storage.store import Store
from rpc.logs import get_logger

_log = get_logger(__name__)


def application(
    engine: Reconciler, store: Store, records: Records, shelves: Shelves, before: Sequence[Middleware], *, named: bool
) -> web.Application:
    """What answers requests about an engine's workflows. ``before`` is asked first, ``named`` is for `Info`."""
    info = Info(engine, named=named)
    workflows = Workflows(engine, records)
    submitting, acting = Submitting(engine, store, records, workflows), Acting(engine, records, workflows)
    handlers: dict[str, Handler] = {
        **workflows.handlers(),
        **submitting.handlers(),
        **acting.handlers(),
        **Archived(records, workflows.answer, submitting.resubmit_record, acting.retry_record).handlers(),
        **shelves.handlers(),
        **Events(records).handlers(),
        **Logs(engine, records).handlers(),
        **ArtifactFiles(engine, records).handlers(),
        **info.handlers(),
    }
    app = web.Application(
        middlewares=[letting_go, _answering_errors, *before, _unless_draining(engine)], client_max_size=MAX_BODY
    )
    end_streams(app)
    for operation in OPERATIONS:
        path = operation.path.replace("{path}", "{path:.*}")
        path = re.sub(r"\{(\w+)\}$", r"{\1:[^{}/]*}", path)  # the last one may be empty: all namespaces
        app.router.add_route(operation.method, path, handlers.get(operation.name) or _missing(operation.name))
    app.router.add_get("/healthz", info.healthy)
    app.router.add_get("/readyz", info.ready)
    app.router.add_get("/metrics", Exposition(engine).metrics)
    for path in FILES:
        app.router.add_get(path, page)
    Live(engine, records).add_to(app)
    return app


def _missing(name: str) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise ApiError(Code.UNIMPLEMENTED, f"{name} is not implemented by this server")

    return refuse


@web.middleware
async def _answering_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is answered as Argo's server does, and a mistake of ours tells nobody more than the log."""
    try:
        return await handler(request)
    except Exception as error:
        if isinstance(error, OSError) and is_gone(request):
            _log.info("request given up", method=request.method, path=request.path, reason=repr(error))
            return web.Response()
        return answered(api_error(error, request))


def _unless_draining(engine: Reconciler) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in UNSAFE and engine.health.draining:
            raise ApiError(Code.UNAVAILABLE, "the server is draining, and takes in nothing any more")
        return await handler(request)

    return check
