"""``/metrics``, for Prometheus and what reads its formats."""

from __future__ import annotations

from aiohttp import web

from engine.reconciler import Reconciler
from engine.serving.errors import ApiError, Code


class Exposition:
    """The metrics of an engine and of its process, where prometheus-client is installed."""

    def __init__(self, engine: Reconciler) -> None:
        try:
            from engine.metrics import Scraped
        except ModuleNotFoundError as missing:
            if missing.name != "prometheus_client":
                raise
            self._scraped = None
        else:
            self._scraped = Scraped(engine)

    async def metrics(self, request: web.Request) -> web.Response:
        """In the format that the request's ``Accept`` prefers."""
        if self._scraped is None:
            raise ApiError(
                Code.UNIMPLEMENTED, "metrics: prometheus-client is not installed: pip install 'oarlock[metrics]'"
            )
        body, content_type = await self._scraped.text(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
