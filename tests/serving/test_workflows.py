"""Workflows are made, shown and deleted as Argo's server does it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine import PendingExecutor
from engine.serving.requests import AT_A_TIME
from tests.serving.inside import Document, inside, leaf, workflow

pytestmark = pytest.mark.usefixtures("engine_or_fleet")

ALL = "/api/v1/workflows/"
HERE = "/api/v1/workflows/default"


async def test_a_workflow_is_made_and_ends() -> None:
    async with inside() as server:
        made = await server.submit(workflow("one"))
        assert made["metadata"]["namespace"] == "default"
        assert made["kind"] == "Workflow"
        assert made["apiVersion"] == "argoproj.io/v1alpha1"
        ended = await server.until("one")
        assert ended["status"]["phase"] == "Succeeded"
        assert list(ended["status"]["nodes"]) == ["one"]
        assert int(ended["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        for field in ("uid", "creationTimestamp", "name"):
            assert ended["metadata"][field] == made["metadata"][field]
        assert await server.get("one") == ended
        labels = ended["metadata"]["labels"]
        assert labels == {"workflows.argoproj.io/phase": "Succeeded", "workflows.argoproj.io/completed": "true"}


async def test_what_only_a_server_says_is_not_taken_from_a_manifest() -> None:
    async with inside(PendingExecutor()) as server:
        manifest = workflow("one")
        manifest["metadata"] |= {"uid": "mine", "resourceVersion": "5", "creationTimestamp": "2001-01-01T00:00:00Z"}
        manifest["status"] = {"phase": "Succeeded", "nodes": {}}
        made = await server.submit(manifest)
        assert made["metadata"]["uid"] != "mine"
        assert made["metadata"]["creationTimestamp"] > "2020"
        assert made["status"] == {}


async def test_what_is_to_be_a_text_and_is_null_is_an_empty_one() -> None:
    """As Go reads them: a client that reads texts could not read a list in which one is null."""
    async with inside(PendingExecutor()) as server:
        metadata = {"name": "a", "labels": {"app": None, "b": "c"}, "annotations": {"Example.com/x": None}}
        for path, field in ((HERE, "workflow"), ("/api/v1/workflow-templates/default", "template")):
            manifest = workflow(podMetadata={"labels": {"p": None}}, nodeSelector={"zone": None, "disk": "ssd"})
            manifest["spec"]["templates"][0]["metadata"] = {"annotations": {"q": None}}
            status, made = await server.ask("POST", path, {field: {**manifest, "metadata": metadata}})
            assert status == 200, made
            assert made["spec"]["podMetadata"] == {"labels": {"p": ""}}
            assert made["spec"]["nodeSelector"] == {"zone": "", "disk": "ssd"}
            assert made["spec"]["templates"][0]["metadata"] == {"annotations": {"q": ""}}
            assert made["metadata"]["labels"] == {"app": "", "b": "c"}
            assert made["metadata"]["annotations"] == {"Example.com/x": ""}
        listed = (await server.ask("GET", f"{HERE}?listOptions.labelSelector=app=")).body
        assert [each["metadata"]["name"] for each in listed["items"]] == ["a"]


def passing(value: Any, default: Any, choices: list[Any]) -> Document:
    """A spec with values of parameters wherever there may be some; a plugin, and items, with what looks so."""
    given = {"parameters": [{"name": "a", "value": value, "enum": choices}]}
    step = {"name": "x", "template": "one", "arguments": given, "withItems": [{"parameters": [{"value": 1}]}]}
    inputs = {"parameters": [{"name": "a", "default": default}]}
    one = {"name": "one", "inputs": inputs, "plugin": {"x": {"parameters": [{"value": 1}]}}}
    hooks = {"exit": {"template": "one", "arguments": given}}
    templates = [{"name": "main", "steps": [[step]]}, one]
    return {"entrypoint": "main", "arguments": given, "hooks": hooks, "templates": templates}


async def test_values_of_parameters_are_texts() -> None:
    """As Argo's AnyString has them: a client that reads texts could not read a list in which one is a number."""
    spec = passing(5, 1.5, [5, True])
    workflow = {"metadata": {"name": "w"}, "spec": spec}
    cron = {"metadata": {"name": "w"}, "spec": {"schedule": "@yearly", "workflowSpec": spec}}
    async with inside(PendingExecutor()) as server:
        for path, field, manifest in (
            (f"{HERE}/lint", "workflow", workflow),
            (HERE, "workflow", workflow),
            ("/api/v1/workflow-templates/default", "template", workflow),
            ("/api/v1/cron-workflows/default", "cronWorkflow", cron),
        ):
            status, made = await server.ask("POST", path, {field: manifest})
            assert status == 200, made
            assert made["spec"].get("workflowSpec", made["spec"]) == passing("5", "1.5", ["5", "true"])


