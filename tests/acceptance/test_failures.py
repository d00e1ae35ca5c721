"""What a plugin's failures do: nothing by halves, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Engine, PendingExecutor, Result
from registry import Config, EngineSettings, PluginConfig, Registry, RetrySettings
from rpc import TransientError
from tests.acceptance.fixtures import StartEngine, StartPlugin
from tests.acceptance.manifests import by_name, container, loop, steps, workflow
from tests.acceptance.peer import Answer
from tests.acceptance.test_reports import Recorder

NO_RETRIES = {"retry": RetrySettings(attempts=1)}


def refusing(name: str, status: int) -> Answer:
    """Refuse the node of that name, let all others pass."""
    return lambda args: status if args["node"]["displayName"] == name else {}


class TestTransient:
    """The pass is aborted: it leaves no trace, and a later one goes on."""

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    @pytest.mark.parametrize(
        "method",
        ["workflow.preOperate", "parameters.add", "node.preExecute", "node.postExecute", "workflow.postOperate"],
    )
    async def test_it_leaves_the_workflow_as_it_was_to_the_byte(
        self, method: str, status: int, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        patching = await plugin({"workflow.preOperate": {"workflow": {"metadata": {"annotations": {"a": "b"}}}}})
        failing = await plugin({method: {}})
        leaves = Recorder()
        running = await engine(patching, failing, executor=leaves)
        work = workflow(steps("a", "b"), container("leaf", "echo", "{{workflow.name}}"))
        await running.reconcile(work)
        running.report(work, leaves.started["a"], Result("Succeeded"))
        before = work.encode()
        failing.answers[method] = status
        result = await running.reconcile(work)
        assert isinstance(result.aborted, TransientError)
        assert result.aborted.plugin == "plugin-2"
        assert result.aborted.status == status
        assert result.requeue_after is not None
        assert result.requeue_after > 0
        assert work.encode() == before
        failing.answers[method] = {}
        assert (await running.reconcile(work)).aborted is None
        assert by_name(work)["a"].phase == "Succeeded"
        assert work.encode() != before
        assert by_name(work)["b"].phase == "Running"
        assert list(leaves.started) == ["a", "b"]

    async def test_in_the_middle_of_a_large_pass_it_leaves_no_node_changed(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"node.preExecute": lambda args: {"node": {"message": "changed"}}})
        running = await engine(peer, executor=PendingExecutor())
        work = workflow(loop(200), container("leaf"))
        await running.reconcile(work)
        before = work.encode()
        seen = []

        def until_the_fiftieth(args: dict[str, Any]) -> dict[str, Any] | int:
            seen.append(args)
            return {"node": {"message": "changed again"}} if len(seen) <= 50 else 503

        peer.answers["node.preExecute"] = until_the_fiftieth
        assert (await running.reconcile(work)).aborted is not None
        assert work.encode() == before
        assert len(seen) < 150, "the rest was not sent"

    async def test_the_run_goes_on_by_itself_when_it_has_passed(self, plugin: StartPlugin, engine: StartEngine) -> None:
        refusals = iter([503] * 7)
        peer = await plugin({"node.preExecute": lambda args: next(refusals, {})})
        running = await engine(peer)
        work = workflow(steps("a", "b"), container("leaf"))
        await running.run([work])
        assert work.phase == "Succeeded"
        assert running.stats.aborted >= 1

    async def test_the_walk_is_begun_anew_where_settings_have_tags(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        """The nodes of an aborted pass's predecessors are found again, and so are the variables inside them."""
        peer = await plugin({"workflow.postOperate": {}})
        leaves = Recorder()
        running = await engine((peer, NO_RETRIES), executor=leaves)
        limited = {"retryStrategy": {"limit": "{{inputs.parameters.limit}}"}}
        limit = {"parameters": [{"name": "limit", "value": "2"}]}
        main = {"name": "main", "inputs": limit, "steps": [[{"name": "a", "template": "leaf", "arguments": limit}]]}
        work = workflow(
            main | limited,
            container(
                "leaf", timeout="{{inputs.parameters.limit}}h", inputs={"parameters": [{"name": "limit"}]}, **limited
            ),
        )
        await running.reconcile(work)
        for attempt in ("a(0)", "a(1)"):
            running.report(work, leaves.started[attempt], Result("Failed"))
            peer.answers["workflow.postOperate"] = 503
            assert (await running.reconcile(work)).aborted is not None
            peer.answers["workflow.postOperate"] = {}
            await running.reconcile(work)
        running.report(work, leaves.started["a(2)"], Result("Succeeded"))
        await running.reconcile(work)
        assert work.phase == "Succeeded"

    async def test_no_other_workflow_notices(self, plugin: StartPlugin, engine: StartEngine) -> None:
        def refuse(args: dict[str, Any]) -> dict[str, Any] | int:
            return 503 if args["workflow"]["metadata"]["name"] == "unlucky" else {}

        peer = await plugin({"node.preExecute": refuse})
        running = await engine(peer)
        lucky, unlucky = (workflow(steps("a"), container("leaf"), name=name) for name in ("lucky", "unlucky"))
        before = unlucky.encode()
        assert (await running.reconcile(unlucky)).aborted is not None
        await running.reconcile(lucky)
        await running.reconcile(lucky)
        assert lucky.phase == "Succeeded"
        assert unlucky.encode() == before

    async def test_a_plugin_that_dies_in_mid_run_and_comes_back_does_not_keep_the_run_from_ending(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"node.preExecute": {}})
        leaves = Recorder()
        running = await engine((peer, NO_RETRIES), executor=leaves)
        work = workflow(steps("a", "b"), container("leaf"))
        await running.reconcile(work)
        await peer.stop()
        running.report(work, leaves.started["a"], Result("Succeeded"))
        before = work.encode()
        for _ in range(3):
            assert (await running.reconcile(work)).aborted is not None
        assert work.encode() == before
        await peer.start()
        await running.reconcile(work)
        running.report(work, leaves.started["b"], Result("Succeeded"))
        await running.run([work])
        assert work.phase == "Succeeded"


