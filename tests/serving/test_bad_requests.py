"""Whatever is asked, something is answered: no 500, nothing that hangs, and every error says its code and what it is.

The body of a request that goes on without end, a watch or a log, is not waited for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings

from tests.serving.conftest import Served, end, serving
from tests.serving.openapi import THERE, document

EXAMPLES = int(os.environ.get("OARLOCK_REQUESTS", "3"))
"""Requests of each operation; ``OARLOCK_REQUESTS=1000`` is for when there is time."""

schema = schemathesis.openapi.from_dict(
    document(),
    config=schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}}),
)


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that runs nothing: what is made up is better not begun."""
    with serving(tmp_path_factory.mktemp("asked"), executor="simulated") as server:
        spec = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "a", "command": ["a"]}}]}
        kept = {"metadata": {"name": THERE}, "spec": spec}
        server.submit(kept)
        server.wait(THERE)
        server.ask("POST", "/api/v1/workflow-templates/default", {"template": kept})
        server.ask("POST", "/api/v1/cluster-workflow-templates", {"template": kept})
        cron = {"metadata": {"name": THERE}, "spec": {"schedule": "0 0 1 1 *", "workflowSpec": spec}}
        server.ask("POST", "/api/v1/cron-workflows/default", {"cronWorkflow": cron})
        yield server
        end(server)


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
def test_every_request_is_answered(case: schemathesis.Case[Any], asked: Served) -> None:
    given = case.as_transport_kwargs(base_url=asked.url)
    with requests.request(**given, stream=True, timeout=60, allow_redirects=False) as response:
        if response.status_code < 400:
            return
        assert response.status_code < 500 or response.status_code == 501, response.text
        error = response.json()
        assert set(error) == {"code", "message"}
        assert error["message"]
        assert "\n" not in error["message"]
        assert "Traceback" not in error["message"]
