"""A plugin on the SDK, with typed arguments, answers as the contract says, whatever schemathesis makes up to ask."""

from __future__ import annotations

import os
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.contract.conftest import OPENAPI, PATHS, json_of, validator

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
        with requests.post(sdk + path, json=example["value"], timeout=10) as response:
            assert response.status_code == 200
            validator(answered["schema"]).validate(response.json())
