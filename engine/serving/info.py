"""What the server is, how it is, and who asks."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version

from aiohttp import web

from engine.reconciler import Reconciler
from engine.serving.answers import answer_json
from engine.serving.guard import Handler

STUCK = 30.0
"""Seconds for which the loop over workflows may hand out nothing though something is queued and none is in flight."""


class Info:
    """The operations that are about no workflow."""

    def __init__(self, engine: Reconciler, *, named: bool) -> None:
        self._engine = engine
        self._named = named

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        return {
            "InfoService_GetInfo": self.info,
            "InfoService_GetUserInfo": self.user,
            "InfoService_GetVersion": self.version,
        }

    async def info(self, request: web.Request) -> web.Response:
        """Argo's InfoResponse: no namespace is the only one, and there is nothing to add to Argo's page."""
        return answer_json({"managedNamespace": "", "links": [], "columns": [], "navColor": "", "modals": {}})

    async def user(self, request: web.Request) -> web.Response:
        """Argo's GetUserInfoResponse: whoever has the token, or anybody where there is none."""
        return answer_json({"issuer": "oarlock", "subject": "token" if self._named else "anonymous"})

    async def version(self, request: web.Request) -> web.Response:
        """Argo's Version, every field of which clients rely on; what is Go's there is Python's here."""
        return answer_json(
            {
                "version": f"v{version('oarlock')}",
                "buildDate": "1970-01-01T00:00:00Z",  # not known, as in a build of Argo's that was not told
                "gitCommit": "",
                "gitTag": "",
                "gitTreeState": "",
                "goVersion": f"python{platform.python_version()}",
                "compiler": platform.python_implementation(),
                "platform": f"{sys.platform}/{platform.machine()}",
            }
        )

    async def healthy(self, request: web.Request) -> web.Response:
        """``/healthz``: whether the loop over workflows turns and the store takes what is written."""
        return _told(self._engine, self._illness())

    async def ready(self, request: web.Request) -> web.Response:
        """``/readyz``: whether a workflow that is submitted now would be taken in."""
        health = self._engine.health
        why = "draining" if health.draining else "full" if health.full else self._illness()
        return _told(self._engine, why)

    def _illness(self) -> str:
        """Why the server is not well; empty where it is."""
        health = self._engine.health
        if not health.turning and not health.draining:
            return "the loop over workflows does not turn"
        if health.queued and not health.in_flight and (health.since_turn or 0.0) > STUCK:
            return f"the loop over workflows has not turned for {health.since_turn:.0f} s"
        return f"the store failed: {health.store}" if health.store else ""


def _told(engine: Reconciler, why: str) -> web.Response:
    health = engine.health
    counts = {"workflows": health.workflows, "queued": health.queued, "inFlight": health.in_flight}
    return answer_json({"status": why or "ok", **counts}, status=503 if why else 200)