async def test_a_name_is_taken_until_its_workflow_is_deleted() -> None:
    async with inside() as server:
        await server.submit(workflow("one"))
        await server.until("one")
        answer = await server.ask("POST", HERE, {"workflow": workflow("one")})
        assert answer.error == (409, 6, 'workflows.argoproj.io "one" already exists')
        await server.submit(workflow("one"), "other")
        assert (await server.ask("DELETE", f"{HERE}/one")) == (200, {})
        assert (await server.ask("GET", f"{HERE}/one")).error == (404, 5, 'workflows.argoproj.io "one" not found')
        await server.submit(workflow("one"))


async def test_a_dry_run_makes_nothing() -> None:
    async with inside() as server:
        body = {"workflow": workflow(), "serverDryRun": True}
        status, made = await server.ask("POST", HERE, body)
        assert status == 200
        assert made["metadata"]["name"].startswith("wf-")
        assert made["metadata"]["uid"]
        body = {"workflow": workflow(), "createOptions": {"dryRun": ["All"]}}
        status, made = await server.ask("POST", HERE, body)
        assert status == 200
        assert "name" not in made["metadata"]
        assert (await server.ask("GET", HERE)).body["items"] == []


BAD = {
    "nothing": ({}, 400, 3, "workflow body not specified"),
    "null": ({"workflow": None}, 400, 3, "workflow body not specified"),
    "a list": ([], 400, 3, "body: "),
    "a number for the workflow": ({"workflow": 5}, 400, 3, "workflow"),
    "no spec": ({"workflow": {"metadata": {"name": "a"}}}, 400, 3, "spec: expected a mapping"),
    "no name": ({"workflow": {"spec": {}}}, 400, 3, "metadata.name: expected a name"),
    "an upper case name": ({"workflow": workflow("Upper")}, 400, 3, "metadata.name: expected a DNS-1123 subdomain"),
    "metadata that is a list": ({"workflow": {**workflow("a"), "metadata": []}}, 400, 3, "workflow.metadata"),
    "another kind": ({"workflow": {**workflow("a"), "kind": "CronWorkflow"}}, 400, 3, "workflow.kind: expected"),
    "another version": ({"workflow": {**workflow("a"), "apiVersion": "v1"}}, 400, 3, "workflow.apiVersion: exp"),
    "a kind that is a list": ({"workflow": {**workflow("a"), "kind": ["x"]}}, 400, 3, "workflow.kind"),
    "no entrypoint": ({"workflow": {"metadata": {"name": "a"}, "spec": {}}}, 400, 3, "spec.entrypoint is required"),
    "an unknown template": (
        {"workflow": workflow("a", {"name": "main", "steps": [[{"name": "s", "template": "gone"}]]})},
        400, 3, "template name 'gone' undefined",
    ),
    "an unknown field of a step": (
        {"workflow": workflow("a", {"name": "main", "steps": [[{"name": "s", "tmpl": "x"}]]})}, 400, 3, "tmpl",
    ),
    "a template that is not there": (
        {"workflow": {"metadata": {"name": "a"}, "spec": {"workflowTemplateRef": {"name": "gone"}}}}, 404, 5, "gone",
    ),
    "another namespace": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "namespace": "x"}}}, 400, 3,
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    "a namespace that is a number": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "namespace": 5}}}, 400, 3, "namespace",
    ),
    "a label's name": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "labels": {"a b": "c"}}}}, 400, 3,
        "workflow.metadata.labels: expected keys such as example.com/name, of at most 63 characters, got 'a b'",
    ),
    "a label's value": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "labels": {"x/a": "c" * 64}}}}, 400, 3,
        "workflow.metadata.labels.x/a: expected at most 63 letters",
    ),
    "a label that is a number": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "labels": {"a": 5}}}}, 400, 3,
        "workflow.metadata.labels[...]: expected a string, got a whole number",
    ),
    "an annotation that is a list": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "annotations": {"a": []}}}}, 400, 3,
        "workflow.metadata.annotations[...]: expected a string, got a list",
    ),
    "an annotation of no name": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "annotations": {"a b": ""}}}}, 400, 3,
        "workflow.metadata.annotations: expected keys such as example.com/name",
    ),
    "an owner of no kind": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "ownerReferences": [{"apiVersion": "v1", "name": "b"}]}}},
        400, 3, "workflow.metadata.ownerReferences[0]: expected a kind",
    ),
    "an owner that is a text": (
        {"workflow": {**workflow(), "metadata": {"name": "a", "ownerReferences": ["a"]}}}, 400, 3,
        "workflow.metadata.ownerReferences[0]: expected a mapping, got a string",
    ),
    "a number beyond 64 bits": ({"workflow": workflow("a", priority=1 << 70)}, 400, 3, "body: "),
    "a dry run that is none": ({"workflow": workflow(), "serverDryRun": "maybe"}, 400, 3, "body: "),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
