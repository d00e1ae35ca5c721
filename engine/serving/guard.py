"""Who may ask for anything: a token, or on loopback nobody from elsewhere, be it by way of a browser."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from engine.serving.errors import ApiError, Code, answered
from engine.serving.page import FILES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN: Final = frozenset({"/healthz", "/readyz", *FILES})
"""What is answered without a token."""

UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def is_loopback(host: str) -> bool:
    """Whether whoever is bound to, or asked for, `host` is reached from this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def is_gone(request: web.Request) -> bool:
    """Whether nobody is there any more to be answered."""
    return request.transport is None or request.transport.is_closing()


def guard(token: str | None, *, loopback: bool) -> Middleware:
    """The middleware that refuses: without the token, from another site's page, or by another name than loopback's.

    A page that a browser has from elsewhere may send a request here, though it cannot read the answer: such a request
    carries an ``Origin`` or ``Sec-Fetch-Site``. A name that somebody lets point to 127.0.0.1 (DNS rebinding) would
    make their page one of our own; the ``Host`` header tells.
    """
    expected = None if token is None else token.encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if loopback and not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
                raise ApiError(Code.PERMISSION_DENIED, f"Host: expected a name of loopback, got {request.host!r}")
            _refuse_other_sites(request)
            if expected is not None and request.path not in OPEN:
                _refuse_strangers(request, expected)
        except ApiError as error:
            return answered(error)
        except ValueError:
            return answered(ApiError(Code.INVALID_ARGUMENT, f"Host: expected a name and a port, got {request.host!r}"))
        return await handler(request)

    return check


def _refuse_other_sites(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise ApiError(Code.PERMISSION_DENIED, f"Origin: expected a page of this server's, got {origin!r}")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise ApiError(Code.PERMISSION_DENIED, "Sec-Fetch-Site: expected a page of this server's")
    if request.method in UNSAFE and request.body_exists and not _no_form_sends(request):
        raise ApiError(
            Code.INVALID_ARGUMENT,
            f"Content-Type: expected application/json, got {request.content_type!r}",
            status=415,
        )


def _no_form_sends(request: web.Request) -> bool:
    """Whether it says that its body is JSON, or says nothing of it and has a header that no page may set for another
    site: `argo` over HTTP/1 sends no ``Content-Type``, but always ``Authorization``, be it empty."""
    if "Content-Type" in request.headers:
        return request.content_type == "application/json"
    return "Authorization" in request.headers


def _refuse_strangers(request: web.Request, expected: bytes) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(errors="replace"), expected):
        raise ApiError(Code.UNAUTHENTICATED, "expected the header Authorization: Bearer with the token of this server")
