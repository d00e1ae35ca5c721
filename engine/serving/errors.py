"""Errors as Argo Server answers them: gRPC's codes, and the HTTP statuses that its gateway makes of them."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web

from engine.operations.errors import AlreadySubmitted, Draining, OperationError, TooManyWorkflows, UnknownWorkflow
from engine.storage.store import StoreError
from rpc.logs import get_logger
from rpc.statuses import in_one_line

_log = get_logger(__name__)


class Code(IntEnum):
    """Those of gRPC's status codes that are answered (google.golang.org/grpc/codes)."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


HTTP: Final = {
    Code.CANCELLED: 408,
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
"""As `runtime.HTTPStatusFromCode` of grpc-gateway has them."""

_BY_ERROR: Final = (
    (AlreadySubmitted, Code.ALREADY_EXISTS),
    (TooManyWorkflows, Code.RESOURCE_EXHAUSTED),
    (Draining, Code.UNAVAILABLE),
    (UnknownWorkflow, Code.NOT_FOUND),
    (OperationError, Code.INVALID_ARGUMENT),
    (StoreError, Code.UNAVAILABLE),
)
"""What an engine and its store raise; the first that fits counts."""

_BY_HTTP: Final = {404: Code.NOT_FOUND, 405: Code.UNIMPLEMENTED}


class ApiError(Exception):
    """What is wrong with a request, for whoever sent it: answered as ``{"code", "message"}``."""

    def __init__(self, code: Code, message: str, *, status: int | None = None) -> None:
        super().__init__(in_one_line(message))
        self.code = code
        self.status = HTTP[code] if status is None else status

    @property
    def body(self) -> dict[str, object]:
        """As the gateway's `runtime.Error` has it."""
        return {"code": int(self.code), "message": str(self)}

    @property
    def in_stream(self) -> dict[str, object]:
        """As the gateway's `runtime.StreamError` has it: an answer that has begun has its status already."""
        status = HTTPStatus(self.status)
        return {"grpc_code": int(self.code), "http_code": status, "message": str(self), "http_status": status.phrase}


def invalid(message: str) -> ApiError:
    """The request is wrong in itself."""
    return ApiError(Code.INVALID_ARGUMENT, message)


def not_found(kind: str, name: str) -> ApiError:
    """There is no such thing, said as Kubernetes says it: ``workflows.argoproj.io "x" not found``."""
    return ApiError(Code.NOT_FOUND, f'{kind} "{name}" not found')


def exists(kind: str, name: str) -> ApiError:
    """There is one of that name, said as Kubernetes says it."""
    return ApiError(Code.ALREADY_EXISTS, f'{kind} "{name}" already exists')


def api_error(error: Exception, request: web.Request) -> ApiError:
    """What is answered where a request ends with that error: a mistake of ours tells nobody more than the log."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, web.HTTPException):  # what aiohttp's server itself refuses
        code = _BY_HTTP.get(error.status, Code.INTERNAL if error.status >= 500 else Code.INVALID_ARGUMENT)
        return ApiError(code, error.reason, status=error.status)
    for kind, known in _BY_ERROR:
        if isinstance(error, kind):
            return ApiError(known, str(error))
    _log.error("internal error", method=request.method, path=request.path, exc_info=error)
    return ApiError(Code.INTERNAL, "internal error")


def answered(error: ApiError) -> web.Response:
    """The response to whoever asked."""
    headers = {"WWW-Authenticate": "Bearer"} if error.code is Code.UNAUTHENTICATED else None
    return web.Response(
        status=error.status, body=orjson.dumps(error.body), content_type="application/json", headers=headers
    )
