"""Where a loop's item may be named: in `when`, in arguments and hooks, by tags and in expressions (processItem)."""

from __future__ import annotations

import pytest

from tests.engine.graph.running import Ran, run

STEPS = "templates: [{name: main, steps: [[{name: s, template: echo, CALL}]]}]"
TASKS = "templates: [{name: main, dag: {tasks: [{name: s, template: echo, CALL}]}}]"
BOTH = pytest.mark.parametrize("spec", [STEPS, TASKS], ids=["steps", "tasks"])


def looped(spec: str, loop: str, text: str = "x", ends: str = "") -> Ran:
    call = f'{loop}, arguments: {{parameters: [{{name: text, value: "{text}"}}]}}'
    return run(spec.replace("CALL", call), ends)


def texts(ran: Ran) -> list[str]:
    """What the turns that ran were given, in order."""
    return [ran.text(name) for name in sorted(ran.phases) if name.startswith("s(") and name in ran.executor.started]


@BOTH
class TestWhen:
    @pytest.mark.parametrize(
        ("loop", "ran"),
        [
            ("when: \"'{{item}}' == 'a'\", withItems: [a, b]", ["a"]),
            ("when: \"'{{ item }}' == 'a'\", withItems: [a, b]", ["a"]),
            ("when: \"'{{item}}' =~ '[12]'\", withSequence: {count: 4}", ["1", "2"]),
            ("when: \"'{{=item}}' == '1'\", withSequence: {count: 2}", ["1"]),
            ("when: '{{=asInt(item) > 0}}', withSequence: {count: 2}", ["1"]),
            ("when: \"'{{item.k}}' == 'a'\", withItems: [{k: a}, {k: b}]", ['{"k":"a"}']),
            ("when: \"{{=(item.k ?? 'no') == 'a'}}\", withItems: [{k: a}, {l: b}]", ['{"k":"a"}']),
            ("when: \"'{{item}}' == 'b' || '{{item}}' == 'c'\", withItems: [a, b, c]", ["b", "c"]),
        ],
    )
    def test_it_is_decided_for_each_turn(self, spec: str, loop: str, ran: list[str]) -> None:
        assert texts(looped(spec, loop, "{{item}}")) == ran

    def test_over_a_parameter_of_the_workflow(self, spec: str) -> None:
        spec = f'arguments: {{parameters: [{{name: xs, value: \'["a", "b"]\'}}]}}\n{spec}'
        loop = "when: \"'{{item}}' == 'b'\", withParam: '{{workflow.parameters.xs}}'"
        ran = looped(spec, loop, "{{item}}")
        assert texts(ran) == ["b"]
        assert ran["s(0:a)"].message == "when ''a' == 'b'' evaluated false"

    def test_one_that_names_no_item_skips_all_turns_whatever_they_would_be_given(self, spec: str) -> None:
        ran = looped(spec, "when: a == b, withParam: '[1, \"x\"]'", "{{=asInt(item)}}{{item.k}}")
        assert (ran.phase, ran["s(0:1)"].phase, ran["s(1:x)"].phase) == ("Succeeded", "Skipped", "Skipped")

    def test_a_turn_that_was_skipped_before_there_was_an_item_runs_with_what_can_be_filled_in(self, spec: str) -> None:
        ran = looped(
            spec, "when: \"'{{item}}' == 'a'\", withParam: '[\"a\", \"b\"]'", "{{item}} {{=item.k}} {{item.k}}"
        )
        assert texts(ran) == ["a {{=item.k}} {{item.k}}"]


def test_a_turn_whose_when_was_false_without_an_item_runs_without_the_artifacts_of_others() -> None:
    ran = run(
        """
        templates:
        - name: main
          steps:
          - [{name: a, template: file}]
          - - name: b
              template: read
              when: "'{{item}}' == 'a'"
              withItems: [a]
              arguments: {artifacts: [{name: a, from: "{{steps.a.outputs.artifacts.a}}"}]}
        """
    )
    assert ran.phase == "Failed"
    assert "inputs.artifacts.a missing location information" in ran.message


@BOTH
class TestExpressions:
    @pytest.mark.parametrize(
        ("expression", "text"),
        [
            ("item.k + '-' + item.v", "a-2"),
            ("item['k']", "a"),
            ("item.k | upper()", "A"),
            ("item.k in ['a', 'b']", "true"),
            ("'v' in item", "true"),
            ("item.k == 'b' ? 'yes' : 'no'", "no"),
            ("asInt(item.v) * 3 + 1", "7"),
            ("item.v * 1 ?? 1", None),
            ("get(item, 'k')", "a"),
            ("get(item, 'z') ?? 'none'", "none"),
            ("item?.z ?? 'none'", "none"),
            ("item.z ?? 'none'", "none"),
            ("(item.z ?? item.k) + item.v", "a2"),
            ("item.z?.deeper ?? 'none'", "none"),
            ("upper(item.z ?? 'none')", "NONE"),
            ("sprig.trim(item.k)", "a"),
            ("toJson(item)", '{"k":"a","v":"2"}'),
            ("map(keys(item), upper(#)) | join(',')", "K,V"),
            ("workflow.name + item.k", "wfa"),
            ("item.z", None),
            ("item?.z", None),
            ("(item.z ?? '') + item.z", None),
            ("item.z.deeper ?? 'none'", None),
            ("item.k + 1", None),
            ("let x = item.k; x", None),
        ],
    )
    def test_they_work_over_items_as_elsewhere(self, spec: str, expression: str, text: str | None) -> None:
        ran = looped(spec, "withItems: [{k: a, v: 2}]", f"{{{{={expression}}}}}")
        if text is None:
            assert ran.phase in ("Failed", "Error")
            assert not ran.executor.started
        else:
            assert texts(ran) == [text]

    def test_none_is_called_where_one_of_them_cannot_be(self, spec: str) -> None:
        ran = looped(spec, "withItems: ['1', x]", "{{=asInt(item) + 1}}")
        assert ran.phase in ("Failed", "Error")
        assert not ran.executor.started

    def test_a_list_a_sequence_and_a_whole_map(self, spec: str) -> None:
        assert texts(looped(spec, "withItems: [[1, x]]", "{{=fromJSON(item)[1]}}")) == ["x"]
        assert texts(looped(spec, "withSequence: {count: 2, format: 'n%02d'}", "{{=item + '!'}}")) == ["n00!", "n01!"]
        assert texts(looped(spec, 'withParam: \'[{"k": {"l": 1}}]\'', "{{=fromJSON(item.k).l + 1}}")) == ["2"]


