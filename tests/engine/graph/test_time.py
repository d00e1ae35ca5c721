"""What time it is to an expression: the engine's, which is simulated where leaves are."""

from __future__ import annotations

from tests.engine.graph.running import START, run

NOW = "{{=now().Unix()}}"
PAUSE = "{name: pause, suspend: {duration: 1h}}"


def test_now_goes_forward_with_simulated_time() -> None:
    say = f"arguments: {{parameters: [{{name: text, value: '{NOW}'}}]}}"
    ran = run(
        f"templates: [{{name: main, steps: [[{{name: a, template: echo, {say}}}], [{{name: w, template: pause}}], "
        f"[{{name: b, template: echo, {say}}}]]}}, {PAUSE}]"
    )
    assert (ran.text("a"), ran.text("b")) == (str(int(START)), str(int(START) + 3600))


def test_templates_conditions_and_outputs_read_it_too() -> None:
    ran = run(
        f"""
        templates:
        - name: main
          steps:
          - - {{name: w, template: pause}}
          - - {{name: late, template: stamped, when: "{{{{=now().Unix()}}}} >= {int(START) + 3600}"}}
            - {{name: early, template: stamped, when: "{{{{=now().Unix()}}}} < {int(START) + 3600}"}}
          outputs: {{parameters: [{{name: at, valueFrom: {{expression: "sprig.date('15:04', now())"}}}}]}}
        - {{name: stamped, container: {{image: i, args: ["{{{{=sprig.unixEpoch(now())}}}}"]}}}}
        - {PAUSE}
        """
    )
    assert ran.phases["late"] == "Succeeded"
    assert ran.phases["early"] == "Skipped"
    assert ran.text("late") == str(int(START) + 3600)
    assert ran.outputs("wf") == {"at": "23:13"}


def test_hooks_and_retries_read_it_too() -> None:
    ran = run(
        f"""
        templates:
        - name: main
          steps:
          - - {{name: w, template: pause}}
          - - name: a
              template: again
              hooks: {{late: {{template: leaf, expression: "now().Unix() >= {int(START) + 3600}"}},
                       early: {{template: leaf, expression: "now().Unix() < {int(START) + 3600}"}}}}
        - name: again
          retryStrategy: {{limit: 5, expression: "now().Unix() < {int(START) + 7200}"}}
          container: {{image: i}}
        - {PAUSE}
        """,
        "{again: {phase: Failed, duration: 20m}}",
    )
    assert {"a.hooks.late"} == {name for name in ran.nodes if ".hooks." in name}
    assert [name for name in ran.nodes if name.startswith("a(")] == ["a(0)", "a(1)", "a(2)"]


def test_labels_read_it_too() -> None:
    ran = run(
        "workflowMetadata: {labelsFrom: {day: {expression: \"sprig.date('2006-01-02', now())\"}}}\n"
        "templates: [{name: main, suspend: {}}]"
    )
    assert ran.workflow.document["metadata"]["labels"]["day"] == "2023-11-14"