class TestFatal:
    """The same request would fail again: the node or the workflow is Error, and says whose fault it is."""

    async def test_in_a_node_hook_the_node_is_error_and_the_graph_decides(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"node.preExecute": refusing("a", 500)})
        running = await engine(peer)
        work = workflow(steps("a", "b"), container("leaf"))
        await running.run([work])
        assert by_name(work)["a"].phase == "Error"
        assert by_name(work)["a"].message == "plugin 'plugin-1', node.preExecute: status 500, body: no, not now"
        assert "b" not in by_name(work), "the steps after it never began"
        assert work.phase == "Failed", "a steps template makes Failed of a child's Error"

    async def test_in_a_node_hook_of_a_task_that_may_fail_the_workflow_succeeds(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"node.preExecute": refusing("a", 500)})
        running = await engine(peer)
        tasks = [
            {"name": "a", "template": "leaf", "continueOn": {"error": True}},
            {"name": "b", "template": "leaf", "dependencies": ["a"]},
        ]
        work = workflow({"name": "main", "dag": {"tasks": tasks}}, container("leaf"))
        await running.run([work])
        assert by_name(work)["a"].phase == "Error"
        assert by_name(work)["b"].phase == "Succeeded"
        assert work.phase == "Succeeded"

    @pytest.mark.parametrize("method", ["node.preExecute", "node.postExecute"])
    async def test_a_pass_with_a_fatal_node_is_committed_all_the_same(
        self, method: str, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        def answer(args: dict[str, Any]) -> dict[str, Any] | int:
            return 500 if (args.get("node") or args["new"])["displayName"] == "each(3:3)" else {}

        peer = await plugin({method: answer})
        running = await engine(peer, executor=PendingExecutor())
        work = workflow(loop(5), container("leaf"))
        await running.reconcile(work)
        phases = {name: node.phase for name, node in by_name(work).items() if node.type == "Pod"}
        assert phases.pop("each(3:3)") == "Error"
        assert set(phases.values()) == {"Running"}

    @pytest.mark.parametrize("method", ["workflow.preOperate", "workflow.postOperate", "parameters.add"])
    async def test_in_a_workflow_hook_the_workflow_is_error(
        self, method: str, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({method: 500})
        running = await engine(peer)
        work = workflow(steps("a"), container("leaf"))
        await running.run([work])
        assert work.phase == "Error"
        assert work.message == f"plugin 'plugin-1', {method}: status 500, body: no, not now"
        assert work.document["metadata"]["labels"]["workflows.argoproj.io/phase"] == "Error"
        assert work.document["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true"
        assert len(peer.args(method)) == 1, "never retried"

    @pytest.mark.parametrize(
        ("patch", "complaint"),
        [
            ({"metadata": {"name": "other"}}, "metadata.name may not be changed from 'work' to 'other'"),
            ({"metadata": {"namespace": None}}, "metadata.namespace may not be changed from 'default' to None"),
            ({"metadata": {"uid": "1"}}, "metadata.uid may not be changed"),
            ({"metadata": None}, "metadata may not become None"),
            ({"kind": "CronWorkflow"}, "kind may not be changed from 'Workflow' to 'CronWorkflow'"),
            ({"status": {"nodes": {"x": {}}}}, "status.nodes may not be patched"),
            ({"spec": {"templates": {}}}, "spec.templates: expected a list, got a mapping"),
            ({"spec": {"templates": None, "entrypoint": 5}}, "spec.entrypoint: expected a string, got a whole number"),
            ({"metadata": {"labels": {"a": 1}}}, "metadata.labels may only hold strings"),
            ({"status": {"startedAt": "soon"}}, "status.startedAt: "),
        ],
    )
    async def test_a_patch_that_makes_another_thing_of_the_workflow_is_refused(
        self, patch: dict[str, Any], complaint: str, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"workflow.preOperate": {"workflow": patch}})
        running = await engine(peer)
        work = workflow(container("main"))
        uid = work.document["metadata"]["uid"]
        await running.run([work])
        assert work.phase == "Error"
        assert work.message.startswith("plugin 'plugin-1', workflow.preOperate: ")
        assert complaint in work.message
        assert (work.document["metadata"]["name"], work.document["metadata"]["uid"]) == ("work", uid)

    @pytest.mark.parametrize("field", ["id", "name"])
    async def test_a_node_result_that_changes_identity_is_refused(
        self, field: str, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"node.preExecute": {"node": {field: "other"}}})
        running = await engine(peer)
        work = workflow(container("main"))
        await running.run([work])
        assert work.phase == "Error"
        assert "plugin-1" in work.message
        assert field in work.message

    @pytest.mark.parametrize(
        "answer",
        [
            {"node": {"phase": "Done"}},
            {"node": {"phase": "Succeeded", "outputs": {"parameters": "none"}}},
            {"node": {"message": 5}},
            {"node": []},
            {"requeue": "soon"},
            {"requeue": 5},
        ],
    )
    async def test_a_reply_of_the_wrong_shape_makes_the_node_error(
        self, answer: dict[str, Any], plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"node.preExecute": answer})
        running = await engine(peer)
        work = workflow(container("main"))
        await running.run([work])
        assert work.phase == "Error"
        assert by_name(work)["work"].message.startswith("plugin 'plugin-1', node.preExecute: illegal reply: ")

    async def test_a_finished_node_may_not_be_taken_back(self, plugin: StartPlugin, engine: StartEngine) -> None:
        peer = await plugin({"node.postExecute": {"node": {"phase": "Running"}}})
        running = await engine(peer)
        work = workflow(container("main"))
        await running.run([work])
        assert work.phase == "Error"
        assert "may not become Running again" in work.message


