"""Each operation of Argo's API has its row, and what is in no row is answered as Argo's server does."""

from __future__ import annotations

import re

import pytest

from engine import PendingExecutor
from engine.serving.routes import OPERATIONS
from tests.serving.inside import inside

MEANINGLESS = ("EventSource", "Sensor", "Sync")


def filled(path: str) -> str:
    """A path with something in place of each variable."""
    return re.sub(r"\{\w+\}", "x", path)


def test_rows_are_told_apart_by_method_and_path() -> None:
    assert len({(each.method, each.path) for each in OPERATIONS}) == len(OPERATIONS)


async def test_what_needs_a_cluster_is_not_implemented_and_says_so() -> None:
    async with inside(PendingExecutor()) as server:
        refused = [each for each in OPERATIONS if each.name.startswith(MEANINGLESS)]
        assert len(refused) >= 15
        for each in refused:
            body: object = None if each.method in ("GET", "DELETE") else {}
            status, code, message = (await server.ask(each.method, filled(each.path), body)).error
            assert (status, code) == (501, 12)
            assert each.name in message


@pytest.mark.parametrize(
    "path", ["/page", "/page/", "/api", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/workflows", "/x?y=1"]
)
async def test_paths_that_there_are_not(path: str) -> None:
    async with inside(PendingExecutor()) as server:
        assert (await server.ask("GET", path)).error == (404, 5, "Not Found")


async def test_methods_that_there_are_not() -> None:
    async with inside(PendingExecutor()) as server:
        for method, path in (
            ("PATCH", "/api/v1/workflows/default"),
            ("DELETE", "/api/v1/workflows/default"),
            ("POST", "/api/v1/workflows/default/a/stop"),
            ("PUT", "/api/v1/version"),
            ("POST", "/healthz"),
        ):
            assert (await server.ask(method, path, {})).error == (405, 12, "Method Not Allowed")


async def test_the_server_says_what_it_is() -> None:
    async with inside(PendingExecutor()) as server:
        status, version = await server.ask("GET", "/api/v1/version")
        assert status == 200
        assert set(version) == {
            "version", "buildDate", "gitCommit", "gitTag", "gitTreeState", "goVersion", "compiler", "platform",
        }  # fmt: skip
        assert all(isinstance(each, str) for each in version.values())
        status, info = await server.ask("GET", "/api/v1/info")
        assert (status, info["managedNamespace"], info["links"]) == (200, "", [])
        assert (await server.ask("GET", "/api/v1/userinfo")) == (200, {"issuer": "oarlock", "subject": "anonymous"})
        assert (await server.ask("GET", "/healthz")).status == 200
        assert (await server.ask("GET", "/readyz")).status == 200
