"""What argo does to workflows, over the API: submit, stop, suspend, resume, set, retry, resubmit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine import MemoryStore, Outcome, Outcomes, PendingExecutor, Result, SimulatedExecutor
from tests.serving.inside import Document, Inside, inside, leaf, workflow

pytestmark = pytest.mark.usefixtures("engine_or_fleet")

HERE = "/api/v1/workflows/default"
GATE = {"name": "gate", "suspend": {}}
ASKING = {
    "name": "gate",
    "suspend": {},
    "outputs": {"parameters": [{"name": "answer", "valueFrom": {"supplied": {}}}]},
}


def steps(*names: str) -> Document:
    """A template that calls these one after the other."""
    return {"name": "main", "steps": [[{"name": each, "template": each}] for each in names]}


async def waiting(server: Inside, name: str = "one") -> Document:
    """The workflow, once a node of it is suspended."""
    while True:
        found = await server.get(name)
        nodes = found["status"].get("nodes") or {}
        if any(each["type"] == "Suspend" and each["phase"] == "Running" for each in nodes.values()):
            return found


async def test_a_suspended_node_is_resumed() -> None:
    async with inside() as server:
        await server.submit(workflow("one", steps("gate", "leaf"), GATE, leaf("leaf")))
        await waiting(server)
        assert (await server.put("one", "resume")).status == 200
        assert (await server.until("one"))["status"]["phase"] == "Succeeded"


async def test_a_workflow_is_suspended_and_resumed() -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("one"))
        await server.until("one", "Running")
        status, found = await server.put("one", "suspend")
        assert status == 200
        assert found["spec"]["suspend"] is True
        status, found = await server.put("one", "resume")
        assert status == 200
        assert "suspend" not in found["spec"]


@pytest.mark.parametrize(("operation", "shutdown"), [("stop", "Stop"), ("terminate", "Terminate")])
async def test_a_workflow_is_ended(operation: str, shutdown: str) -> None:
    async with inside(PendingExecutor()) as server:
        await server.submit(workflow("one"))
        await server.until("one", "Running")
        status, found = await server.put("one", operation, {"message": "enough"})
        assert status == 200
        assert found["spec"]["shutdown"] == shutdown
        assert (await server.until("one"))["status"]["phase"] == "Failed"
        again = await server.put("one", operation)
        assert again.error[:2] == (400, 3)
        assert "Failed" in again.error[2]


async def test_one_node_is_stopped() -> None:
    async with inside() as server:
        await server.submit(workflow("one", steps("gate"), GATE))
        await waiting(server)
        answer = await server.put("one", "stop", {"nodeFieldSelector": "displayName=other"})
        assert answer.error[:2] == (400, 3)
        body = {"nodeFieldSelector": "displayName=gate", "message": "no"}
        assert (await server.put("one", "stop", body)).status == 200
        ended = await server.until("one")
        assert ended["status"]["phase"] == "Failed"
        (gate,) = (each for each in ended["status"]["nodes"].values() if each["displayName"] == "gate")
        assert "no" in gate["message"]


async def test_a_node_is_given_its_outputs_and_ends_later() -> None:
    read = leaf("read", inputs={"parameters": [{"name": "it"}]})
    calls = {
        "name": "main",
        "steps": [
            [{"name": "gate", "template": "gate"}],
            [{"name": "read", "template": "read", "arguments": {"parameters": [
                {"name": "it", "value": "{{steps.gate.outputs.parameters.answer}}"}]}}],
        ],
    }  # fmt: skip
    async with inside() as server:
        await server.submit(workflow("one", calls, ASKING, read))
        await waiting(server)
        gate = {"nodeFieldSelector": "displayName=gate"}
        for wrong in (
            {"outputParameters": '{"other": "x"}'},
            {"outputParameters": "answer=x"},
            {"outputParameters": "[1]"},
            {"phase": "Succeeded"},
            {"phase": "Running"},
            {"phase": "Lost"},
            {"phase": "Skipped"},
            {"phase": "Omitted"},
            {"nodeFieldSelector": "", "phase": "Failed"},
            {"nodeFieldSelector": "colour=red", "phase": "Failed"},
        ):
            answer = await server.put("one", "set", {**gate, **wrong})
            assert answer.error[:2] == (400, 3), wrong
        body = {**gate, "message": "soon", "outputParameters": '{"answer": 42}'}
        assert (await server.put("one", "set", body)).status == 200
        while True:
            nodes = (await server.get("one"))["status"]["nodes"].values()
            (found,) = (each for each in nodes if each["displayName"] == "gate")
            if found.get("message") == "soon":
                break
        assert found["phase"] == "Running"
        assert found["outputs"]["parameters"][0]["value"] == "42"
        assert (await server.put("one", "set", {**gate, "phase": "Succeeded"})).status == 200
        ended = await server.until("one")
        (found,) = (each for each in ended["status"]["nodes"].values() if each["displayName"] == "read")
        assert found["inputs"]["parameters"] == [{"name": "it", "value": "42"}]


async def failed(server: Inside, **spec: Any) -> Document:
    """A workflow of which `good` succeeded and `bad` failed."""
    await server.submit(workflow("one", steps("good", "bad"), leaf("good"), leaf("bad"), **spec))
    ended = await server.until("one")
    assert ended["status"]["phase"] == "Failed"
    return ended


async def test_a_failed_workflow_is_retried() -> None:
    async with inside(SimulatedExecutor(Outcomes({"bad": [Outcome("Failed")]}))) as server:
        ended = await failed(server)
        status, again = await server.put("one", "retry", {"parameters": ["a=b"]})
        assert status == 200
        assert again["metadata"]["uid"] == ended["metadata"]["uid"]
        assert again["status"]["phase"] == again["metadata"]["labels"]["workflows.argoproj.io/phase"] == "Running"
        assert again["spec"]["arguments"]["parameters"] == [{"name": "a", "value": "b"}]
        assert (await server.until("one"))["status"]["phase"] == "Failed"


async def test_which_nodes_to_restart_is_heeded_where_they_are_to_be_restarted() -> None:
    """One option without the other is none (Argo's getNodeIDsToReset)."""
    async with inside(SimulatedExecutor(Outcomes({"bad": [Outcome("Failed")]}))) as server:
        await failed(server)
        for options in ({"restartSuccessful": True}, {"nodeFieldSelector": "displayName=good"}):
            status, again = await server.put("one", "retry", options)
            assert status == 200
            assert "good" in {each["displayName"] for each in again["status"]["nodes"].values()}
            await server.until("one")
        status, again = await server.put("one", "retry", {**options, "restartSuccessful": True})
        assert "good" not in {each["displayName"] for each in again["status"]["nodes"].values()}


async def test_what_succeeded_or_runs_is_not_retried() -> None:
    async with inside() as server:
        await server.submit(workflow("one"))
        await server.until("one")
        assert (await server.put("one", "retry")).error[:2] == (400, 3)
        assert (await server.put("one", "retry", {"parameters": ["ab"]})).error[:2] == (400, 3)
        assert (await server.put("one", "retry", {"restartSuccessful": "x"})).error[:2] == (400, 3)
        body = {"restartSuccessful": True, "nodeFieldSelector": "displayName=one"}
        assert (await server.put("one", "retry", body)).status == 200
        await server.submit(workflow("two", steps("gate"), GATE))
        await waiting(server, "two")
        assert (await server.put("two", "retry")).error[:2] == (400, 3)


async def test_a_workflow_is_resubmitted() -> None:
    async with inside(SimulatedExecutor(Outcomes({"bad": [Outcome("Failed")]}))) as server:
        await failed(server, arguments={"parameters": [{"name": "p", "value": "1"}]})
        status, again = await server.put("one", "resubmit", {"parameters": ["p=2"]})
        assert status == 200
        name = again["metadata"]["name"]
        assert name.startswith("one-")
        assert again["metadata"]["labels"] == {"workflows.argoproj.io/resubmitted-from-workflow": "one"}
        assert again["spec"]["arguments"]["parameters"] == [{"name": "p", "value": "2"}]
        ended = await server.until(name)
        assert ended["status"]["phase"] == "Failed"
        assert len(ended["status"]["nodes"]) == 5


async def test_one_that_was_suspended_as_it_ended_is_resubmitted_so() -> None:
    """Argo's FormulateResubmitWorkflow carries over the spec, but for its end."""
    async with inside() as server:
        await server.submit(workflow("one", suspend=True))
        assert (await server.put("one", "terminate")).status == 200
        await server.until("one")
        _, again = await server.put("one", "resubmit")
        assert (again["spec"]["suspend"], again["spec"].get("shutdown")) == (True, None)


def tree(document: Document) -> list[tuple[str, int]]:
    """The names of nodes without the workflow's, and how many children each has."""
    name, nodes = document["metadata"]["name"], document["status"]["nodes"].values()
    return sorted((each["name"].removeprefix(name), len(each.get("children") or ())) for each in nodes)


async def test_a_memoized_workflow_does_not_run_again_what_succeeded() -> None:
    started = list[str]()

    class Counting(PendingExecutor):
        def start(self, workflow: Any, template: Any, node: Any) -> Result:
            started.append(f"{workflow.name} {node.display_name}")
            return Result("Failed" if template["name"] == "bad" else "Succeeded")

    async with inside(Counting()) as server:
        before = await failed(server)
        status, again = await server.put("one", "resubmit", {"memoized": True})
        assert status == 200
        name = again["metadata"]["name"]
        ended = await server.until(name)
        assert ended["status"]["phase"] == "Failed"
        assert started == ["one good", "one bad", f"{name} bad"]
        assert tree(before) == tree(ended)
        assert all(name in node and "one-" not in node.replace(name, "") for node in ended["status"]["nodes"])


async def test_only_what_failed_is_memoized() -> None:
    async with inside() as server:
        await server.submit(workflow("one"))
        await server.until("one")
        answer = await server.put("one", "resubmit", {"memoized": True})
        assert answer.error == (400, 3, "workflow must be Failed/Error to resubmit in memoized mode")


@pytest.mark.parametrize("operation", ["stop", "terminate", "suspend", "resume", "set", "retry", "resubmit"])
async def test_operations_on_nothing_or_with_nonsense_are_refused(operation: str) -> None:
    async with inside(PendingExecutor()) as server:
        answer = await server.put("gone", operation)
        assert answer.error == (404, 5, 'workflows.argoproj.io "gone" not found')
        await server.submit(workflow("one"))
        assert (await server.put("one", operation, [])).error[:2] == (400, 3)
        answer = await server.ask("PUT", f"{HERE}/one/{operation}", data=b"{")
        assert answer.error[:2] == (400, 3)
        assert (await server.put("one", operation, namespace="other")).error[:2] == (404, 5)


# From what is there

TEMPLATE = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "WorkflowTemplate",
    "metadata": {"name": "build"},
    "spec": {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "branch", "value": "main"}]},
        "templates": [leaf("main"), leaf("other")],
    },
}


