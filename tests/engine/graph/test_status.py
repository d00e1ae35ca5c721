"""What a run writes into the workflow and its nodes besides their phases."""

from __future__ import annotations

from tests.engine.graph.running import run

SPEC = (
    "templates: [{name: main, steps: [[{name: a, template: leaf}, {name: b, template: gen}, "
    "{name: w, template: pause}]]}, {name: pause, suspend: {duration: 1m}}]"
)


def test_progress_counts_leaves() -> None:
    ran = run(SPEC, "{gen: {phase: Failed}}")
    assert ran.status["progress"] == "2/3"
    assert {name: ran[name].progress for name in ran.nodes} == {"wf": "", "[0]": "", "a": "1/1", "b": "0/1", "w": "1/1"}
    ran = run(SPEC, timeout=1)
    assert ran.status["progress"] == "2/3"


def test_times_and_conditions() -> None:
    ran = run(SPEC)
    status = ran.status
    assert (status["startedAt"], status["finishedAt"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")
    assert (ran["a"].finished_at, ran["w"].finished_at) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")
    assert status["conditions"] == [{"type": "PodRunning", "status": "False"}, {"type": "Completed", "status": "True"}]
    labels = ran.workflow.document["metadata"]["labels"]
    assert labels == {"workflows.argoproj.io/phase": "Succeeded", "workflows.argoproj.io/completed": "true"}
    assert run("{}").status["conditions"] == [{"type": "Completed", "status": "True"}]


def test_nodes_say_where_they_come_from() -> None:
    ran = run(
        "templates: [{name: main, dag: {tasks: [{name: a, template: leaf, withItems: [x]}, "
        "{name: b, template: gen, when: 'false'}]}}]"
    )
    for name, template in (("wf", "main"), ("a", "leaf"), ("a(0:x)", "leaf"), ("b", "gen")):
        assert (ran[name].template_name, ran[name].template_scope) == (template, "local/wf")
    assert ran["wf"].id == "wf"
    assert (ran["wf"].boundary_id, ran["a(0:x)"].boundary_id) == ("", "wf")


def test_a_finished_workflow_is_left_alone() -> None:
    ran = run(SPEC)
    before = ran.workflow.encode()
    assert run(ran.workflow).workflow.encode() == before
