"""The page: a few files of this package, which ask for all else by the API."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

_FOLDER: Final = Path(str(files("engine.serving") / "static"))
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

_HEADERS: Final = {
    "Cache-Control": "no-cache",  # kept, but asked for again each time: another version may be installed by then
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

FILES: Final = {
    "/" if file.name == "index.html" else f"/page/{file.name}": file
    for file in sorted(_FOLDER.iterdir())
    if file.suffix in _TYPES
}
"""By path. They are the same for everybody, and tell nothing of any workflow."""


async def page(request: web.Request) -> web.FileResponse:
    """One of the files; 304 where the client has it already."""
    file = FILES[request.path]
    return web.FileResponse(file, headers={**_HEADERS, "Content-Type": f"{_TYPES[file.suffix]}; charset=utf-8"})