async def test_what_argo_refuses_is_refused_with_its_reason(case: str) -> None:
    body, status, code, message = BAD[case]
    async with inside() as server:
        for path in (HERE, f"{HERE}/lint"):
            answer = await server.ask("POST", path, body)
            assert answer.error[:2] == (status, code), answer
            assert message in answer.error[2]
            assert not server.records.hub.items


BYTES = {
    "nothing": b"",
    "no JSON": b"workflow: yes",
    "half a document": b'{"workflow": {',
    "no text": b'{"workflow": "\xff"}',
    "very deep": b'{"workflow": ' + b"[" * 100_000,
    "deep": b'{"workflow": {"spec": ' + b'{"a":' * 800 + b"1" + b"}" * 800 + b"}}",
    "half a surrogate": b'{"workflow": {"metadata": {"name": "\\ud800"}, "spec": {}}}',
}


@pytest.mark.parametrize("case", BYTES)
async def test_a_body_that_is_no_workflow_is_refused(case: str) -> None:
    async with inside() as server:
        for method, path in (("POST", HERE), ("POST", f"{HERE}/lint"), ("POST", f"{HERE}/submit")):
            status, code, _ = (await server.ask(method, path, data=BYTES[case])).error
            assert (status, code) == (400, 3)


async def test_lint_answers_with_the_manifest() -> None:
    async with inside() as server:
        status, linted = await server.ask("POST", f"{HERE}/lint", {"workflow": workflow("a")})
        assert status == 200
        assert linted["spec"] == workflow("a")["spec"]
        assert linted["metadata"] == {"name": "a", "namespace": "default"}
        assert not server.records.hub.items


async def test_a_namespace_that_is_none_is_refused() -> None:
    async with inside() as server:
        for path in ("/api/v1/workflows/No_Such", ALL):
            for what in ("", "/lint", "/submit") if path != ALL else ("",):
                status, code, message = (await server.ask("POST", path + what, {"workflow": workflow("a")})).error
                assert (status, code) == (400, 3)
                assert message.startswith("namespace: ")


@pytest.mark.parametrize(
    "path",
    [
        "workflows/No_Such",
        "workflow-events/No_Such",
        "stream/events/a%2Fb",
        "workflow-templates/No_Such",
        "cron-workflows/No_Such",
        "archived-workflows?namespace=No_Such",
        "archived-workflows-label-keys?namespace=No_Such",
    ],
)
async def test_a_list_or_a_watch_of_a_namespace_that_can_be_none_is_refused(path: str) -> None:
    async with inside() as server:
        status, code, message = (await server.ask("GET", f"/api/v1/{path}")).error
        assert (status, code) == (400, 3)
        assert message.startswith("namespace: expected a DNS-1123 label")


# Shown


async def test_the_latest_and_one_of_a_uid_are_found() -> None:
    async with inside() as server:
        first = await server.submit(workflow("first"))
        await server.submit(workflow("elsewhere"), "other")
        await server.submit(workflow("second"))
        assert (await server.get("@latest"))["metadata"]["name"] == "second"
        assert (await server.get("first", query=f"?uid={first['metadata']['uid']}"))["metadata"]["name"] == "first"
        answer = await server.ask("GET", f"{HERE}/second?uid={first['metadata']['uid']}")
        assert answer.error == (404, 5, 'workflows.argoproj.io "second" not found')
        assert (await server.ask("GET", f"{ALL}empty/@latest")).error[:2] == (404, 5)


async def test_one_is_shown_as_it_is_now_whatever_revision_is_asked_for() -> None:
    async with inside() as server:
        await server.submit(workflow("a"))
        for revision in ("", "0", "1"):
            assert (await server.get("a", query=f"?getOptions.resourceVersion={revision}"))["metadata"]["name"] == "a"
        answer = await server.ask("GET", f"{HERE}/a?getOptions.resourceVersion=abc")
        assert answer.error[:2] == (400, 3)


async def test_fields_are_chosen_or_left_out() -> None:
    async with inside() as server:
        await server.submit(workflow("one"))
        await server.until("one")
        found = await server.get("one", query="?fields=metadata.name,status.phase")
        assert found == {"metadata": {"name": "one"}, "status": {"phase": "Succeeded"}}
        found = await server.get("one", query="?fields=-status.nodes,spec")
        assert "spec" not in found
        assert "nodes" not in found["status"]
        assert found["status"]["phase"] == "Succeeded"
        found = await server.get("one", query="?fields=status.nodes.one.phase")
        assert found == {"status": {"nodes": {"one": {"phase": "Succeeded"}}}}
        found = await server.get("one", query="?fields=status.nodes")
        assert list(found) == ["status"]
        assert found["status"]["nodes"]["one"]["displayName"] == "one"
        assert await server.get("one", query="?fields=nothing") == {}


