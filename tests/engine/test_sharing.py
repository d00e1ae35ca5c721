"""What workflows with the same templates share, and what they do not."""

from __future__ import annotations

import copy
import gc
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import pytest

import engine.validation.workflow as validation
from engine import Engine, InvalidWorkflow, Workflow
from engine.model.pace import Pace
from engine.model.sharing import Shared
from engine.reconciling.looping import IN_A_ROW, PASSES
from engine.templates.template import Template

SPEC: dict[str, Any] = {
    "entrypoint": "main",
    "arguments": {"parameters": [{"name": "who", "value": "nobody"}]},
    "templates": [
        {
            "name": "main",
            "dag": {"tasks": [{"name": "a", "template": "leaf"}, {"name": "b", "depends": "a", "template": "leaf"}]},
        },
        {"name": "leaf", "container": {"image": "busybox", "args": ["{{workflow.name}} {{workflow.parameters.who}}"]}},
    ],
}


def workflow(name: str, **spec: Any) -> Workflow:
    return Workflow({"kind": "Workflow", "metadata": {"name": name}, "spec": copy.deepcopy({**SPEC, **spec})})


class Started:
    """An executor that keeps what it is to run."""

    def __init__(self) -> None:
        self.args: dict[str, list[str]] = {}

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Any) -> None:
        self.args.setdefault(workflow.name, []).extend(template["container"]["args"])

    def stop(self, workflow: Workflow, node: Any) -> None: ...


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the templates that were compiled."""
    names: list[str] = []
    make = Template.__init__

    def noted(self: Template, document: Any, context: Any) -> None:
        names.append(document["name"])
        make(self, document, context)

    monkeypatch.setattr(Template, "__init__", noted)
    return names


async def test_the_same_templates_are_compiled_and_validated_once(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    validated: list[str] = []
    look = validation._validate

    def noted(metadata: Any, *others: Any) -> None:
        validated.append(metadata["name"])
        look(metadata, *others)

    monkeypatch.setattr(validation, "_validate", noted)
    workflows = [workflow(f"w{number}") for number in range(20)]
    async with Engine() as engine:
        await engine.run(workflows)
    assert {each.phase for each in workflows} == {"Succeeded"}
    assert sorted(compiled) == ["leaf", "main"]
    assert validated == ["w0"]


async def test_what_nodes_say_of_where_they_stand_is_their_own_workflow() -> None:
    workflows = [workflow("red"), workflow("blue")]
    async with Engine() as engine:
        await engine.run(workflows)
    for each in workflows:
        assert {node.template_scope for node in each.nodes.values()} == {f"local/{each.name}"}


async def test_what_differs_between_them_is_not_shared() -> None:
    executor = Started()
    other = {"parameters": [{"name": "who", "value": "somebody"}]}
    async with Engine(executor=executor) as engine:
        for each in (workflow("red"), workflow("blue", arguments=other)):
            await engine.reconcile(each)
    assert executor.args == {"red": ["red nobody"], "blue": ["blue somebody"]}


async def test_arguments_that_lack_are_missed_whoever_had_them_before() -> None:
    parameters = [{"name": "who"}]
    workflows = [workflow("red"), workflow("blue", arguments={"parameters": parameters})]
    async with Engine() as engine:
        await engine.run(workflows)
    assert [each.phase for each in workflows] == ["Succeeded", "Failed"]


async def test_labels_that_lack_are_missed_whoever_had_them_before() -> None:
    leaf = {"name": "main", "container": {"image": "busybox", "args": ["{{workflow.labels.team}}"]}}
    document = {"kind": "Workflow", "spec": {"entrypoint": "main", "templates": [leaf]}}
    workflows = [
        Workflow({**document, "metadata": {"name": "red", "labels": {"team": "a"}}}),
        Workflow({**document, "metadata": {"name": "blue"}}),
    ]
    async with Engine() as engine:
        await engine.run(workflows)
    assert [each.phase for each in workflows] == ["Succeeded", "Failed"]
    assert "workflow.labels.team" in workflows[1].message


async def test_a_document_that_is_changed_and_used_again_changes_nothing_for_others() -> None:
    executor = Started()
    document: dict[str, Any] = {"kind": "Workflow", "spec": copy.deepcopy(SPEC)}
    async with Engine(executor=executor) as engine:
        await engine.reconcile(Workflow({**document, "metadata": {"name": "first"}}))
        document["spec"]["templates"][1]["container"]["args"] = ["changed"]
        await engine.reconcile(Workflow({**document, "metadata": {"name": "second"}}))
        await engine.reconcile(workflow("third"))
    assert executor.args == {"first": ["first nobody"], "second": ["changed"], "third": ["third nobody"]}


def test_no_more_is_kept_than_was_said_and_the_oldest_leaves_first() -> None:
    made: list[str] = []

    def make(document: str) -> str:
        made.append(document)
        return document.upper()

    shared = Shared[str](most=10)
    assert [shared.get(each, make) for each in ("aa", "bb", "aa", "cc", "aa", "bb", "long as can be")] == [
        "AA",
        "BB",
        "AA",
        "CC",
        "AA",
        "BB",
        "LONG AS CAN BE",
    ]
    assert made == ["aa", "bb", "cc", "bb", "long as can be"]


def test_what_could_not_be_made_is_tried_again() -> None:
    shared = Shared[str](most=10)
    with pytest.raises(KeyError):
        shared.get("a", {"b": "B"}.__getitem__)
    assert shared.get("a", lambda _: "made") == "made"


def test_what_is_no_json_is_made_each_time() -> None:
    shared = Shared[object](most=100)
    assert shared.get({1}, set) == {1}
    assert shared.get({1}, lambda _: "again") == "again"


def test_workflows_of_one_spec_share_it_and_not_with_whoever_made_the_document() -> None:
    spec = copy.deepcopy(SPEC)
    one = Workflow({"kind": "Workflow", "metadata": {"name": "a"}, "spec": spec})
    spec["templates"][0]["name"] = "changed"
    other = workflow("b")

    assert one.document["spec"] is other.document["spec"]
    assert other.to_dict()["spec"] == SPEC
    with pytest.raises(InvalidWorkflow, match=r"spec\.templates: expected a list, got a string"):
        workflow("c", templates="none")


async def test_a_workflow_that_waits_for_its_first_pass_holds_next_to_nothing(settled: None) -> None:
    async with Engine() as engine:

        def tracked() -> int:
            gc.collect()
            return len(gc.get_objects())

        works = [workflow(f"w-{number}") for number in range(100)]
        before = tracked()
        for work in works:
            engine.submit(work)
        assert tracked() - before < 10 * len(works)
        await engine.run()
        assert {work.phase for work in works} == {"Succeeded"}
        assert tracked() - before < 10 * len(works), "and so does one that is over"


async def test_a_small_workflow_is_over_before_the_next_one_begins() -> None:
    passes: list[str] = []
    async with Engine() as engine:
        engine.listeners.append(lambda commit: passes.append(commit.workflow.name))
        engine._surroundings.pace = Pace(1.0, lambda: 0.0)  # a busy machine does not end its turn before it is over
        await engine.run([workflow(f"w-{number}") for number in range(3)])
    assert passes == sorted(passes)
    assert len(passes) > 6


async def test_workflows_whose_passes_follow_each_other_let_others_in() -> None:
    passes: list[str] = []
    steps = [[{"name": f"s-{number}", "template": "leaf"}] for number in range(3 * IN_A_ROW)]
    long = [{"name": "main", "steps": steps}, SPEC["templates"][1]]
    async with Engine() as engine:
        engine.listeners.append(lambda commit: passes.append(commit.workflow.name))
        engine._surroundings.pace = Pace(1.0, lambda: 0.0)  # none of them is ever out of time
        await engine.run([workflow(f"w-{number}", templates=long) for number in range(PASSES + 1)])
    assert max(len([*group]) for _, group in groupby(passes)) <= IN_A_ROW
