"""Artifacts of a run, downloaded: a file as it is, a folder as an archive, or looked into file by file.

What a workflow made is shown to a browser with the rights of nobody: it may not run scripts, nor be put into the page
of another site (Argo's `Content-Security-Policy` and `X-Frame-Options`).
"""

from __future__ import annotations

import asyncio
import errno
import html
import mimetypes
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from engine.executors.executor import Keeping
from engine.reconciler import Reconciler
from engine.serving.archives import packed
from engine.serving.errors import ApiError, Code, invalid, not_found
from engine.serving.guard import Handler
from engine.serving.records import Record, Records
from engine.shape import Document
from engine.substitution.variables import text_of
from rpc.logs import get_logger

HEADERS: Final = {
    "Content-Security-Policy": (
        "sandbox; base-uri 'none'; default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
}
"""Argo's defaults, and that a file is what it is said to be."""

ARTIFACTS: Final = "artifacts"

_log = get_logger(__name__)


class ArtifactFiles:
    """The operations that answer with what leaves have left."""

    def __init__(self, engine: Reconciler, records: Records) -> None:
        self._executor, self._records = engine.executor, records

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "ArtifactService_GetOutputArtifact": self.output,
            "ArtifactService_GetOutputArtifactByUID": self.output,
            "ArtifactService_GetInputArtifact": self.input,
            "ArtifactService_GetInputArtifactByUID": self.input,
            "ArtifactService_GetArtifactFile": self.file,
        }

    async def output(self, request: web.Request) -> web.StreamResponse:
        """What a node left, by the workflow's name or uid; a folder as a .tgz."""
        return await self._whole(request, "outputs")

    async def input(self, request: web.Request) -> web.StreamResponse:
        """What a node was given, likewise."""
        return await self._whole(request, "inputs")

    async def _whole(self, request: web.Request, direction: str) -> web.StreamResponse:
        match = request.match_info
        record = self._by_uid(match["uid"]) if "uid" in match else self._records.find(match["namespace"], match["name"])
        found, path = await self._found(record, match["nodeId"], direction, match["artifactName"])
        if isinstance(found, bytes):
            return web.Response(body=found, headers=_headers(match["artifactName"], path))
        if await asyncio.to_thread(found.is_dir):
            return await _archive(request, found)
        return await asyncio.to_thread(_Opened, found, _headers(found.name, path))

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file in what a node left, or a page that lists those of a folder; its ``index.html`` where there is one."""
        match = request.match_info
        if match["artifactDiscriminator"] != "outputs":
            raise invalid(f"expected outputs behind the node, got {match['artifactDiscriminator']!r}")
        if match["idDiscriminator"] in ("workflows", "workflow"):  # as Argo's page, and as its document has it
            record = self._records.find(match["namespace"], match["id"])
        elif match["idDiscriminator"] == "archived-workflows":
            record = self._by_uid(match["id"])
        else:
            raise invalid(f"expected workflows or archived-workflows, got {match['idDiscriminator']!r}")
        found, path = await self._found(record, match["nodeId"], "outputs", match["artifactName"])
        if isinstance(found, bytes):
            return web.Response(body=found, headers=_headers(match["artifactName"], path))
        return await asyncio.to_thread(_entry, found, path, match.get("path"), str(request.rel_url.raw_path))

    def _by_uid(self, uid: str) -> Record:
        record = self._records.hub.items.get(uid)
        if record is None:
            raise not_found("workflows.argoproj.io", uid)
        return record

    async def _found(self, record: Record, node_id: str, direction: str, name: str) -> tuple[Path | bytes, str]:
        """Where an artifact is, or what it is, and its path in the container. Raises `ApiError`."""
        node = (await self._records.workflow(record)).committed().get(node_id)
        if node is None:
            raise not_found("node", node_id)
        values: Document | None = node.outputs
        if direction == "inputs":
            values = orjson.loads(bytes(node.inputs)) if node.inputs else None
        artifact = next((each for each in (values or {}).get(ARTIFACTS) or () if each.get("name") == name), None)
        if artifact is None:
            raise not_found("artifact", name)
        if artifact.get("raw") is not None:
            return text_of(artifact["raw"].get("data") or "").encode(), str(artifact.get("path") or "")
        if not isinstance(self._executor, Keeping):
            raise ApiError(Code.NOT_FOUND, f'artifact "{name}": leaves were simulated, so there is no file')
        try:
            place = await asyncio.to_thread(self._executor.file_of, record.uid, artifact)
        except LookupError as error:
            raise ApiError(Code.NOT_FOUND, f'artifact "{name}": {error}') from None
        return place, str(artifact.get("path") or "")


class _Opened(web.FileResponse):
    """A file that is sent as it was when it was found, whatever its name comes to mean meanwhile.

    It is sent by its descriptor. By its name aiohttp would look for a compressed one beside it, which is another
    artifact.
    """

    _descriptor = -1

    def __init__(self, path: Path, headers: Mapping[str, str]) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ApiError(Code.NOT_FOUND, f"{path.name}: {error.strerror}") from None
        super().__init__(f"/proc/self/fd/{self._descriptor}", headers=headers)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it."""
        try:
            return await super().prepare(request)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    __del__ = close