class TestPolicies:
    """`failure_policy = "ignore"` and `mode = "observe"`: a plugin that nobody depends on."""

    @pytest.mark.parametrize("settings", [{"failure_policy": "ignore"}, {"mode": "observe"}])
    @pytest.mark.parametrize("status", [500, 503])
    async def test_its_failures_are_passed_over_and_counted(
        self, settings: dict[str, str], status: int, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        methods = [
            "workflow.preOperate",
            "parameters.add",
            "node.preExecute",
            "node.postExecute",
            "workflow.postOperate",
        ]
        bad = await plugin(dict.fromkeys(methods, status))
        good = await plugin({"node.preExecute": {"node": {"message": "seen"}}})
        running = await engine((bad, settings), good)
        work = workflow(steps("a"), container("leaf"))
        await running.run([work])
        assert work.phase == "Succeeded"
        assert by_name(work)["a"].phase == "Succeeded"
        assert "a" in good.nodes("node.preExecute")
        assert running.stats.failures_passed_over >= len(methods)
        assert running.stats.aborted == 0

    async def test_one_that_is_ignored_may_ask_for_the_impossible_in_any_method(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        other_node, other_workflow = {"node": {"id": "other"}}, {"workflow": {"metadata": {"uid": "other"}}}
        bad = await plugin(
            {
                "workflow.preOperate": other_workflow,
                "parameters.add": {"parameters": {"a": 1}},
                "node.preExecute": other_node,
                "template.execute": other_node,
                "node.postExecute": other_node,
                "workflow.postOperate": other_workflow,
            }
        )
        good = await plugin({"template.execute": {"node": {"phase": "Succeeded"}}})
        running = await engine((bad, {"failure_policy": "ignore"}), good)
        work = workflow({"name": "main", "plugin": {"x": {}}})
        await running.run([work])
        assert work.phase == "Succeeded"
        assert running.stats.failures_passed_over >= 6

    async def test_one_that_is_ignored_still_has_its_answers_applied(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        peer = await plugin({"node.preExecute": {"node": {"phase": "Succeeded", "message": "Hello"}}})
        running = await engine((peer, {"failure_policy": "ignore"}))
        work = workflow(container("main"))
        await running.run([work])
        assert by_name(work)["work"].message == "Hello"

    async def test_an_observer_is_called_and_its_answers_change_nothing(
        self, plugin: StartPlugin, engine: StartEngine
    ) -> None:
        answers: dict[str, Answer] = {
            "workflow.preOperate": {"workflow": {"metadata": {"annotations": {"by": "observer"}}}},
            "parameters.add": {"parameters": {"hello": "observer"}},
            "node.preExecute": {"node": {"phase": "Failed"}},
            "node.postExecute": {"node": {"message": "observed"}},
            "workflow.postOperate": {"workflow": {"metadata": {"name": "other"}}},
            "template.execute": {"node": {"phase": "Succeeded"}},
        }
        peer = await plugin(answers)
        running = await engine((peer, {"mode": "observe"}))
        work, left_alone = workflow(container("main")), workflow(container("main"), name="left-alone")
        await running.run([work, left_alone])
        assert work.phase == left_alone.phase == "Succeeded"
        assert "annotations" not in work.document["metadata"]
        assert by_name(work)["work"].message == ""
        for method in answers.keys() - {"template.execute"}:
            assert peer.args(method), method
        executed = workflow({"name": "main", "plugin": {"x": {}}}, name="executed")
        await running.run([executed])
        assert executed.phase == "Error"
        assert executed.message == "no plugin executed the template"

    async def test_a_plugin_that_is_not_enabled_is_not_called(self, plugin: StartPlugin) -> None:
        peer = await plugin({"workflow.preOperate": {}})
        config = Config(engine=EngineSettings(enabled=False), plugins=(PluginConfig(name="a", address=peer.address),))
        work = workflow(container("main"))
        async with Engine(Registry(config)) as running:
            await running.run([work])
        assert work.phase == "Succeeded"
        assert peer.paths == []
