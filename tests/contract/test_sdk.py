"""A plugin on the SDK, with typed arguments, answers as the contract says, whatever schemathesis makes up to ask."""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from rpc.plugin import Plugin, Unavailable
from tests.contract.conftest import OPENAPI, PATHS, json_of, resolved, validator
from tests.processes import PATIENCE

EXAMPLES = int(os.environ.get("OARLOCK_REQUESTS", "3"))
"""Requests of each operation; ``OARLOCK_REQUESTS=1000`` is for when there is time."""

NOT_OF_BATCHES: list[CheckFunction] = [negative_data_rejection, positive_data_acceptance]
"""A schema cannot say that a call's template is one of the batch; one that no call is about is not looked at."""

schema = schemathesis.openapi.from_path(
    OPENAPI,
    config=schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}}),
)


@schema.include(tag="short").parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
def test_every_request_is_answered_as_the_contract_says(case: schemathesis.Case[Any], sdk: str) -> None:
    excluded = NOT_OF_BATCHES if case.path.endswith(".batch") else []
    case.call_and_validate(base_url=sdk, excluded_checks=excluded)


@pytest.mark.parametrize("path", PATHS)
def test_the_examples_are_answered_at_every_path(path: str, sdk: str) -> None:
    operation = PATHS[path]["post"]
    asked, answered = json_of(operation["requestBody"]), json_of(operation["responses"]["200"])
    for example in asked["examples"].values():
        with requests.post(sdk + path, json=example["value"], timeout=PATIENCE) as response:
            assert response.status_code == 200
            validator(answered["schema"]).validate(response.json())


async def test_refusals_are_as_the_contract_says() -> None:
    plugin = Plugin("refusing")

    @plugin.on("node.preExecute")
    def is_busy(args: dict[str, Any]) -> None:
        raise Unavailable("not now", retry_after=2)

    @plugin.on("node.postExecute")
    def breaks(args: dict[str, Any]) -> None:
        raise KeyError("a")

    told = {"/node.preExecute": 503, "/node.postExecute": 500, "/parameters.add": 404}
    async with plugin.serve() as address, aiohttp.ClientSession(address) as session:
        for path, status in told.items():
            responses = PATHS[path]["post"]["responses"]
            async with session.post(path, json={}) as response:
                assert response.status == status
                assert ("Retry-After" in response.headers) == (status == 503)
                part = responses.get(str(status), responses["default"])
                validator(resolved(part)["content"]["application/json"]["schema"]).validate(await response.json())
