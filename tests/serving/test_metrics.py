"""`/metrics` of a server: for whoever has its token, in the format that they ask for."""

from __future__ import annotations

import sys

import pytest

from engine import SimulatedExecutor
from tests.serving.inside import HERE, inside, workflow


async def test_metrics_are_served_as_prometheus_reads_them() -> None:
    async with inside(SimulatedExecutor()) as server:
        await server.submit(workflow("one"))
        await server.until("one")
        async with server.session.get(server.url + "/metrics") as response:
            text = await response.text()
            assert (response.status, response.content_type) == (200, "text/plain")
        assert 'oarlock_workflows_finished_total{phase="Succeeded"} 1.0' in text
        assert "process_cpu_seconds_total" in text
        wish = {"Accept": "application/openmetrics-text;version=1.0.0"}
        async with server.session.get(server.url + "/metrics", headers=wish) as response:
            assert response.content_type == "application/openmetrics-text"
            assert (await response.text()).endswith("# EOF\n")


async def test_metrics_want_the_token_as_all_else_does() -> None:
    async with inside(SimulatedExecutor(), listening=HERE._replace(token="secret", loopback=False)) as server:
        assert (await server.ask("GET", "/metrics")).error[:2] == (401, 16)
        headers = {"Authorization": "Bearer secret"}
        async with server.session.get(server.url + "/metrics", headers=headers) as response:
            assert response.status == 200


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "engine.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with inside(SimulatedExecutor()) as server:
        answer = await server.ask("GET", "/metrics")
        assert answer.error == (501, 12, "metrics: prometheus-client is not installed: pip install 'oarlock[metrics]'")
        assert (await server.ask("GET", "/healthz")).status == 200