# Deleted


async def test_deleting_stops_what_runs() -> None:
    stopped = list[str]()

    class Watched(PendingExecutor):
        def stop(self, workflow: Any, node: Any) -> None:
            stopped.append(node.id)

    async with inside(Watched()) as server:
        await server.submit(workflow("one"))
        await server.until("one", "Running")
        while not (await server.get("one"))["status"].get("nodes"):
            pass
        assert await server.ask("DELETE", f"{HERE}/one?force=true") == (200, {})
        assert stopped == ["one"]
        assert (await server.ask("GET", ALL)).body["items"] == []
        assert (await server.ask("DELETE", f"{HERE}/one")).error[:2] == (404, 5)


async def test_deleting_holds_to_its_preconditions() -> None:
    async with inside() as server:
        made = await server.submit(workflow("one"))
        path = f"{HERE}/one?deleteOptions.preconditions.uid="
        status, code, message = (await server.ask("DELETE", f"{path}other")).error
        assert (status, code) == (409, 10)
        assert made["metadata"]["uid"] in message
        for wrong in ("force=perhaps", "deleteOptions.gracePeriodSeconds=x", "deleteOptions.orphanDependents=x"):
            assert (await server.ask("DELETE", f"{HERE}/one?{wrong}")).error[:2] == (400, 3)
        assert await server.ask("DELETE", f"{HERE}/one?deleteOptions.dryRun=All") == (200, {})
        assert await server.ask("DELETE", path + made["metadata"]["uid"]) == (200, {})


async def test_a_large_workflow_is_shown_whole() -> None:
    async with inside() as server:
        items = [{"name": "s", "template": "leaf", "withSequence": {"count": "700"}}]
        await server.submit(workflow("big", {"name": "main", "steps": [items]}, leaf("leaf")))
        await server.until("big")
        found = await server.get("big")
        assert len(found["status"]["nodes"]) == 702
        assert found["status"]["progress"] == "700/700"
        (listed,) = (await server.ask("GET", HERE)).body["items"]
        assert listed == found
        some = await server.get("big", query="?fields=status.nodes.big")
        assert json.dumps(some).count("displayName") == 1


@pytest.mark.parametrize(
    "items",
    [
        list(range(100_000)),
        ['one, "two", [three], \\'] * 30_000,
        [*range(50_000), "," * 200_000, *range(50_000)],
        ["x" * 300_000],
        ["[" * 200_000, "x" * 200_000, 1],
        ["a", [1, 2], {"b": ","}] * 30_000,
        [None, True, -1.5, ""] * 50_000,
    ],
    ids=[
        "numbers",
        "texts with commas",
        "a large text in the middle",
        "one large text",
        "large texts",
        "what has parts",
        "all kinds",
    ],
)
async def test_a_long_list_is_taken_as_a_short_one_is(items: list[Any]) -> None:
    step = {"name": "s", "template": "leaf", "withItems": items}
    manifest = workflow("long", {"name": "main", "steps": [[step]]}, leaf("leaf"))
    async with inside(PendingExecutor()) as server:
        answer = await server.ask("POST", f"{HERE}/lint", {"workflow": manifest})
        assert answer.status == 200, answer.body
        assert answer.body["spec"] == manifest["spec"]


async def test_a_large_manifest_is_taken_as_a_small_one_is() -> None:
    tasks = [
        {"name": f"t{number}", "template": "leaf", "arguments": {"parameters": [{"name": "p", "value": "\u2603" * 40}]}}
        for number in range(2000)
    ]
    manifest = workflow("big", {"name": "main", "dag": {"tasks": tasks}}, leaf("leaf"))
    async with inside(PendingExecutor()) as server:
        assert len(json.dumps(manifest)) > 3 * AT_A_TIME
        made = await server.submit(manifest)
        assert made["spec"] == manifest["spec"]
        for bad in (b'{"workflow": [' + b"1," * 200_000, b'{"workflow": "' + b"x" * 200_000, b"[" * 200_000):
            assert (await server.ask("POST", HERE, data=bad)).error[:2] == (400, 3)
        assert (await server.ask("POST", f"{HERE}/lint", {"workflow": manifest})).body["spec"] == manifest["spec"]
        nowhere = workflow("big", {"name": "main", "dag": {"tasks": [*tasks, {"name": "t", "template": "no"}]}})
        assert (await server.ask("POST", HERE, {"workflow": nowhere})).error[:2] == (400, 3)
        answer = await server.ask("POST", HERE, {"workflow": manifest, "serverDryRun": "x" * 200_000})
        assert answer.error[:2] == (400, 3)
        assert "serverDryRun" in answer.error[2]
