"""What each node read and wrote is told to an OpenLineage server, in events as its specification has them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

from engine.testing import Oarlock
from tests.examples.use_cases.conftest import CASES, Receiver, Serve, assert_told

WORKFLOW = (CASES / "lineage/workflow.yaml").read_text()

SCHEMA = """
type: object
required: [eventTime, producer, schemaURL, run, job]
properties:
  eventType: {enum: [START, RUNNING, COMPLETE, ABORT, FAIL, OTHER]}
  eventTime: {type: string, format: date-time, pattern: "T.*(Z|[+-][0-9]{2}:[0-9]{2})$"}
  producer: {$ref: "#/$defs/uri"}
  schemaURL: {const: "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"}
  run:
    $ref: "#/$defs/run"
    properties:
      facets:
        additionalProperties: {$ref: "#/$defs/facet"}
        properties:
          parent: {required: [run, job], properties: {run: {$ref: "#/$defs/run"}, job: {$ref: "#/$defs/named"}}}
          errorMessage: {required: [message, programmingLanguage]}
  job: {$ref: "#/$defs/named"}
  inputs: {type: array, items: {$ref: "#/$defs/named"}}
  outputs: {type: array, items: {$ref: "#/$defs/named"}}
$defs:
  uri: {type: string, pattern: "^https?://[^ ]+$"}
  named: {type: object, required: [namespace, name], properties: {namespace: {type: string}, name: {type: string}}}
  run:
    type: object
    required: [runId]
    properties: {runId: {type: string, pattern: "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"}}
  facet:
    type: object
    required: [_producer, _schemaURL]
    properties: {_producer: {$ref: "#/$defs/uri"}, _schemaURL: {$ref: "#/$defs/uri"}}
"""
"""RunEvent of OpenLineage's specification 2-0-2, as far as it goes here."""


def check(event: dict[str, Any]) -> None:
    """Against the schema, and against the classes that OpenLineage's own client generates from the specification."""
    Draft202012Validator(yaml.safe_load(SCHEMA), format_checker=FormatChecker()).validate(event)
    RunEvent(
        eventType=RunState(event["eventType"]),
        eventTime=event["eventTime"],
        run=Run(event["run"]["runId"]),
        job=Job(event["job"]["namespace"], event["job"]["name"]),
        producer=event["producer"],
    )


def test_every_node_is_a_run_with_its_datasets(oarlock: Oarlock, serve: Serve, receiver: Receiver) -> None:
    plugin = serve("lineage/lineage.py", "lineage/lineage.mjs", OPENLINEAGE_URL=receiver.url)
    result = oarlock.run(WORKFLOW, plugins=[plugin], outcomes={"report": {"phase": "Failed", "message": "no paper"}})
    assert result.phase == "Failed"
    events = [body for path, _, body in receiver.got if path == "/api/v1/lineage"]
    for event in events:
        check(event)
    assert [(each["eventType"], each["job"]["namespace"], each["job"]["name"]) for each in events] == [
        ("START", "default", "orders.clean"),
        ("COMPLETE", "default", "orders.clean"),
        ("START", "default", "orders.report"),
        ("FAIL", "default", "orders.report"),
    ]
    raw, clean = ({"namespace": "s3://lake", "name": f"orders/{name}"} for name in ("raw.csv", "clean.parquet"))

    def datasets(event: dict[str, Any], key: str) -> list[dict[str, str]]:
        return [{name: each[name] for name in ("namespace", "name")} for each in event[key]]

    assert [datasets(each, "inputs") for each in events] == [[raw], [raw], [clean], [clean]]
    assert [datasets(each, "outputs") for each in events] == [[clean], [clean], [], []]
    runs = [each["run"]["runId"] for each in events]
    assert runs[0] == runs[1] != runs[2] == runs[3]
    assert len({each["run"]["facets"]["parent"]["run"]["runId"] for each in events}) == 1
    assert "no paper" in events[3]["run"]["facets"]["errorMessage"]["message"]
    with pytest.raises(Exception, match="runId"):
        check({**events[0], "run": {}})
    assert_told("lineage", oarlock.run(WORKFLOW, plugins=[plugin]))


def test_the_pass_is_made_again_where_nobody_took_an_event(oarlock: Oarlock, serve: Serve, receiver: Receiver) -> None:
    plugin = serve("lineage/lineage.py", "lineage/lineage.mjs", OPENLINEAGE_URL=receiver.url)
    receiver.statuses = [400]
    assert oarlock.run(WORKFLOW, plugins=[oarlock.plugin(plugin, retry={"attempts": 1})]).phase == "Succeeded"
    assert [body["eventType"] for _, _, body in receiver.got] == ["START", "COMPLETE"] * 2