class TestHooks:
    CALL = "withItems: [{k: a}, {k: b}], hooks: {HOOK: {template: echo, arguments: {parameters: [{name: text, value: "

    def test_those_of_a_steps_turn_know_its_item(self) -> None:
        ran = looped(STEPS, f"{self.CALL.replace('HOOK', 'exit')} '{{{{item.k}}}}{{{{=upper(item.k)}}}}'}}]}}}}}}")
        assert [ran.text(f"s({turn}).onExit") for turn in ("0:k:a", "1:k:b")] == ["aA", "bB"]

    def test_so_do_their_conditions(self) -> None:
        hook = f"r: {{expression: \"'{{{{item.k}}}}' == 'b'\", {'template: echo, '}"
        ran = looped(STEPS, f"{self.CALL.replace('HOOK: {template: echo, ', hook)} x}}]}}}}}}")
        assert "s(1:k:b).hooks.r" in ran.phases
        assert "s(0:k:a).hooks.r" not in ran.phases

    def test_those_of_a_task_are_its_groups_and_do_not(self) -> None:
        ran = looped(TASKS, f"{self.CALL.replace('HOOK', 'exit')} '{{{{item.k}}}}'}}]}}}}}}")
        assert ran.text("s(0:k:a).onExit") == ran.text("s.onExit") == "{{item.k}}"

    @BOTH
    def test_none_can_read_what_the_turns_produce(self, spec: str) -> None:
        name = "steps" if spec is STEPS else "tasks"
        ran = looped(spec, f"{self.CALL.replace('HOOK', 'exit')} '{{{{{name}.s.status}}}}'}}]}}}}}}")
        assert ran.phase in ("Failed", "Error")
        assert any(node.message == f"failed to resolve {{{{{name}.s.status}}}}" for node in ran.nodes.values())


class TestOtherNodes:
    BEFORE = "{name: a, template: give}, {name: l, template: give, withItems: [1, 2]}"
    STEPS = f"steps: [[{BEFORE}], [{{name: s, CALL}}]]"
    TASKS = f"dag: {{tasks: [{BEFORE}, {{name: s, depends: a && l, CALL}}]}}"

    @pytest.mark.parametrize(
        ("expression", "text"),
        [
            ("NODES.a.outputs.parameters.v", "one"),
            ("NODES['a'].outputs['parameters'].v", "one"),
            ("NODES[`a`].status", "Succeeded"),
            ("get(NODES, 'a').outputs.parameters.v", "one"),
            ("NODES?.a?.outputs?.parameters?.v", "one"),
            ("NODES | get('a') | get('status')", "Succeeded"),
            ("NODES[trim(' a ')].outputs.parameters.v", "one"),
            ("get(NODES, 'l').outputs.parameters.v", '["one","one"]'),
            ("let all = NODES; all.a.status", "Succeeded"),
            ("keys(NODES) | sort() | join(',')", "a,l"),
            ("get($env.NODES, 'a').status", "Succeeded"),
            ("NODES.other?.outputs ?? 'none'", "none"),
            ("get(NODES, 'other') ?? 'none'", "none"),
            ("'other' in NODES ? 'there' : 'none'", "none"),
        ],
    )
    @pytest.mark.parametrize(("body", "nodes"), [(STEPS, "steps"), (TASKS, "tasks")], ids=["steps", "tasks"])
    def test_an_expression_finds_them_however_it_names_them(
        self, body: str, nodes: str, expression: str, text: str
    ) -> None:
        value = f"{{{{={expression.replace('NODES', nodes)}}}}}"
        call = f'template: echo, arguments: {{parameters: [{{name: text, value: "{value}"}}]}}'
        ran = run(f"templates: [{{name: main, {body.replace('CALL', call)}}}]", "give: {parameters: {v: one}}")
        assert ran.text("s") == text

    @pytest.mark.parametrize(
        "kind", ["steps: [[{name: a, template: leaf}]]", "dag: {tasks: [{name: a, template: leaf}]}"]
    )
    def test_so_does_that_of_an_output(self, kind: str) -> None:
        nodes = "steps" if kind.startswith("steps") else "tasks"
        expression = f"{nodes}?.other?.status ?? get({nodes}, 'a').status"
        ran = run(
            f"templates: [{{name: main, {kind}, outputs: {{parameters: ["
            f'{{name: v, valueFrom: {{expression: "{expression}"}}}},'
            f"{{name: w, valueFrom: {{expression: \"{nodes}.other?.x ?? 'none'\"}}}}]}}}}]"
        )
        assert ran.outputs("wf") == {"v": "Succeeded", "w": "none"}
