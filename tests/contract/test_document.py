"""docs/openapi.yaml is the protocol: made from the types, complete, valid, and with the examples of the pages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import validate

from rpc.contract import batch_schema, openapi
from rpc.examples import examples
from rpc.methods import BATCHES, SPELLINGS, Method, path
from rpc.methods import PATHS as EVERY_PATH
from tests.contract.conftest import DOCUMENT, OPENAPI, PATHS, ROOT, json_of, resolved, validator

PROTOCOL = (ROOT / "docs/protocol.md").read_text()


def test_the_documents_are_not_stale() -> None:
    message = "the types have changed: `make contract`"
    assert OPENAPI.read_text() == openapi(), message
    assert (ROOT / "docs/batch.schema.json").read_text() == batch_schema(), message


def test_it_is_openapi() -> None:
    validate(DOCUMENT)


def test_it_has_every_method_and_batch_in_every_spelling() -> None:
    assert PATHS.keys() == EVERY_PATH.keys()
    operations = [each["post"] for each in PATHS.values()]
    assert len({each["operationId"] for each in operations}) == len(operations) == 3 * (len(Method) + len(BATCHES))
    for route in (*Method, *BATCHES.values()):
        short, *others = ({**PATHS[path(route, spelling)]["post"]} for spelling in SPELLINGS)
        for other in others:
            assert {**other, "operationId": "", "tags": []} == {**short, "operationId": "", "tags": []}


@pytest.mark.parametrize("name", [each for each in PATHS if each.count("/") == 1 and each[1].islower()])
def test_its_examples_are_by_its_schemas(name: str) -> None:
    operation = PATHS[name]["post"]
    for part in (operation["requestBody"], operation["responses"]["200"]):
        held = json_of(part)
        values = [each["value"] for each in held["examples"].values()]
        assert values
        for value in values:
            validator(held["schema"]).validate(value)


@pytest.mark.parametrize("name", examples().keys())
def test_its_examples_are_those_of_the_pages(name: str) -> None:
    operation, documented = PATHS[f"/{name}"]["post"], examples()[name]
    sent, replied = (
        [each["value"] for each in json_of(part)["examples"].values()]
        for part in (operation["requestBody"], operation["responses"]["200"])
    )
    assert (sent, replied) == ([documented.arguments], documented.replies)


def test_the_page_has_a_table_of_what_is_sent_and_answered_and_when() -> None:
    table = PROTOCOL.partition("| method | when | is sent | may answer |\n")[2].partition("\n\n")[0]
    told: dict[str, tuple[Any, ...]] = {}
    for line in table.splitlines()[1:]:
        method, when, *keys = (cell.strip() for cell in line.strip("|").split(" | "))
        told[method.strip("`")] = when, *[re.findall(r"`(\w+)`", cell) for cell in keys]
    meant: dict[str, tuple[Any, ...]] = {}
    for method in Method:
        operation = PATHS[f"/{method}"]["post"]
        held = (json_of(part)["schema"] for part in (operation["requestBody"], operation["responses"]["200"]))
        fields = [list(resolved(schema).get("properties", {})) for schema in held]
        meant[method.value] = operation["description"], *fields
    assert told == meant


def test_the_page_has_its_statuses() -> None:
    table = PROTOCOL.partition("## Status codes")[2].partition("\n\n")[2].partition("\n\n")[0]
    told = {int(status) for line in table.splitlines()[2:] for status in re.findall(r"\b\d{3}\b", line.split("|")[1])}
    for name, each in PATHS.items():
        statuses = {int(status) for status in each["post"]["responses"] if status != "default"}
        assert statuses == told - ({204} if name.endswith(".batch") else set())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("/workflow.preOperate", {}),
        ("/workflow.preOperate", {"workflow": {}}),
        ("/workflow.postOperate", {"new": {"metadata": {}}}),
        ("/node.preExecute", {"workflow": {"metadata": {}}, "template": {}, "node": {"id": "a"}}),
        ("/node.preExecute", {"workflow": {"metadata": {}}, "template": {}, "node": {"id": "a", "name": 1}}),
        ("/node.preExecute.batch", {"workflow": {"metadata": {}}, "templates": {}, "calls": []}),
    ],
)
def test_it_refuses_what_is_not_sent(name: str, wrong: dict[str, Any]) -> None:
    assert not validator(json_of(PATHS[name]["post"]["requestBody"])["schema"]).is_valid(wrong)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("/workflow.preOperate", {"workflow": []}),
        ("/parameters.add", {"parameters": {"a": 1}}),
        ("/node.preExecute", {"node": {"phase": "Done"}}),
        ("/node.preExecute", {"node": {"progress": "50%"}}),
        ("/node.preExecute", {"node": {"outputs": {"parameters": [{"value": "1"}]}}}),
        ("/node.preExecute", {"requeue": 5}),
        ("/template.execute", {"requeue": "soon"}),
        ("/node.preExecute.batch", {}),
        ("/node.preExecute.batch", {"replies": [{"error": {}}]}),
    ],
)
def test_it_refuses_what_may_not_be_answered(name: str, wrong: dict[str, Any]) -> None:
    assert not validator(json_of(PATHS[name]["post"]["responses"]["200"])["schema"]).is_valid(wrong)


def test_it_can_be_read_as_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
