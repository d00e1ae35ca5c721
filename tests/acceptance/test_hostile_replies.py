"""Replies that are well-formed and still no good: an error of the plugin that names it, and never one of ours."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Workflow
from rpc import Method
from rpc.methods import BATCHES
from rpc.replies import MAX_VALUES
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, workflow

WORKFLOW = [Method.WORKFLOW_PRE_OPERATE, Method.WORKFLOW_POST_OPERATE]
NODE = [Method.NODE_PRE_EXECUTE, Method.NODE_POST_EXECUTE, Method.TEMPLATE_EXECUTE]


def work_for(method: Method) -> Workflow:
    if method is Method.TEMPLATE_EXECUTE:
        return workflow({"name": "leaf", "plugin": {"any": {}}})
    return workflow(container("leaf"))


async def ended(method: Method, reply: Any, plugin: StartPlugin, engine: StartEngine) -> Workflow:
    """The workflow after a plugin that replies so; it is over after one pass or two."""
    oarlock = await engine(await plugin({method: reply}))
    work = work_for(method)
    await oarlock.run([work])
    return work


@pytest.mark.parametrize("many", [[[]] * MAX_VALUES, {f"label-{number}": "x" for number in range(MAX_VALUES)}])
@pytest.mark.parametrize("method", [*WORKFLOW, *NODE, Method.PARAMETERS_ADD])
async def test_a_reply_that_holds_too_much_ends_in_error(
    method: Method, many: Any, plugin: StartPlugin, engine: StartEngine
) -> None:
    work = await ended(method, {"unknown": many}, plugin, engine)
    assert work.phase == "Error"
    message = by_name(work)["work"].message if method in NODE else work.message
    assert message.startswith(f"plugin 'plugin-1', {method}: illegal reply: it holds more than 20000 values, body: ")


PLACES = ["phase", "startedAt", "finishedAt", "message", "progress", "conditions", "outputs", "synchronization"]
ODD: list[Any] = [None, 1, 1.5, True, "Done", [], {}, [None], [1], {"a": None}, {"a": {"b": []}}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("method", WORKFLOW)
async def test_whatever_a_hook_writes_into_the_workflow_is_taken_or_an_error_of_the_plugin(
    method: Method, odd: Any, plugin: StartPlugin, engine: StartEngine
) -> None:
    patches = [{"status": {field: odd}} for field in PLACES]
    patches += [{"metadata": {field: odd}} for field in ("creationTimestamp", "labels", "annotations", "generateName")]
    patches += [{"spec": {field: odd}} for field in ("templates", "arguments", "onExit", "suspend", "priority")]
    for patch in patches:
        oarlock = await engine(await plugin({method: {"workflow": patch}}))
        work = work_for(method)
        for _ in range(3):
            await oarlock.reconcile(work)
        assert "internal error" not in work.message, patch
        if work.phase == "Error":
            assert work.message.startswith(f"plugin 'plugin-1', {method}: "), patch
        Workflow(work.to_dict())


@pytest.mark.parametrize(
    ("patch", "complaint"),
    [
        ({"status": {"phase": None}}, "status.phase may not be changed from 'Running' to None"),
        ({"status": {"phase": "Done"}}, "status.phase may not be changed from 'Running' to 'Done'"),
        ({"status": {"phase": 1}}, "status.phase: expected a string, got a whole number"),
        ({"status": {"phase": {}}}, "status.phase: expected a string, got a mapping"),
        ({"status": None}, "status may not become None"),
        ({"status": {"conditions": [None]}}, "status.conditions[0]: expected a mapping, got nothing"),
        ({"metadata": {"labels": {"a": ["b"]}}}, "metadata.labels may only hold strings"),
    ],
)
async def test_what_a_hook_may_not_write_is_told(
    patch: Any, complaint: str, plugin: StartPlugin, engine: StartEngine
) -> None:
    work = await ended(Method.WORKFLOW_PRE_OPERATE, {"workflow": patch}, plugin, engine)
    assert (work.phase, work.message) == ("Error", f"plugin 'plugin-1', workflow.preOperate: {complaint}")


async def test_a_finished_workflow_is_not_taken_back(plugin: StartPlugin, engine: StartEngine) -> None:
    def run_on(args: dict[str, Any]) -> dict[str, Any]:
        return {"workflow": {"status": {"phase": "Running"}}}

    work = await ended(Method.WORKFLOW_POST_OPERATE, run_on, plugin, engine)
    complaint = "status.phase may not be changed from 'Succeeded' to 'Running'"
    assert (work.phase, work.message) == ("Error", f"plugin 'plugin-1', workflow.postOperate: {complaint}")


async def test_a_workflow_that_waits_for_a_lock_need_not_say_since_when(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"workflow.preOperate": {"workflow": {"status": {"startedAt": None}}}})
    oarlock = await engine(peer)
    first, second = (
        workflow({"name": "leaf", "suspend": {}}, name=name, synchronization={"mutexes": [{"name": "m"}]})
        for name in ("first", "second")
    )
    await oarlock.reconcile(first)
    await oarlock.reconcile(second)
    assert (first.phase, second.phase) == ("Running", "Pending")


@pytest.mark.parametrize("kind", ["labels", "annotations"])
async def test_labels_and_annotations_are_bounded_over_all_passes(
    kind: str, plugin: StartPlugin, engine: StartEngine
) -> None:
    seen = 0

    def more(args: dict[str, Any]) -> dict[str, Any]:
        nonlocal seen
        seen += 1
        return {"workflow": {"metadata": {kind: {f"{seen}": "x" * 100_000}}}}

    work = await ended(Method.WORKFLOW_PRE_OPERATE, more, plugin, engine)
    assert work.phase == "Succeeded"
    oarlock = await engine(await plugin({Method.WORKFLOW_PRE_OPERATE: more}))
    work = workflow({"name": "leaf", "suspend": {}})
    for _ in range(3):
        await oarlock.reconcile(work)
    assert work.phase == "Error"
    assert f"metadata.{kind} may hold 262144 characters, not 3000" in work.message


@pytest.mark.parametrize(
    ("method", "batched"), [(method, batched) for method in NODE for batched in {False, method in BATCHES}]
)
@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        ({"phase": 1}, "Expected `str | null`, got `int` - at `$.node.phase`"),
        (
            {"phase": "succeeded"},
            "Invalid enum value 'succeeded' - at `$.node.phase`, expected one of Pending, Running, Succeeded, ",
        ),
        ({"message": []}, "$.node.message"),
        ({"progress": {}}, "$.node.progress"),
        ({"outputs": []}, "$.node.outputs"),
        ({"outputs": {"parameters": [None]}}, "$.node.outputs.parameters[0]"),
        ({"outputs": {"parameters": [{"name": None}]}}, "$.node.outputs.parameters[0].name"),
        ({"outputs": {"parameters": [{"name": "a", "value": {}}]}}, "$.node.outputs.parameters[0].value"),
        ({"outputs": {"artifacts": {}}}, "$.node.outputs.artifacts"),
        ({"outputs": {"artifacts": [{"name": "a", "path": 1}]}}, "artifacts[0].path: expected a string"),
        ({"outputs": {"result": 1}}, "$.node.outputs.result"),
        ({"outputs": {"exitCode": 1}}, "$.node.outputs.exitCode"),
        ({"id": None}, "the node's id may not be changed from 'work' to None"),
        ({"name": "x"}, "the node's name may not be changed from 'work' to 'x'"),
    ],
)
async def test_what_a_node_may_not_be_is_told(
    method: Method, node: Any, complaint: str, batched: bool, plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({method: {"node": node}})
    peer.batches = batched
    oarlock = await engine(peer)
    work = work_for(method)
    await oarlock.run([work])
    assert work.phase == "Error"
    assert by_name(work)["work"].message.startswith(f"plugin 'plugin-1', {method}: ")
    assert complaint in by_name(work)["work"].message


@pytest.mark.parametrize("node", [None, {}, {"phase": None, "message": None, "progress": None, "outputs": None}])
@pytest.mark.parametrize("method", [Method.NODE_PRE_EXECUTE, Method.NODE_POST_EXECUTE])
async def test_null_of_a_node_is_not_said(method: Method, node: Any, plugin: StartPlugin, engine: StartEngine) -> None:
    work = await ended(method, {"node": node, "requeue": None}, plugin, engine)
    assert work.phase == "Succeeded"


@pytest.mark.parametrize("parameters", [[], "x", {"a": None}, {"a": 1}, {"a": {}}])
async def test_parameters_that_are_no_texts_are_told(parameters: Any, plugin: StartPlugin, engine: StartEngine) -> None:
    work = await ended(Method.PARAMETERS_ADD, {"parameters": parameters}, plugin, engine)
    assert work.phase == "Error"
    assert work.message.startswith("plugin 'plugin-1', parameters.add: illegal reply: Expected ")
