"""Templates and ConfigMaps that change while workflows run: who has begun goes on with what there was."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from engine import Engine, InvalidDocument, Templates, Workflow
from tests.engine.graph.running import Recorder, outcomes, workflow
from tests.engine.graph.test_namespaces import READS, REFERS, config_map, template

TWICE = """
    templates:
    - name: main
      steps:
      - [{name: first, templateRef: {name: lib, template: t}}]
      - [{name: second, templateRef: {name: lib, template: t}}]
      - [{name: third, templateRef: {name: other, template: t}}]
"""
WHOLE = "workflowTemplateRef: {name: lib}"
LATER = "{lib: {duration: 1m}, t: {duration: 1m}}"


def lib(text: str) -> dict[str, Any]:
    """A WorkflowTemplate of two steps, one after the other, that say `text`."""
    document = template(text)
    steps = [[{"name": name, "template": "t"}] for name in ("first", "second", "third")]
    document["spec"] = {**document["spec"], "entrypoint": "m"}
    document["spec"]["templates"] = [*document["spec"]["templates"], {"name": "m", "steps": steps}]
    return document


class Stage:
    """An engine whose leaves take a minute, and what they were given."""

    def __init__(self, **options: Any) -> None:
        self.executor = Recorder(outcomes("{t: {duration: 1m}, takes: {duration: 1m}}"))
        self.engine = Engine(executor=self.executor, **options)

    def said(self) -> dict[str, str]:
        """The argument of each container, by its display name."""
        started = self.executor.started.items()
        return {name: each["container"]["args"][0] for name, each in started if "container" in each}


OLD = [lib("old"), template("old", "other")]


def change(templates: Templates, how: str) -> None:
    for name in ("lib", "other"):
        if how == "removed":
            templates.remove("WorkflowTemplate", name)
        else:
            templates.put(lib("new") if name == "lib" else template("new", name))


@pytest.mark.parametrize("how", ["replaced", "removed"])
@pytest.mark.parametrize("spec", [TWICE, WHOLE], ids=["templateRef", "workflowTemplateRef"])
class TestOneThatHasBegun:
    def test_goes_on_with_what_there_was(self, spec: str, how: str) -> None:
        async def said() -> tuple[str, dict[str, str]]:
            stage, work = Stage(workflow_templates=OLD), workflow(spec)
            async with stage.engine as engine:
                await engine.reconcile(work)
                change(engine.templates, how)
                await engine.run([work])
            return work.phase, stage.said()

        assert asyncio.run(said()) == ("Succeeded", dict.fromkeys(("first", "second", "third"), "old"))

    def test_so_it_does_when_it_is_restarted_from_its_document(self, spec: str, how: str) -> None:
        async def said() -> tuple[str, dict[str, str]]:
            work = workflow(spec)
            async with Stage(workflow_templates=OLD).engine as engine:
                await engine.reconcile(work)
            again = Workflow(orjson.loads(work.encode()))
            new = [] if how == "removed" else [lib("new"), template("new", "other")]
            stage = Stage(workflow_templates=new)
            async with stage.engine as engine:
                await engine.run([again])
            return again.phase, stage.said()

        assert asyncio.run(said()) == ("Succeeded", dict.fromkeys(("first", "second", "third"), "old"))

    def test_and_when_it_is_retried(self, spec: str, how: str) -> None:
        async def said() -> tuple[str, dict[str, str]]:
            executor = Recorder(outcomes("{'node:third': [{phase: Failed}, {}]}"))
            work = workflow(spec)
            async with Engine(executor=executor, workflow_templates=OLD) as engine:
                await engine.run([work])
                assert work.phase == "Failed"
                change(engine.templates, how)
                executor.started.clear()
                engine.retry(work)
                await engine.run([work])
            return work.phase, {name: each["container"]["args"][0] for name, each in executor.started.items()}

        assert asyncio.run(said()) == ("Succeeded", {"third": "old"})


def test_the_next_one_has_what_is_there_then() -> None:
    async def said() -> list[str]:
        found, stage = [], Stage(workflow_templates=[template("old")])
        async with stage.engine as engine:
            for text in ("old", "newer", "newest"):
                if text != "old":
                    engine.templates.put(template(text))
                await engine.run([workflow(REFERS, f"w-{text}")])
                found.append(stage.said()["x"])
            engine.templates.remove("WorkflowTemplate", "lib")
            lost = workflow(REFERS, "lost")
            await engine.run([lost])
        assert 'workflowtemplates.argoproj.io "lib" not found' in lost.message
        return found

    assert asyncio.run(said()) == ["old", "newer", "newest"]


def test_one_that_was_submitted_and_has_not_begun_has_the_new_one() -> None:
    async def said() -> str:
        stage, work = Stage(workflow_templates=[template("old")]), workflow(REFERS)
        async with stage.engine as engine:
            engine.submit(work)
            engine.templates.put(template("new"))
            await engine.run([work])
        return stage.said()["x"]

    assert asyncio.run(said()) == "new"


def test_a_config_map_that_changes_counts_for_the_next_workflow() -> None:
    two = READS.replace("steps: [[{name: x, template: takes}]]", "steps: [[{name: x, template: takes}], "
                        "[{name: y, template: takes}]]")  # fmt: skip

    async def said() -> dict[str, str]:
        stage, work = Stage(config_maps=[config_map("old")]), workflow(two)
        async with stage.engine as engine:
            await engine.reconcile(work)
            engine.templates.put(config_map("new"))
            await engine.run([work])
            assert stage.said() == {"x": "old old", "y": "old old"}
            await engine.run([workflow(two, "another")])
        return stage.said()

    assert asyncio.run(said()) == {"x": "new new", "y": "new new"}


class TestWhatIsStored:
    def test_it_has_argos_names(self) -> None:
        async def status(spec: str) -> dict[str, Any]:
            work = workflow(spec)
            async with Stage(workflow_templates=OLD).engine as engine:
                await engine.reconcile(work)
            found: dict[str, Any] = work.to_dict()["status"]
            return found

        assert sorted(asyncio.run(status(TWICE))["storedTemplates"]) == ["namespaced/lib/t", "namespaced/other/t"]
        stored = asyncio.run(status(WHOLE))["storedWorkflowTemplateSpec"]
        assert [each["name"] for each in stored["templates"]] == ["t", "m"]

    def test_what_is_called_by_what_is_called_and_by_hooks(self) -> None:
        calls = {"name": "a", "templateRef": {"name": "deep", "template": "t", "clusterScope": True}}
        task = {"name": "a", "inline": {"dag": {"tasks": [calls]}}, "hooks": {"h": {"template": "local"}}}
        inner = {"spec": {"templates": [{"name": "t", "dag": {"tasks": [task]}}, {"name": "local", "suspend": {}}]}}
        deep = {"spec": {"templates": [{"name": "t", "suspend": {}}, {"name": "unused", "suspend": {}}]}}
        spec = "hooks: {exit: {templateRef: {name: bye, template: t}}}\n" + REFERS.strip()
        options = {
            "workflow_templates": {"lib": inner, "bye": template("bye", "bye")},
            "cluster_workflow_templates": {"deep": deep},
        }

        async def stored() -> list[str]:
            work = workflow(spec)
            async with Stage(**options).engine as engine:
                await engine.reconcile(work)
            return sorted(work.document["status"]["storedTemplates"])

        expected = ["cluster/deep/t", "namespaced/bye/t", "namespaced/lib/local", "namespaced/lib/t"]
        assert asyncio.run(stored()) == expected

    def test_a_workflow_that_refers_to_nothing_stores_nothing(self) -> None:
        async def status() -> dict[str, Any]:
            work = workflow("templates: [{name: main, container: {image: i}}]")
            async with Stage(workflow_templates=OLD).engine as engine:
                await engine.reconcile(work)
            found: dict[str, Any] = work.document["status"]
            return found

        assert not [field for field in asyncio.run(status()) if field.startswith("stored")]


class TestTheCatalog:
    def test_put_get_and_remove(self) -> None:
        templates = Templates([template("a", namespace="red")])
        changes: list[tuple[str, str, str, bool]] = []
        templates.listeners.append(lambda each: changes.append((*each[:3], each.document is not None)))
        templates.put(template("b", "second"), namespace="red")
        templates.put({**template("c", "all"), "kind": "ClusterWorkflowTemplate"}, namespace="red")
        found = templates.documents("WorkflowTemplate", namespace="red")
        assert [each["metadata"] for each in found] == [
            {"name": "lib", "namespace": "red"},
            {"name": "second", "namespace": "red"},
        ]
        assert templates.get("WorkflowTemplate", "second") is None
        assert (templates.get("ClusterWorkflowTemplate", "all") or {})["metadata"] == {"name": "all"}
        templates.remove("WorkflowTemplate", "second", namespace="red")
        templates.remove("ClusterWorkflowTemplate", "all")
        assert templates.documents("ClusterWorkflowTemplate") == []
        assert changes == [
            ("WorkflowTemplate", "red", "second", True),
            ("ClusterWorkflowTemplate", "", "all", True),
            ("WorkflowTemplate", "red", "second", False),
            ("ClusterWorkflowTemplate", "", "all", False),
        ]

    def test_what_is_put_is_copied(self) -> None:
        templates, document = Templates(), template("before")
        templates.put(document)
        document["spec"]["templates"][0]["name"] = "after"
        assert (templates.get("WorkflowTemplate", "lib") or {})["spec"]["templates"][0]["name"] == "t"

    @pytest.mark.parametrize(
        ("document", "complaint"),
        [
            ({"kind": "Workflow"}, "kind: expected WorkflowTemplate or ClusterWorkflowTemplate or ConfigMap, got 'Wor"),
            ({"metadata": {"name": "a"}}, "kind: expected WorkflowTemplate or"),
            ({"kind": "WorkflowTemplate", "spec": {}}, "WorkflowTemplate: metadata.name: expected a name, got nothing"),
            ({**template("a"), "spec": []}, "WorkflowTemplate: spec: expected a mapping, got a list"),
            (template("a", "A_B"), "WorkflowTemplate 'A_B': expected a DNS-1123 subdomain"),
            (template("a", namespace="a.b"), "WorkflowTemplate 'lib': metadata.namespace: expected 'red', got 'a.b'"),
            (config_map("v", namespace="blue"), "ConfigMap 'c': metadata.namespace: expected 'red', got 'blue'"),
            ({**config_map("v"), "data": {"v": object()}}, "ConfigMap 'c': not a JSON document: "),
            ({**config_map("v"), "data": {"v": "\ud800"}}, "ConfigMap 'c': not a JSON document: "),
        ],
    )
    def test_what_cannot_be_is_refused_and_changes_nothing(self, document: dict[str, Any], complaint: str) -> None:
        templates = Templates()
        with pytest.raises(InvalidDocument) as caught:
            templates.put(document, namespace="red")
        assert str(caught.value).startswith(complaint)
        assert not templates.documents("WorkflowTemplate")

    def test_what_an_engine_begins_with_is_json_as_well(self) -> None:
        with pytest.raises(InvalidDocument, match=r"^WorkflowTemplate 'lib': not a JSON document: "):
            Engine(workflow_templates={"lib": {"spec": {"templates": object()}}})

    def test_what_is_not_there_cannot_be_removed(self) -> None:
        with pytest.raises(LookupError, match=r'^workflowtemplates\.argoproj\.io "red/lib" not found$'):
            Templates([template("a")]).remove("WorkflowTemplate", "lib", namespace="red")

    def test_a_library_is_the_same_until_something_in_it_changes(self) -> None:
        templates = Templates([template("a"), template("a", namespace="red")])
        before = [templates.library(each) for each in ("default", "red", "blue", "green")]
        assert before[2] is before[3]
        templates.put(template("b", namespace="red"))
        templates.put(config_map("v", namespace="default"))
        after = [templates.library(each) for each in ("default", "red", "blue")]
        assert [one is other for one, other in zip(before, after, strict=False)] == [True, False, True]
        templates.put({**template("b"), "kind": "ClusterWorkflowTemplate"})
        assert templates.library("default") is not before[0]


PLAIN = """
    templates:
    - name: main
      dag: {tasks: [{name: a, template: t, arguments: {parameters: [{name: x, value: one}]}}]}
    - name: t
      inputs: {parameters: [{name: x}, {name: y, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}
      container: {image: i, args: ["{{inputs.parameters.x}} {{inputs.parameters.y}}"]}
"""


def test_a_call_without_tags_takes_what_a_config_map_has_by_then() -> None:
    """Workflows of one spec share what comes of such a call, but not what is taken from elsewhere."""
    stage = Stage(config_maps=[config_map("old")])

    async def both() -> list[str]:
        said = []
        async with stage.engine as engine:
            for text in ("old", "new"):
                engine.templates.put(config_map(text))
                await engine.run([workflow(PLAIN, text)])
                said.append(stage.said()["a"])
        return said

    assert asyncio.run(both()) == ["one old", "one new"]


def test_leaves_that_are_alike_are_given_one_template_whatever_workflow_they_are_of() -> None:
    class Keeping(Recorder):
        given: list[Any]

        def start(self, workflow: Any, template: Any, node: Any) -> Any:
            self.given.append(template)
            return super().start(workflow, template, node)

    executor = Keeping(outcomes("{}"))
    executor.given = []
    spec = PLAIN.replace("{name: y, valueFrom: {configMapKeyRef: {name: c, key: k}}}", "{name: y, value: two}")

    async def both() -> None:
        async with Engine(executor=executor) as engine:
            await engine.run([workflow(spec, name) for name in ("first", "second")])

    asyncio.run(both())
    assert executor.given[0] is executor.given[1]
    assert executor.given[0]["container"]["args"] == ["one two"]
