"""Loops of steps and tasks, and the lists that their outputs become."""

from __future__ import annotations

import json

import pytest

from tests.engine.graph.running import Ran, run
from tests.engine.operations.driving import drive, reloaded


def looped(
    loop: str,
    body: str = (
        "steps: [[{name: s, template: echo, arguments: {parameters: [{name: text, value: '{{item}}'}]}, LOOP}]]"
    ),
    head: str = "",
) -> str:
    return f"{head}templates: [{{name: main, {body.replace('LOOP', loop)}}}]"


class TestItems:
    def test_scalars(self) -> None:
        ran = run(looped("withItems: [a, 1, 2.50, true, null]"))
        assert {name for name in ran.phases if "(" in name} == {"s(0:a)", "s(1:1)", "s(2:2.5)", "s(3:true)", "s(4:[])"}
        assert [ran.text(f"s({n})") for n in ("0:a", "1:1", "2:2.5", "3:true", "4:[]")] == [
            "a",
            "1",
            "2.5",
            "true",
            "null",
        ]

    def test_maps_and_lists(self) -> None:
        ran = run(
            looped(
                "withItems: [{k: v, a: 1}, [x, 2]]",
                (
                    "steps: [[{name: s, template: echo, arguments: {parameters: [{name: text, "
                    "value: '{{item}}'}]}, LOOP}]]"
                ),
            )
        )
        assert json.loads(ran.text("s(0:a:1,k:v)")) == {"k": "v", "a": 1}
        assert ran.text("s(1:[x 2])") == '["x",2]'

    def test_json_is_taken_as_it_is_written(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps: [[{name: a, template: echo, withParam: '[{"l": [1, 2],  "m": {"b": 1.0, "a": "<"}}, 1.0, 1e3,
                [1.0, "x y"]]', arguments: {parameters: [{name: text, value: "{{item}}"}]}}]]
            """
        )
        assert ran.children("[0]") == ['a(0:l:[1,2],m:{"b":1.0,"a":"<"})', "a(1:1.0)", "a(2:1e3)", "a(3:[1.0 x y])"]
        texts = [ran.text(name) for name in ran.children("[0]")]
        assert texts == ['{"l":[1,2],"m":{"b":1.0,"a":"\\u003c"}}', "1.0", "1e3", '[1.0,"x y"]']

    def test_numbers_of_the_manifest_are_those_of_gos_json(self) -> None:
        ran = run("templates: [{name: main, steps: [[{name: a, template: leaf, withItems: [1.0, 2.5, {n: 3.0}]}]]}]")
        assert ran.children("[0]") == ["a(0:1)", "a(1:2.5)", "a(2:n:3)"]

    def test_keys_of_a_map(self) -> None:
        ran = run(
            looped(
                "withItems: [{k: v, a: 1}, {k: w, a: {b: c}}]",
                (
                    "steps: [[{name: s, template: echo, arguments: {parameters: [{name: text, "
                    "value: '{{item.k}} {{item.a}}'}]}, LOOP}]]"
                ),
            )
        )
        assert ran.text("s(0:a:1,k:v)") == "v 1"
        assert ran.text('s(1:a:{"b":"c"},k:w)') == 'w {"b":"c"}'

    def test_parentheses_are_left_out_of_names(self) -> None:
        assert "s(0:a b)" in run(looped("withItems: ['(a) b']")).phases

    @pytest.mark.parametrize(
        ("item", "label", "text"),
        [
            ('say "hi"', 'say \\"hi\\"', 'say "hi"'),
            ("a\\b", "a\\\\b", "a\\b"),
            ("two\nlines", "two\\nlines", "two\nlines"),
            ("<a&b>", "<a&b>", "<a&b>"),
            ("é\u2028", "é\\u2028", "é\u2028"),
            ('{"a": 1}', '{\\"a\\": 1}', '{"a": 1}'),
        ],
    )
    @pytest.mark.parametrize("kind", ["withItems", "withParam"])
    def test_a_text_is_named_by_its_json_without_the_quotes_around_it(
        self, item: str, label: str, text: str, kind: str
    ) -> None:
        loop = json.dumps([item], ensure_ascii=False)
        ran = run(looped(f"{kind}: {loop if kind == 'withItems' else json.dumps(loop, ensure_ascii=False)}"))
        assert ran.children("[0]") == [f"s(0:{label})"]
        assert ran.text(f"s(0:{label})") == text

    def test_so_is_a_text_inside_an_item(self) -> None:
        param = json.dumps(json.dumps([{"k": 'a"b', "l": [1, "<"]}, ['a"b', {"c": 1}]]))
        assert run(looped(f"withParam: {param}")).children("[0]") == [
            's(0:k:a\\"b,l:[1,"<"])',
            's(1:[a\\"b {"c":1}])',
        ]

    def test_an_empty_list_is_no_loop(self) -> None:
        spec = looped("withItems: []").replace("{{item}}", "once")
        assert run(spec).text("s") == "once"


class TestParam:
    @pytest.mark.parametrize(
        ("value", "names"),
        [
            ('["a", "b"]', {"s(0:a)", "s(1:b)"}),
            ("[1.0, 2.5, 12345678901234567890]", {"s(0:1.0)", "s(1:2.5)", "s(2:12345678901234567890)"}),
            ('[{"x": "1"}]', {"s(0:x:1)"}),
            ('[1e400, {"x": -1e400}]', {"s(0:1e400)", "s(1:x:-1e400)"}),
        ],
    )
    def test_a_list_of_json(self, value: str, names: set[str]) -> None:
        head = f"arguments: {{parameters: [{{name: list, value: '{value}'}}]}}\n"
        assert names <= set(run(looped("withParam: '{{workflow.parameters.list}}'", head=head)).phases)

    @pytest.mark.parametrize("value", ["[]", "null"])
    def test_an_empty_one_is_skipped(self, value: str) -> None:
        ran = run(looped(f"withParam: '{value}'"))
        assert (ran["s"].phase, ran["s"].message) == ("Skipped", "Skipped, empty params")
        assert ran.phase == "Succeeded"

    def test_what_is_no_list_is_an_error_of_the_group(self) -> None:
        ran = run(looped("withParam: '{}'"))
        assert ran["[0]"].phase == "Error"
        assert ran["[0]"].message == "withParam value could not be parsed as a JSON list: {}"

    def test_items_without_the_key_that_is_named(self) -> None:
        spec = looped("""withParam: '[{"a": 1}]'""").replace("{{item}}", "{{item.b}}")
        ran = run(spec)
        assert (ran.phase, ran["[0]"].phase) == ("Failed", "Error")

    def test_the_output_of_another_step(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps:
              - - {name: a, template: gen}
              - - name: b
                  template: echo
                  arguments: {parameters: [{name: text, value: "{{item}}"}]}
                  withParam: "{{steps.a.outputs.result}}"
            """,
            "{gen: {result: '[1, 2, 3]'}}",
        )
        assert [ran.text(f"b({n}:{n + 1})") for n in range(3)] == ["1", "2", "3"]


class TestSequence:
    @pytest.mark.parametrize(
        ("sequence", "items"),
        [
            ("count: 3", ["0", "1", "2"]),
            ("count: '2', start: '5'", ["5", "6"]),
            ("start: 2, end: 4", ["2", "3", "4"]),
            ("start: 4, end: 2", ["4", "3", "2"]),
            ("count: 2, format: 'n%02d'", ["n00", "n01"]),
            ("count: 1, start: 10, format: '%x'", ["a"]),
            ("end: 0", ["0"]),
            ("count: 1, start: 5, format: '%b'", ["101"]),
            ("count: 1, start: 31, format: '%#04X'", ["0X1F"]),
            ("count: 1, start: 7, format: '%+v'", ["+7"]),
            ("count: 1, start: 7, format: '100%%-%-3d|'", ["100%-7  |"]),
            ("count: 1, start: 65, format: '%%%c'", ["%A"]),
            ("start: -1, end: -1, format: '%03d'", ["-01"]),
        ],
    )
    def test_numbers(self, sequence: str, items: list[str]) -> None:
        ran = run(looped(f"withSequence: {{{sequence}}}"))
        assert [ran.text(f"s({n}:{item})") for n, item in enumerate(items)] == items
        assert len(ran.executor.started) == len(items)

    def test_none(self) -> None:
        assert run(looped("withSequence: {count: 0}"))["s"].message == "Skipped, empty params"

    def test_a_count_that_is_no_number(self) -> None:
        ran = run(looped("withSequence: {count: '{{workflow.name}}'}"))
        assert ran["[0]"].message == "withSequence count: expected an integer, got 'wf'"

    def test_more_than_anybody_meant(self) -> None:
        assert "1000000 are allowed" in run(looped("withSequence: {count: 123456789}"))["[0]"].message
        items = f"[{','.join(['1'] * 1_000_001)}]"
        message = "withParam expands to 1000001 items, 1000000 are allowed"
        assert run(looped(f"withParam: '{items}'"))["[0]"].message == message


class TestWhen:
    def test_each_turn_decides_for_itself(self) -> None:
        ran = run(looped("withItems: [1, 2], when: '{{item}} > 1'"))
        assert (ran["s(0:1)"].phase, ran["s(1:2)"].phase) == ("Skipped", "Succeeded")
        assert ran["s(0:1)"].message == "when '1 > 1' evaluated false"

    def test_where_no_turn_has_to_be_asked_all_are_skipped(self) -> None:
        ran = run(looped("withItems: [1, 2], when: 'false'"))
        assert (ran["s(0:1)"].phase, ran["s(1:2)"].phase) == ("Skipped", "Skipped")

    def test_it_protects_a_loop_over_what_was_never_made(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              steps:
              - - {name: a, template: gen, when: "false"}
              - - name: b
                  template: echo
                  arguments: {parameters: [{name: text, value: "{{item}}"}]}
                  when: "{{steps.a.status}} == Succeeded"
                  withParam: "{{steps.a.outputs.result}}"
            """
        )
        assert (ran["b"].phase, ran.phase) == ("Skipped", "Succeeded")


class TestAggregates:
    AFTER = """
        templates:
        - name: main
          steps:
          - - {name: a, template: both, withItems: [1, 2, 3], arguments: {}, continueOn: {failed: true}}
          - - {name: b, template: echo, arguments: {parameters: [{name: text, value: "VALUE"}]}}
        - name: both
          script: {image: python, source: x}
          outputs: {parameters: [{name: v, valueFrom: {path: /v}}]}
        """
    ENDS = """
        'node:a(0:1)': {result: 10, parameters: {v: x}}
        'node:a(1:2)': {result: '{"b": 1}', parameters: {v: y}}
        'node:a(2:3)': {result: '"text"', parameters: {v: z}}
        """

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("{{steps.a.outputs.result}}", '[10,{"b":1},"text"]'),
            ("{{steps.a.outputs.parameters}}", '[{"v":"x"},{"v":"y"},{"v":"z"}]'),
            ("{{steps.a.outputs.parameters.v}}", '["x","y","z"]'),
            ("{{steps.a.status}}", "Succeeded"),
        ],
    )
    def test_lists_in_the_order_of_the_items(self, value: str, text: str) -> None:
        assert run(self.AFTER.replace("VALUE", value), self.ENDS).text("b") == text

    def test_only_of_those_that_succeeded(self) -> None:
        ends = self.ENDS.replace("'node:a(1:2)': {result", "'node:a(1:2)': {phase: Failed, result")
        ran = run(self.AFTER.replace("VALUE", "{{steps.a.outputs.parameters.v}}"), ends)
        assert ran.text("b") == '["x","z"]'

    def test_a_result_that_is_no_json_fails_where_it_is_read(self) -> None:
        ends = self.ENDS.replace("result: 10", "result: ten")
        assert run(self.AFTER.replace("VALUE", "{{steps.a.outputs.result}}"), ends).phase == "Error"
        assert run(self.AFTER.replace("VALUE", "{{steps.a.outputs.parameters.v}}"), ends).phase == "Succeeded"

    def test_values_that_are_json_themselves_are_a_list_of_those(self) -> None:
        ran = run(
            self.AFTER.replace("VALUE", "{{steps.a.outputs.parameters.v}}"),
            """
            'node:a(0:1)': {parameters: {v: '["a"]'}}
            'node:a(1:2)': {parameters: {v: '{"b": 1}'}}
            'node:a(2:3)': {parameters: {v: '[]'}}
            """,
        )
        assert json.loads(ran.text("b")) == [["a"], {"b": 1}, []]

    def test_of_a_task(self) -> None:
        ran = run(
            """
            templates:
            - name: main
              dag:
                tasks:
                - {name: a, template: give, withSequence: {count: 2}}
                - {name: b, template: echo, depends: a, arguments: {parameters: [{name: text,
                    value: "{{tasks.a.outputs.parameters.v}}"}]}}
            """,
            "{give: {parameters: {v: 1}}}",
        )
        assert ran.text("b") == '["1","1"]'


class TestTaskGroups:
    SPEC = (
        "templates: [{name: main, dag: {tasks: [{name: a, template: leaf, withItems: [1, 2]}, "
        "{name: b, template: leaf, depends: a}]}}]"
    )

    def test_the_turns_hang_under_a_group(self) -> None:
        ran = run(self.SPEC)
        assert (ran["a"].type, ran["a"].template_name) == ("TaskGroup", "leaf")
        assert ran.children("a") == ["a(0:1)", "a(1:2)"]
        assert ran.children("a(0:1)") == ["b"] == ran.children("a(1:2)")

    @pytest.mark.parametrize(("first", "second"), [("Failed", "Error"), ("Error", "Failed")])
    def test_the_group_ends_as_the_last_item_that_did_not_succeed(self, first: str, second: str) -> None:
        ran = run(
            "templates: [{name: main, dag: {tasks: [{name: a, template: leaf, withItems: [1, 2, 3]}]}}]",
            f"{{'node:a(0:1)': {{phase: {first}, duration: 9s}}, 'node:a(1:2)': {{phase: {second}}}}}",
        )
        assert (ran["a"].phase, ran.phase) == (second, second)

    def test_the_group_fails_with_a_turn(self) -> None:
        ran = run(self.SPEC, "{'node:a(0:1)': {phase: Failed}}")
        assert (ran["a"].phase, ran["b"].phase, ran.phase) == ("Failed", "Omitted", "Failed")

    def test_an_empty_one_is_skipped(self) -> None:
        ran = run(self.SPEC.replace("withItems: [1, 2]", "withParam: '[]'"))
        assert (ran["a"].phase, ran["b"].phase) == ("Skipped", "Succeeded")

    FAN = """
        HEADtemplates:
        - name: main
          dag:
            tasks:
            - {name: gen, template: gen}
            - {name: fan, template: CALLED, depends: gen, withParam: "{{tasks.gen.outputs.result}}"MORE}
            - {name: after, template: leaf, depends: fan}
        - {name: say, inputs: {parameters: [{name: text, value: x}]}, container: {image: i}}
        - {name: both, steps: [[{name: in, template: leaf}]]}
        - {name: again, retryStrategy: {limit: 1}, container: {image: i}}
        """

    def fan(self, called: str = "leaf", more: str = "", ends: str = "{gen: {result: ''}}") -> Ran:
        return run(self.FAN.replace("HEAD", "").replace("CALLED", called).replace("MORE", more), ends)

    def test_one_whose_list_turns_out_to_be_an_empty_text_is_a_group_all_the_same(self) -> None:  # ShouldExpand
        ran = self.fan()
        assert (ran["fan"].type, ran["fan"].phase, ran["after"].phase, ran.phase) == ("TaskGroup", *("Succeeded",) * 3)
        assert list(ran.executor.started) == ["gen", "fan", "after"]
        assert ran.children("fan") == ["after"]

    def test_it_ends_as_what_it_calls(self) -> None:
        ran = self.fan("say", ends="{gen: {result: ''}, say: {phase: Failed}}")
        assert (ran["fan"].type, ran["fan"].phase, ran["after"].phase, ran.phase) == (
            "TaskGroup",
            "Failed",
            "Omitted",
            "Failed",
        )
        assert (self.fan("both")["fan"].type, self.fan("both").phase) == ("TaskGroup", "Succeeded")
        assert self.fan("again", ends="{gen: {result: ''}, again: [{phase: Failed}, {}]}").phase == "Succeeded"

    @pytest.mark.parametrize("called", ["say", "both"])
    def test_it_can_be_retried_and_goes_on_in_another_process(self, called: str) -> None:
        spec = self.FAN.replace("HEAD", "").replace("CALLED", called).replace("MORE", "").replace("leaf}]]", "say}]]")
        ends = "{gen: {result: ''}, say: {phase: Failed}}", "{gen: {result: ''}, say: {}}"
        ran = drive(spec, ends, lambda engine, work: engine.retry(work))
        assert (ran["fan"].type, ran.phase, ran["after"].phase) == ("TaskGroup", "Succeeded", "Succeeded")
        assert ran.started == ["in" if called == "both" else "fan", "after"]
        slow = "{gen: {result: ''}, say: {duration: 10s}}"
        ran = drive(reloaded(drive(spec, slow, timeout=1).workflow), slow)
        assert (ran["fan"].type, ran.phase, ran["after"].phase) == ("TaskGroup", "Succeeded", "Succeeded")

    def test_a_condition_still_counts_for_it(self) -> None:
        ran = self.fan(more=", when: \"'{{tasks.gen.outputs.result}}' != ''\"")
        assert (ran["fan"].type, ran["fan"].phase, ran.phase) == ("Skipped", "Skipped", "Succeeded")
        ran = self.fan(more=', when: "{{tasks.gen.outputs.result}} != a"')
        assert (ran["fan"].phase, ran["fan"].message[:14], ran.phase) == ("Error", "Invalid 'when'", "Error")

    def test_one_whose_list_is_empty_before_any_task_has_run_is_none(self) -> None:
        spec = self.FAN.replace("HEAD", "arguments: {parameters: [{name: l, value: ''}]}\n        ")
        spec = spec.replace("{{tasks.gen.outputs.result}}", "{{workflow.parameters.l}}")
        assert run(spec.replace("CALLED", "leaf").replace("MORE", ""))["fan"].type == "Pod"

    def test_a_step_is_none(self) -> None:
        ran = run(
            "templates: [{name: main, steps: [[{name: gen, template: gen}], "
            "[{name: fan, template: leaf, withParam: '{{steps.gen.outputs.result}}'}]]}]",
            "{gen: {result: ''}}",
        )
        assert (ran["fan"].type, ran.phase) == ("Pod", "Succeeded")