async def test_a_template_is_submitted_with_options() -> None:
    async with inside() as server:
        server.engine.templates.put(TEMPLATE, namespace="default")
        server.engine.templates.put({**TEMPLATE, "kind": "ClusterWorkflowTemplate"})
        options = {
            "generateName": "mine-", "entryPoint": "other", "parameters": ["branch=a=b"], "labels": "x=1,y=2",
            "annotations": "z=3", "priority": 7, "serviceAccount": "me",
            "ownerReference": {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": "1", "controller": True},
        }  # fmt: skip
        for kind, label in (
            ("WorkflowTemplate", "workflow-template"),
            ("workflowtemplate", "workflow-template"),
            ("cwft", ""),
            ("ClusterWorkflowTemplate", "cluster-workflow-template"),
        ):
            body = {"resourceKind": kind, "resourceName": "build", "submitOptions": options}
            status, made = await server.ask("POST", f"{HERE}/submit", body)
            if not label:
                assert (status, made["message"]) == (400, "Resource kind 'cwft' is not supported for submitting")
                continue
            assert status == 200, made
            assert made["metadata"]["name"].startswith("mine-")
            assert made["metadata"]["labels"] == {f"workflows.argoproj.io/{label}": "build", "x": "1", "y": "2"}
            assert made["metadata"]["annotations"] == {"z": "3"}
            assert made["metadata"]["ownerReferences"] == [options["ownerReference"]]
            spec = made["spec"]
            assert spec["workflowTemplateRef"]["name"] == "build"
            assert (spec["entrypoint"], spec["priority"], spec["serviceAccountName"]) == ("other", 7, "me")
            assert spec["arguments"]["parameters"] == [{"name": "branch", "value": "a=b"}]
            ended = await server.until(made["metadata"]["name"])
            assert ended["status"]["phase"] == "Succeeded"


async def test_what_a_cron_workflow_makes_is_submitted() -> None:
    cron = {
        "metadata": {"name": "nightly"},
        "spec": {"schedules": ["0 0 * * *"], "workflowSpec": TEMPLATE["spec"]},
    }
    async with inside() as server:
        await server.store.put("CronWorkflow", "default", "nightly", cron)
        body: Document = {"resourceKind": "CronWorkflow", "resourceName": "nightly"}
        status, made = await server.ask("POST", f"{HERE}/submit", body)
        assert status == 200, made
        assert made["metadata"]["name"].startswith("nightly-")
        body["submitOptions"] = {"serverDryRun": True, "name": "exactly"}
        status, made = await server.ask("POST", f"{HERE}/submit", body)
        assert (status, made["metadata"]["name"]) == (200, "exactly")
        assert len(server.records.hub.items) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, 3),
        ({"resourceKind": "Workflow", "resourceName": "build"}, 400, 3),
        ({"resourceKind": "WorkflowTemplate"}, 404, 5),
        ({"resourceKind": "WorkflowTemplate", "resourceName": "gone"}, 404, 5),
        ({"resourceKind": "cronwf", "resourceName": "gone"}, 404, 5),
        ({"resourceKind": "clusterworkflowtemplate", "resourceName": "gone"}, 404, 5),
        ({"resourceKind": "WorkflowTemplate", "resourceName": "build", "submitOptions": 5}, 400, 3),
        *(
            ({"resourceKind": "WorkflowTemplate", "resourceName": "build", "submitOptions": options}, 400, 3)
            for options in (
                {"parameters": ["branch"]},
                {"parameters": "branch=x"},
                {"labels": "x"},
                {"labels": "a b=c"},
                {"annotations": "=x"},
                {"annotations": "a b=x"},
                {"ownerReference": {"name": "one"}},
                {"entryPoint": "gone"},
                {"name": "Upper"},
                {"priority": "high"},
            )
        ),
    ],
)
async def test_submitting_nonsense_is_refused(body: object, status: int, code: int) -> None:
    async with inside() as server:
        server.engine.templates.put(TEMPLATE, namespace="default")
        answer = await server.ask("POST", f"{HERE}/submit", body)
        assert answer.error[:2] == (status, code)
        assert not server.records.hub.items


class Slow(MemoryStore):
    """It deletes a workflow when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def delete(self, uid: str) -> bool:
        self.asked.set()
        await self.let.wait()
        return await super().delete(uid)


async def test_one_that_is_being_deleted_is_not_retried() -> None:
    """It would go on behind everybody's back, under a name that nobody could use any more."""
    store = Slow()
    async with inside(SimulatedExecutor(Outcomes({"leaf": [Outcome("Failed")]})), store) as server:
        await server.submit(workflow("one", leaf("leaf")))
        await server.until("one")
        deleting = asyncio.create_task(server.ask("DELETE", f"{HERE}/one"))
        await store.asked.wait()
        retried = await server.put("one", "retry")
        store.let.set()
        assert (await deleting).status == 200
        assert retried.error == (404, 5, 'workflows.argoproj.io "one" not found')
        assert (await server.ask("GET", HERE)).body["items"] == []
        await server.submit(workflow("one", leaf("leaf")))
