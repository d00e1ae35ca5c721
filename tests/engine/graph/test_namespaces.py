"""What is of one name in several namespaces: each workflow has that of its own, and hears of no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine import Engine, InvalidDocument, Node, Workflow
from tests.engine.graph.running import Recorder, outcomes, run, workflow

REFERS = "templates: [{name: main, steps: [[{name: x, templateRef: {name: lib, template: t}}]]}]"


def template(text: str, name: str = "lib", **metadata: str) -> dict[str, Any]:
    """A WorkflowTemplate whose one template says `text`."""
    container = {"image": "i", "args": [text]}
    spec = {"entrypoint": "t", "templates": [{"name": "t", "container": container}]}
    return {"kind": "WorkflowTemplate", "metadata": {"name": name, **metadata}, "spec": spec}


def config_map(value: str, **metadata: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "c", **metadata}, "data": {"k": value}}


def said(work: Workflow, **options: Any) -> str:
    """What the one container of the workflow was given."""
    ran = run(work, **options)
    assert ran.phase == "Succeeded", ran.message
    return str(next(each["container"]["args"][0] for each in ran.executor.started.values()))


RED, BLUE = template("red", namespace="red"), template("blue", namespace="blue")


@pytest.mark.parametrize(
    "given",
    [
        [RED, BLUE, template("default")],
        {"red/lib": RED, "blue/lib": BLUE, "lib": template("default")},
        {"red/lib": template("red"), "blue/lib": template("blue"), "default/lib": template("default")},
    ],
    ids=["documents", "names", "names alone"],
)
class TestTemplates:
    @pytest.mark.parametrize("namespace", ["red", "blue", "default", ""])
    def test_a_step_has_that_of_the_workflows_namespace(self, given: Any, namespace: str) -> None:
        work = workflow(REFERS, **({"namespace": namespace} if namespace else {}))
        assert said(work, workflow_templates=given) == (namespace or "default")

    @pytest.mark.parametrize("namespace", ["red", "blue", "default"])
    def test_so_has_a_workflow_that_is_nothing_else(self, given: Any, namespace: str) -> None:
        work = workflow("workflowTemplateRef: {name: lib}", namespace=namespace)
        assert said(work, workflow_templates=given) == namespace


@pytest.mark.parametrize("spec", [REFERS, "workflowTemplateRef: {name: lib}"])
def test_one_that_is_elsewhere_is_not_found_and_where_it_is_is_told(spec: str) -> None:
    ran = run(workflow(spec, namespace="blue"), workflow_templates=[RED])
    assert ran.phase in ("Failed", "Error")
    assert 'workflowtemplates.argoproj.io "lib" not found: there is one in namespace red' in ran.message


def test_cluster_templates_are_in_none() -> None:
    shared = {**template("all", namespace="red"), "kind": "ClusterWorkflowTemplate"}
    spec = REFERS.replace("name: lib", "name: lib, clusterScope: true")
    assert said(workflow(spec, namespace="blue"), cluster_workflow_templates=[shared]) == "all"


def test_what_a_cluster_template_refers_to_is_in_the_workflows() -> None:
    step = {"name": "y", "templateRef": {"name": "lib", "template": "t"}}
    shared = {"spec": {"templates": [{"name": "t", "steps": [[step]]}]}}
    spec = REFERS.replace("name: lib", "name: lib, clusterScope: true")
    for namespace in ("red", "blue"):
        options = {"cluster_workflow_templates": {"lib": shared}, "workflow_templates": [RED, BLUE]}
        assert said(workflow(spec, namespace=namespace), **options) == namespace


READS = """
    templates:
    - {name: main, steps: [[{name: x, template: takes}]]}
    - name: takes
      inputs: {parameters: [{name: p, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}
      container: {image: i, args: ["{{inputs.parameters.p}} {{workflow.parameters.q}}"]}
    arguments: {parameters: [{name: q, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}
"""


def test_config_maps_are_those_of_the_workflows_namespace() -> None:
    maps = [config_map(value, namespace=value) for value in ("red", "blue")]
    assert said(workflow(READS, namespace="red"), config_maps=maps) == "red red"
    assert said(workflow(READS, namespace="blue"), config_maps=maps) == "blue blue"
    ran = run(workflow(READS), config_maps=maps)
    assert (ran.phase, "ConfigMap 'c' does not exist" in ran.message) == ("Failed", True)


class TestWhatAnEmbedderGives:
    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            ({"blue/lib": RED}, "WorkflowTemplate 'blue/lib': metadata.namespace: expected 'blue', got 'red'"),
            ({"lib": RED, "red/lib": RED}, 'workflowtemplates.argoproj.io "red/lib": it is given twice'),
            ([RED, RED], 'workflowtemplates.argoproj.io "red/lib": it is given twice'),
            ({"lib": template("a"), "default/lib": template("b")}, '"default/lib": it is given twice'),
            ({"a/b/c": template("a")}, "WorkflowTemplate 'a/b/c': expected it to be named as NAME or NAMESPACE/NAME"),
            ({"/lib": template("a")}, "expected it to be named as NAME or NAMESPACE/NAME"),
            ([{"spec": {}}], "WorkflowTemplate: metadata.name: expected a name, got nothing"),
        ],
    )
    def test_what_is_ambiguous_is_refused(self, given: Any, complaint: str) -> None:
        with pytest.raises(InvalidDocument) as caught:
            Engine(workflow_templates=given)
        assert complaint in str(caught.value)

    def test_a_cluster_template_has_no_namespace(self) -> None:
        with pytest.raises(InvalidDocument, match=r"expected it to be named as NAME$"):
            Engine(cluster_workflow_templates={"red/lib": RED})


LOCKED = """
    templates:
    - {name: main, steps: [[{name: x, template: slow}]]}
    - {name: slow, container: {image: i}, synchronization: SYNC}
"""
SLOW = "{slow: {duration: 1m}}"
SIZES = [config_map("1", namespace="red"), config_map("1", namespace="blue")]


def begun(sync: str) -> dict[str, int]:
    """When the leaf of each workflow began, of one in red and one in blue, in seconds."""

    class Noting(Recorder):
        def start(self, workflow: Workflow, template: Any, node: Node) -> Any:
            times[workflow.namespace] = int(self.clock() - 1_700_000_000)
            return super().start(workflow, template, node)

    async def both() -> None:
        works = [workflow(LOCKED.replace("SYNC", sync), namespace=namespace) for namespace in ("red", "blue")]
        async with Engine(executor=Noting(outcomes(SLOW)), config_maps=SIZES) as engine:
            await engine.run(works)
        assert {each.phase for each in works} == {"Succeeded"}

    times: dict[str, int] = {}
    asyncio.run(both())
    return times


@pytest.mark.parametrize(
    ("lock", "begins"),
    [
        ("{mutex: {name: m}}", 0),
        ("{semaphore: {configMapKeyRef: {name: c, key: k}}}", 0),
        ("{mutex: {name: m, namespace: red}}", 60),
        ("{semaphore: {namespace: red, configMapKeyRef: {name: c, key: k}}}", 60),
    ],
)
def test_locks_of_two_namespaces_are_two_unless_both_name_the_same(lock: str, begins: int) -> None:
    assert begun(lock) == {"red": 0, "blue": begins}


def test_the_size_of_a_semaphore_is_in_the_namespace_that_it_names() -> None:
    sync = "{semaphore: {namespace: green, configMapKeyRef: {name: c, key: k}}}"
    ran = run(workflow(LOCKED.replace("SYNC", sync), namespace="red"), config_maps=SIZES)
    assert "green/ConfigMap/c/k with limit: ConfigMap 'c' does not exist" in ran.message


def test_memos_are_remembered_per_namespace() -> None:
    memoize = "{key: k, cache: {configMap: {name: cache}}}"
    spec = f"templates: [{{name: main, container: {{image: i}}, memoize: {memoize}}}]"

    async def hits() -> list[bool]:
        works = [workflow(spec, f"w{n}", namespace=each) for n, each in enumerate(("red", "blue", "red", "blue"))]
        async with Engine(executor=Recorder(outcomes(""))) as engine:
            for work in works:
                await engine.run([work])
        found = [next(iter(work.nodes.values())).memoization_status for work in works]
        return [bool(each and each["hit"]) for each in found]

    assert asyncio.run(hits()) == [False, False, True, True]


class TestOutcomes:
    SPEC = "templates: [{name: main, steps: [[{name: x, template: leaf}]]}]"

    @pytest.mark.parametrize(
        ("ends", "failed"),
        [
            ("{leaf: {phase: Failed}}", ["red/v", "red/w", "blue/w"]),
            ("{red/leaf: {phase: Failed}}", ["red/v", "red/w"]),
            ("{red/w/leaf: {phase: Failed}}", ["red/w"]),
            ("{'blue/node:x': {phase: Failed}}", ["blue/w"]),
            ("{'red/v/node:x': {phase: Failed}}", ["red/v"]),
            ("{leaf: {phase: Failed}, red/leaf: {}}", ["blue/w"]),
            ("{leaf: {phase: Failed}, red/leaf: {}, red/v/leaf: {phase: Failed}}", ["red/v", "blue/w"]),
            ("{red/v/leaf: {phase: Failed}, 'node:x': {}}", []),
        ],
    )
    def test_the_closest_counts(self, ends: str, failed: list[str]) -> None:
        works = [
            workflow(self.SPEC, name, namespace=each) for each, name in (("red", "v"), ("red", "w"), ("blue", "w"))
        ]

        async def ran() -> list[str]:
            async with Engine(executor=Recorder(outcomes(ends))) as engine:
                await engine.run(works)
            return [work.key for work in works if work.phase == "Failed"]

        assert asyncio.run(ran()) == failed
