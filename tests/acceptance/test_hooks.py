"""What a plugin's answers do, in every spelling of the protocol."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine import PendingExecutor, Result
from registry import Token
from rpc.methods import Spelling
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, loop, same, steps, workflow
from tests.acceptance.peer import Answer
from tests.acceptance.test_reports import Recorder

SPELLINGS = pytest.mark.parametrize(
    ("spelling", "token"), [("short", None), ("go", None), ("v1", None), ("v1", "s3cret")]
)


def token_settings(token: str | None, tmp_path: Path) -> dict[str, Any]:
    if token is None:
        return {}
    file = tmp_path / "token"
    file.write_text(token)
    return {"token": Token.read(file)}


@SPELLINGS
async def test_parameters_add_makes_a_tag_resolve(
    spelling: Spelling, token: str | None, plugin: StartPlugin, engine: StartEngine, tmp_path: Path
) -> None:
    adder = await plugin({"parameters.add": {"parameters": {"hello": "good morning"}}}, spelling=spelling, token=token)
    witness = await plugin({"node.preExecute": {}})
    leaves = Recorder()
    running = await engine((adder, token_settings(token, tmp_path)), witness, executor=leaves)
    await running.reconcile(workflow(container("main", "echo", "{{hello}}")))
    assert leaves.templates["work"]["container"]["command"] == ["echo", "good morning"]
    (args,) = witness.args("node.preExecute")
    assert args["template"]["container"]["command"] == ["echo", "good morning"], "plugins see what will run"


@SPELLINGS
async def test_workflow_pre_operate_annotates_the_workflow(
    spelling: Spelling, token: str | None, plugin: StartPlugin, engine: StartEngine, tmp_path: Path
) -> None:
    patch = {"metadata": {"annotations": {"hello": "world"}}}
    peer = await plugin({"workflow.preOperate": {"workflow": patch}}, spelling=spelling, token=token)
    running = await engine((peer, token_settings(token, tmp_path)))
    work = workflow(container("main"))
    await running.run([work])
    assert work.phase == "Succeeded"
    assert json.loads(work.encode())["metadata"]["annotations"] == {"hello": "world"}


@SPELLINGS
async def test_node_pre_execute_short_circuits_the_node(
    spelling: Spelling, token: str | None, plugin: StartPlugin, engine: StartEngine, tmp_path: Path
) -> None:
    answer = {"node": {"phase": "Succeeded", "message": "Hello"}}
    peer = await plugin({"node.preExecute": answer}, spelling=spelling, token=token)
    leaves = Recorder()
    running = await engine((peer, token_settings(token, tmp_path)), executor=leaves)
    work = workflow(container("main"))
    await running.run([work])
    assert work.phase == "Succeeded"
    assert by_name(work)["work"].message == "Hello"
    assert leaves.started == {}, "it never ran"
    assert len(peer.args("node.preExecute")) == 1, "a fulfilled node is not asked about again"


async def test_a_wrong_token_is_fatal_and_named(plugin: StartPlugin, engine: StartEngine, tmp_path: Path) -> None:
    peer = await plugin({"workflow.preOperate": {}}, spelling="v1", token="s3cret")
    running = await engine((peer, token_settings("other", tmp_path)))
    work = workflow(container("main"))
    await running.run([work])
    assert work.phase == "Error"
    assert work.message.startswith("plugin 'plugin-1', workflow.preOperate: status 403")
    assert "other" not in work.message


async def test_the_second_plugin_sees_what_the_first_has_changed(plugin: StartPlugin, engine: StartEngine) -> None:
    first = await plugin(
        {
            "workflow.preOperate": {"workflow": {"metadata": {"labels": {"colour": "red"}}}},
            "node.preExecute": {"node": {"message": "seen", "progress": "1/2"}},
        }
    )
    second = await plugin({"workflow.preOperate": {}, "node.preExecute": {}})
    running = await engine(first, second, executor=PendingExecutor())
    await running.reconcile(workflow(container("main")))
    (operate,) = second.args("workflow.preOperate")
    assert operate["workflow"]["metadata"]["labels"]["colour"] == "red"
    (execute,) = second.args("node.preExecute")
    assert execute["node"]["message"] == "seen"
    assert execute["node"]["progress"] == "1/2"
    assert execute["workflow"]["metadata"]["labels"]["colour"] == "red"


async def test_the_plugins_after_one_that_fulfils_a_node_are_not_asked_about_it(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    first = await plugin({"node.preExecute": {"node": {"phase": "Skipped"}}})
    second = await plugin({"node.preExecute": {}})
    running = await engine(first, second)
    work = workflow(container("main"))
    await running.run([work])
    assert by_name(work)["work"].phase == "Skipped"
    assert second.args("node.preExecute") == []


async def test_different_plugins_are_called_in_the_order_of_the_file_for_every_node(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    order: list[tuple[str, str]] = []

    def noting(name: str) -> Mapping[str, Answer]:
        def note(args: dict[str, Any]) -> dict[str, Any]:
            order.append((args["node"]["displayName"], name))
            return {}

        return {"node.preExecute": note}

    peers = [await plugin(noting(name)) for name in "abc"]
    running = await engine(*peers, executor=PendingExecutor())
    await running.reconcile(workflow(loop(20), container("leaf")))
    names = {display for display, _ in order}
    assert len(names) == 21
    for display in names:
        assert [name for each, name in order if each == display] == ["a", "b", "c"]


async def test_node_pre_execute_is_asked_on_every_pass_about_every_node_that_is_not_over(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"node.preExecute": {}})
    leaves = Recorder()
    running = await engine(peer, executor=leaves)
    work = workflow(
        {"name": "main", "steps": [[{"name": "a", "template": "leaf"}, {"name": "b", "template": "leaf"}]]},
        container("leaf"),
    )
    for _ in range(3):
        await running.reconcile(work)
    assert Counter(peer.nodes("node.preExecute")) == {"work": 3, "a": 3, "b": 3}
    running.report(work, leaves.started["a"], Result("Succeeded"))
    await running.reconcile(work)
    assert Counter(peer.nodes("node.preExecute")) == {"work": 4, "a": 3, "b": 4}


async def test_node_post_execute_is_called_for_exactly_the_nodes_that_changed(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"node.postExecute": {}})
    leaves = Recorder()
    running = await engine(peer, executor=leaves)
    work = workflow(
        {"name": "main", "steps": [[{"name": "a", "template": "leaf"}, {"name": "b", "template": "leaf"}]]},
        container("leaf"),
    )
    await running.reconcile(work)
    assert sorted(peer.nodes("node.postExecute")) == ["a", "b", "work"]
    await running.reconcile(work)
    await running.reconcile(work)
    assert len(peer.args("node.postExecute")) == 3, "nothing changed, nobody is told"
    running.report(work, leaves.started["b"], Result("Succeeded", "done", {"result": "42"}))
    await running.reconcile(work)
    (args,) = peer.args("node.postExecute")[3:]
    assert (args["old"]["displayName"], args["old"]["phase"]) == ("b", "Running")
    assert (args["new"]["phase"], args["new"]["outputs"]["result"]) == ("Succeeded", "42")


async def test_node_post_execute_may_still_change_the_node(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"node.postExecute": lambda args: {"node": {"message": f"was {args['new']['phase']}"}}})
    running = await engine(peer)
    work = workflow(steps("a"), container("leaf"))
    await running.run([work])
    assert {node.message for node in by_name(work).values() if node.type == "Pod"} == {"was Succeeded"}


async def test_outputs_from_a_plugin_are_seen_by_the_next_step(plugin: StartPlugin, engine: StartEngine) -> None:
    def answer(args: dict[str, Any]) -> dict[str, Any]:
        if args["node"]["displayName"] != "a":
            return {}
        return {"node": {"phase": "Succeeded", "outputs": {"parameters": [{"name": "answer", "value": 42}]}}}

    peer = await plugin({"node.preExecute": answer})
    leaves = Recorder()
    running = await engine(peer, executor=leaves)
    text, answers = {"parameters": [{"name": "text"}]}, [{"name": "answer", "valueFrom": {"path": "/answer"}}]
    command = ("echo", "{{inputs.parameters.text}}")
    template = container("leaf", *command, inputs=text, outputs={"parameters": answers})
    passed = {"parameters": [{"name": "text", "value": "{{steps.a.outputs.parameters.answer}}"}]}
    first = {"parameters": [{"name": "text", "value": "-"}]}
    main = {
        "name": "main",
        "steps": [
            [{"name": "a", "template": "leaf", "arguments": first}],
            [{"name": "b", "template": "leaf", "arguments": passed}],
        ],
    }
    await running.reconcile(workflow(main, template))
    assert leaves.templates["b"]["container"]["command"] == ["echo", "42"]


async def test_workflow_post_operate_is_told_the_old_and_the_new(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"workflow.postOperate": {"workflow": {"metadata": {"annotations": {"by": "post"}}}}})
    running = await engine(peer)
    work = workflow(container("main"))
    await running.run([work])
    first, *_, last = peer.args("workflow.postOperate")
    assert "phase" not in first["old"]["status"]
    assert first["new"]["status"]["phase"] == "Running"
    assert last["old"]["status"]["phase"] == "Running"
    assert last["new"]["status"]["phase"] == "Succeeded"
    assert last["new"]["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true"
    assert work.document["metadata"]["annotations"] == {"by": "post"}


async def test_workflow_hooks_are_sent_no_nodes_and_node_hooks_only_metadata(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    answers: Mapping[str, Answer] = {
        "workflow.preOperate": {},
        "workflow.postOperate": {},
        "node.preExecute": {},
        "parameters.add": {},
    }
    peer = await plugin(answers)
    running = await engine(peer, executor=PendingExecutor())
    work = workflow(loop(3), container("leaf"))
    await running.reconcile(work)
    await running.reconcile(work)
    for args in peer.args("workflow.preOperate"):
        assert "nodes" not in args["workflow"]["status"]
        assert args["workflow"]["spec"]["entrypoint"] == "main"
    for args in peer.args("node.preExecute") + peer.args("parameters.add"):
        assert args["workflow"].keys() == {"metadata"}
        assert args["workflow"]["metadata"]["labels"]["workflows.argoproj.io/phase"] == "Running"


async def test_payload_full_sends_workflow_hooks_the_nodes_and_node_hooks_all_else(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    peer = await plugin({"workflow.preOperate": {}, "workflow.postOperate": {}, "node.preExecute": {}})
    running = await engine((peer, {"payload": "full"}), executor=PendingExecutor())
    work = workflow(loop(3), container("leaf"))
    await running.reconcile(work)
    await running.reconcile(work)
    assert peer.args("workflow.preOperate")[-1]["workflow"] == orjson.loads(work.encode())
    for args in peer.args("node.preExecute"):
        assert args["workflow"]["spec"]["templates"] == work.document["spec"]["templates"]
        assert "nodes" not in args["workflow"]["status"]


async def test_a_workflow_keeps_the_fields_that_nobody_knows(plugin: StartPlugin, engine: StartEngine) -> None:
    peer = await plugin({"workflow.preOperate": {"workflow": {"spec": {"future": {"b": 2}}}}})
    running = await engine(peer)
    work = workflow(container("main", x_unknown=[1, {"deep": None}]), future={"a": 1})
    await running.run([work])
    spec = json.loads(work.encode())["spec"]
    assert spec["future"] == {"a": 1, "b": 2}
    assert spec["templates"][0]["x_unknown"] == [1, {"deep": None}]


async def test_the_same_input_gives_the_same_bytes_whatever_the_timing(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    answer = {"node": {"message": "seen"}}
    encoded = []
    for seed in (1, 2):
        dice = random.Random(seed)

        async def dawdle(args: dict[str, Any], dice: random.Random = dice) -> dict[str, Any]:
            for _ in range(dice.randrange(20)):
                await asyncio.sleep(0)
            return answer

        peer = await plugin({"node.preExecute": dawdle, "node.postExecute": dawdle})
        running = await engine(peer, clock=lambda: 1_700_000_000.0)
        work = same(workflow(loop(40), container("leaf")))
        await running.run([work])
        assert work.phase == "Succeeded"
        encoded.append(work.encode())
    assert encoded[0] == encoded[1]


async def test_a_walk_over_a_spec_that_was_patched_comes_by_nodes_of_which_there_is_nothing_new_to_be_said(
    plugin: StartPlugin, engine: StartEngine
) -> None:
    patch: dict[str, Any] = {}
    peer = await plugin({"workflow.preOperate": lambda args: patch, "parameters.add": {}})
    executor = Recorder()
    oarlock = await engine(peer, executor=executor)
    work = workflow(steps("a", "b"), container("leaf"))
    for _ in range(3):
        await oarlock.reconcile(work)
    patch["workflow"] = {"spec": {"templates": [steps("a", "b"), container("leaf", "echo", "later")]}}
    await oarlock.reconcile(work)
    assert "1 running (a)" in oarlock.waiting_for(work)
    oarlock.report(work, by_name(work)["a"].id, Result("Succeeded"))
    await oarlock.reconcile(work)
    assert "b" in executor.started
