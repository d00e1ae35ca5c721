"""Reading what a client sends: bodies of JSON, and the options of a list or a watch in the query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from engine.model.pace import Pace, Pieces
from engine.serving.errors import ApiError, Code, invalid
from engine.serving.guard import Handler
from engine.shape import explain

Document = dict[str, Any]

_T = TypeVar("_T")

BODY_TIMEOUT: Final = 30.0
"""Seconds that the body of a request may take to arrive."""

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of a request's body, five times what Kubernetes lets a workflow have. One look at all of it takes some 10 ms in
which the event loop does nothing else."""

MAX_LIMIT: Final = 10_000
"""Items of a page at most, whatever a client asks for; the next page follows by ``continue``."""


class Body(msgspec.Struct, rename="camel"):
    """What all bodies have in common: fields of Argo's that are not read here are let pass, as protobuf does."""


class CreateOptions(Body):
    """Kubernetes'."""

    dry_run: list[str] | None = None


async def read_body(request: web.Request, type_: type[_T]) -> _T:
    """The request's body. Raises `ApiError` that names the field and what was expected."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await request.read()
    except TimeoutError:
        raise ApiError(Code.CANCELLED, f"expected the request's body within {BODY_TIMEOUT:g} s", status=408) from None
    except web.RequestPayloadError as error:
        raise invalid(f"body: expected one as its header says: {' '.join(str(error).split())}") from None
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(Code.RESOURCE_EXHAUSTED, f"body: expected at most {MAX_BODY >> 20} MiB", status=413) from None
    try:
        if len(body) <= AT_A_TIME:
            return msgspec.json.decode(body or b"{}", type=type_)
        found = request[LARGE] = list[Any]()
        await PACE.through(_pieces(body, found.append))
        return msgspec.convert(found[0], type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"body: {explain(str(error)) or 'expected JSON'}") from None


LARGE: Final = web.RequestKey("large", list[Any])
"""A large body's place in its request: to free one takes as long as a turn of the event loop may (`letting_go`)."""


@web.middleware
async def letting_go(request: web.Request, handler: Handler) -> web.StreamResponse:
    """See to it that a large body that nobody has kept is freed in another thread."""
    try:
        return await handler(request)
    finally:
        if LARGE in request:
            asyncio.get_running_loop().run_in_executor(None, request.pop(LARGE).clear)


AT_A_TIME: Final = 128 * 1024
"""Bytes of JSON that are decoded in one go, which takes about a millisecond."""

PACE: Final = Pace()
"""Of all requests together."""


def _pieces(raw: bytes | msgspec.Raw, take: Callable[[Any], None]) -> Pieces:
    """Decode JSON and hand it over: of what is large first where its parts are, then those."""
    data = memoryview(raw)
    head = bytes(data[:1024])
    first = head.lstrip()[:1]
    if len(data) <= AT_A_TIME or first not in (b"{", b"["):
        take(msgspec.json.decode(data))
    elif first == b"{":
        mapping: Document = {}
        parts = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        yield
        for name, part in parts.items():
            yield from _pieces(part, partial(mapping.__setitem__, name))
        take(mapping)
    elif b"{" not in head and b"{" not in (text := bytes(data)) and text.count(b"[") == 1:
        yield from _values(text, take)
    else:
        several = list[Any]()
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
        yield
        for part in items:
            yield from _pieces(part, several.append)
        take(several)
    yield


def _values(text: bytes, take: Callable[[Any], None]) -> Pieces:
    """Decode a list of numbers and texts, of which there may be a million, and hand it over: it is cut at commas. What
    is cut within a text is no JSON, and taken with what follows."""
    several = list[Any]()
    at, size = text.index(b"[") + 1, AT_A_TIME
    while at + size < len(text):
        end = text.rfind(b",", at, at + size)  # -1 where one text is all of that
        try:
            some = msgspec.json.decode(b"[%b]" % text[at : max(end, at)], type=list[Any])
        except ValueError:
            some = []
        several += some
        at, size = (end + 1, AT_A_TIME) if some else (at, size * 2)
        yield
    some = msgspec.json.decode(b"[" + text[at:], type=list[Any])
    if several and not some:
        raise msgspec.DecodeError("JSON is malformed: expected a value after the last comma")
    take(several + some)


class ListOptions(msgspec.Struct, frozen=True):
    """``listOptions`` of Kubernetes, as far as they count. ``limit`` 0 is no limit, ``seconds`` None no end."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    token: str = ""
    since: int = 0
    """The ``resourceVersion``."""
    seconds: float | None = None


def list_options(request: web.Request) -> ListOptions:
    """Those in the query, as ``listOptions.limit=10``. Raises `ApiError`."""
    query = request.query
    for name in ("watch", "allowWatchBookmarks", "sendInitialEvents"):  # which change nothing here
        flag(request, f"listOptions.{name}")
    return ListOptions(
        labels=query.get("listOptions.labelSelector", ""),
        fields=query.get("listOptions.fieldSelector", ""),
        limit=min(number(request, "listOptions.limit") or 0, MAX_LIMIT),
        token=query.get("listOptions.continue", ""),
        since=revision_of(request, "listOptions"),
        seconds=float(number(request, "listOptions.timeoutSeconds") or 0) or None,
    )


def revision_of(request: web.Request, options: str) -> int:
    """The ``resourceVersion`` of the ``options``, 0 where there is none. Raises `ApiError` for what can be none."""
    return number(request, f"{options}.resourceVersion", what="a number that a list or an event has told") or 0


def wants_deletion(request: web.Request, uid: str, revision: str) -> bool:
    """What the ``deleteOptions`` of a deletion say: false where it is only tried.

    Raises `ApiError` where a precondition does not hold for what has that ``uid`` and is of that ``revision``.
    """
    query = request.query
    number(request, "deleteOptions.gracePeriodSeconds")
    flag(request, "deleteOptions.orphanDependents")
    for field, what, found in (("uid", "UID", uid), ("resourceVersion", "ResourceVersion", revision)):
        wanted = query.get(f"deleteOptions.preconditions.{field}")
        if wanted and wanted != found:
            raise ApiError(Code.ABORTED, f"Precondition failed: {what} in precondition: {wanted}, it is {found}")
    return not query.get("deleteOptions.dryRun")


def number(request: web.Request, name: str, least: int = 0, *, what: str = "") -> int | None:
    """A whole number of the query, None where it is not given. Raises `ApiError`, with ``what`` was expected."""
    text = request.query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= least):
        raise invalid(f"{name}: expected {what or f'a number of {least} or more'}, got {text!r}")
    return int(text)


def flag(request: web.Request, name: str) -> bool:
    """A boolean of the query, false where it is not given. Raises `ApiError`."""
    return boolean(name, request.query.get(name, ""))


def boolean(name: str, text: str) -> bool:
    """What a text says that is one, false where it is empty. Raises `ApiError`, with the ``name`` of what has it."""
    if text.lower() not in ("", "true", "false", "1", "0"):
        raise invalid(f"{name}: expected true or false, got {text!r}")
    return text.lower() in ("true", "1")


def time_of(request: web.Request, name: str) -> datetime | None:
    """A time of the query, None where it is not given. Raises `ApiError`."""
    text = request.query.get(name, "")
    return moment_of(name, text) if text else None


def moment_of(name: str, text: str) -> datetime:
    """The time that a text is, in UTC where it has no offset. Raises `ApiError`, with the ``name`` of what has it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{name}: expected a time such as 2024-05-01T12:00:00Z, got {text!r}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