def _headers(name: str, path: str = "") -> dict[str, str]:
    """What Argo's server says of a file of that name; where that has no extension, its path in the container may."""
    shown = quote(name, safe=" !#$&'()+,;=@[]^`{}~")
    type_ = mimetypes.guess_type(name)[0] or mimetypes.guess_type(path)[0] or "application/octet-stream"
    return {"Content-Disposition": f'filename="{shown}"', "Content-Type": type_, **HEADERS}


async def _archive(request: web.Request, folder: Path) -> web.StreamResponse:
    """A folder, packed while it is sent: as fast as the client takes it, in pieces."""
    response = web.StreamResponse(headers={**_headers(f"{folder.name}.tgz"), "Content-Type": "application/gzip"})
    await response.prepare(request)
    pieces = packed(folder)
    try:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            if piece:
                await response.write(piece)
        await response.write_eof()
    except OSError as error:  # half of it is not to be taken for a whole one, nor is an error's answer to be part of it
        _log.warning("archive given up", folder=str(folder), reason=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response


def _entry(artifact: Path, called: str, path: str | None, url: str) -> web.StreamResponse:
    """What lies in an artifact under that path; None is the artifact itself, which its container ``called`` so."""
    parts = [part for part in (path or "").split("/") if part]
    if any(part in (".", "..") or "\0" in part for part in parts):
        raise invalid(f"expected a path within the artifact, got {path!r}")
    place = artifact.joinpath(*parts)
    real = Path(os.path.realpath(place))
    try:
        is_folder = stat.S_ISDIR(real.stat().st_mode)
        if not real.is_relative_to(os.path.realpath(artifact)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if is_folder:
            return _page(real, url)
    except OSError as error:
        raise ApiError(Code.NOT_FOUND, f"{'/'.join((artifact.name, *parts))!r}: {error.strerror}") from None
    return _Opened(real, _headers(place.name, "" if parts else called))


def _page(folder: Path, url: str) -> web.StreamResponse:
    """What is in a folder, for a browser, or where its own page is. Raises `OSError`."""
    if not url.endswith("/"):
        return _redirect(f"{url}/")
    if (folder / "index.html").is_file():
        return _redirect(f"{url}index.html")
    names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in folder.iterdir())
    items = "".join(f'<li><a href="./{quote(name)}">{html.escape(name)}</a></li>\n' for name in names)
    page = f"<!DOCTYPE html>\n<html><body><ul>\n{items}</ul></body></html>\n"
    return web.Response(text=page, content_type="text/html", charset="utf-8", headers=HEADERS)


def _redirect(url: str) -> web.Response:
    return web.Response(status=307, headers={"Location": f"/{url.lstrip('/')}", **HEADERS})
