"""Whatever is sent as a template or a CronWorkflow is kept or refused: nothing is the server's own mistake."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.keeping import LEAF, SPEC, Served, served

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)


def _mapping(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = ["name", "namespace", "labels", "a", "value", "expression", "parameters", "templates", "uid", "generation"]
    return st.dictionaries(st.sampled_from(names), inner, max_size=3)


_ANYTHING = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=2) | _mapping(inner), max_leaves=6)


def _field(*usual: Any) -> st.SearchStrategy[Any]:
    return st.one_of(*map(st.just, usual), _ANYTHING)


def _some_of(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


_METADATA = _field({"name": "a"}) | _some_of(
    {
        "name": _field("a"),
        "generateName": _field("a-"),
        "namespace": _field("default"),
        "labels": _field({"a": "b"}),
        "annotations": _field({"a": "b"}),
        "resourceVersion": _field("1"),
        "generation": _ANYTHING,
        "ownerReferences": _ANYTHING,
    }
)
_WORKFLOW_SPEC = _field(SPEC) | _some_of(
    {"entrypoint": _field("leaf"), "templates": _field([LEAF]), "arguments": _ANYTHING, "workflowMetadata": _ANYTHING}
)
_CRON_SPEC = _some_of(
    {
        "schedules": _field(["@hourly"], ["0 * * * *"]),
        "schedule": _field("@daily"),
        "timezone": _field("UTC"),
        "workflowSpec": _WORKFLOW_SPEC,
        "workflowMetadata": _ANYTHING,
        "startingDeadlineSeconds": _field(10),
        "successfulJobsHistoryLimit": _field(1),
        "when": _field("true", "{{= 1 }}"),
        "stopStrategy": _field({"expression": "cronworkflow.failed > 1"}),
        "concurrencyPolicy": _field("Forbid"),
        "suspend": _ANYTHING,
    }
)


def _documents(spec: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = {"metadata": _METADATA, "spec": spec, "status": _ANYTHING, "kind": _ANYTHING, "apiVersion": _ANYTHING}
    return _some_of(fields) | st.fixed_dictionaries({"metadata": _METADATA, "spec": spec}) | _ANYTHING


async def send(it: Served, path: str, body: Any) -> None:
    for method, place in (("POST", f"{path}/lint"), ("POST", path), ("PUT", f"{path}/a"), ("GET", path)):
        status, answer = await it.ask(method, place, body if method != "GET" else None)
        assert status in (200, 400, 404, 409), (method, place, body, answer)
        assert status == 200 or answer.keys() == {"code", "message"}


@pytest.mark.parametrize(
    ("path", "field", "spec"),
    [
        ("workflow-templates/default", "template", _WORKFLOW_SPEC),
        ("cluster-workflow-templates", "template", _WORKFLOW_SPEC),
        ("cron-workflows/default", "cronWorkflow", _CRON_SPEC),
    ],
)
async def test_no_document_is_too_much(path: str, field: str, spec: st.SearchStrategy[Any]) -> None:
    async with served() as it:
        bodies: list[Any] = []

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(_documents(spec), st.sampled_from([{}, {"createOptions": {"dryRun": ["All"]}}]))
        def collect(document: Any, options: Any) -> None:
            bodies.append({field: document, **options})

        collect()
        for body in bodies:
            await send(it, path, body)
            await it.firing.turn()
            it.clock.now += 3600
        await it.firing.turn()
