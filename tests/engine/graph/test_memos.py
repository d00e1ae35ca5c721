"""Memos: what was done before is not done again, of leaves and of what has nodes in it."""

from __future__ import annotations

import pytest

from engine.graph.memo import Key, Memo, Memos
from tests.engine.graph.running import Ran, run


class TestMemoize:
    SPEC = """
        templates:
        - name: main
          steps: [[{name: a, template: t, arguments: {parameters: [{name: k, value: KEY1}]}}], [{name: b,
            template: t, arguments: {parameters: [{name: k, value: KEY2}]}}]]
        - name: t
          inputs: {parameters: [{name: k}]}
          memoize: {key: "{{inputs.parameters.k}}", cache: {configMap: {name: c}}MAXAGE}
          container: {image: i}
          outputs: {parameters: [{name: v, valueFrom: {path: /v}}]}
        """

    def ran(
        self,
        first: str = "x",
        second: str = "x",
        age: str = "",
        ends: str = "{t: [{parameters: {v: 1}, duration: 1m}, {parameters: {v: 2}}]}",
    ) -> Ran:
        return run(self.SPEC.replace("KEY1", first).replace("KEY2", second).replace("MAXAGE", age), ends)

    def test_what_was_done_before_is_not_done_again(self) -> None:
        ran = self.ran()
        assert list(ran.executor.started) == ["a"]
        assert ran.outputs("b") == ran.outputs("a") == {"v": "1"}
        assert ran["a"].memoization_status == {"hit": False, "key": "x", "cacheName": "c"}
        assert ran["b"].memoization_status == {"hit": True, "key": "x", "cacheName": "c"}
        assert ran.phase == "Succeeded"

    LOCKED = """
        templates:
        - {name: main, dag: {tasks: [{name: a, template: t}, {name: b, template: t}]}}
        - name: t
          synchronization: {mutex: {name: m}}
          memoize: {key: k, cache: {configMap: {name: c}}}
          BODY
          outputs: {parameters: [{name: v, valueFrom: SOURCE}]}
        """

    @pytest.mark.parametrize(
        ("body", "source"),
        [
            ("script: {image: i, source: x}", "{path: /v}"),
            ("steps: [[{name: x, template: give}]]", "{parameter: '{{steps.x.outputs.parameters.v}}'}"),
            (
                "dag: {tasks: [{name: x, template: give}]}",
                "{parameter: '{{tasks.x.outputs.parameters.v}}'}",
            ),
        ],
    )
    @pytest.mark.parametrize("retry", ["", "retryStrategy: {limit: 1}"])
    def test_what_waited_for_a_lock_looks_again_once_it_has_it(self, body: str, source: str, retry: str) -> None:
        spec = self.LOCKED.replace("BODY", f"{body}\n          {retry}").replace("SOURCE", source)
        ends = "{t: {parameters: {v: 1}, duration: 1m}, give: {parameters: {v: 1}, duration: 1m}}"
        waiting = run(spec, ends, timeout=1)["b"]
        assert waiting.synchronization_status == {"waiting": "default/Mutex/m"}
        ran = run(spec, ends)
        assert len(ran.executor.started) == 1
        assert ran.outputs("a") == ran.outputs("b") == {"v": "1"}
        assert (ran["b"].phase, ran["b"].message, ran["b"].synchronization_status) == ("Succeeded", "", None)
        assert ran["b"].memoization_status == {"hit": True, "key": "k", "cacheName": "c"}

    def test_under_another_key_it_is(self) -> None:
        assert self.ran(second="y").outputs("b") == {"v": "2"}

    def test_what_failed_is_not_remembered(self) -> None:
        spec = (
            self.SPEC.replace("template: t, arg", "template: t, continueOn: {failed: true}, arg")
            .replace("KEY1", "x")
            .replace("KEY2", "x")
            .replace("MAXAGE", "")
        )
        assert run(spec, "{t: [{phase: Failed}, {parameters: {v: 2}}]}").outputs("b") == {"v": "2"}

    def test_for_so_long(self) -> None:
        spec = self.SPEC.replace("KEY1", "x").replace("KEY2", "x").replace("MAXAGE", ", maxAge: 10s")
        spec = (
            spec.replace("], [{name: b", "], [{name: pause, template: pause}], [{name: b")
            + "- {name: pause, suspend: {duration: 11s}}\n"
        )
        ran = run(spec, "{t: [{parameters: {v: 1}}, {parameters: {v: 2}}]}")
        assert ran.outputs("b") == {"v": "2"}

    @pytest.mark.parametrize(("first", "age"), [("'a/b'", ""), ("''", ""), ("x", ", maxAge: long")])
    def test_what_makes_no_sense_is_an_error(self, first: str, age: str) -> None:
        ran = self.ran(first=first, age=age)
        assert (ran["[0]"].phase, ran.phase) == ("Error", "Failed")

    def test_a_cache_may_be_named_by_a_number(self) -> None:
        ran = run(
            self.SPEC.replace("name: c}", "name: 5}").replace("KEY1", "x").replace("KEY2", "x").replace("MAXAGE", "")
        )
        assert ran["b"].memoization_status == {"hit": True, "key": "x", "cacheName": "5"}

    def test_steps_and_retried_templates(self) -> None:
        ran = run(
            """
            templates:
            - {name: main, steps: [[{name: a, template: t}], [{name: b, template: t}], [{name: c, template: echo,
                arguments: {parameters: [{name: text, value: "{{steps.b.outputs.parameters.o}}"}]}}]]}
            - name: t
              retryStrategy: {limit: 1}
              memoize: {key: k, cache: {configMap: {name: c}}}
              steps: [[{name: x, template: give}]]
              outputs: {parameters: [{name: o, valueFrom: {parameter: "{{steps.x.outputs.parameters.v}}"}}]}
            """,
            "{give: {parameters: {v: deep}}}",
        )
        assert ran.text("c") == "deep"
        assert ran.children("b") == ["[2]"]


def test_memos_beyond_what_there_is_room_for() -> None:
    memos = Memos(limit=3000)
    for number in range(100):
        memos.save(Key("default", "c", f"k{number}"), Memo({"result": "x" * 100}, None))
        assert memos.find(Key("default", "c", "k0"), None, 0.0) is not None  # asked for again and again
    kept = [number for number in range(100) if memos.find(Key("default", "c", f"k{number}"), None, 0.0)]
    assert kept == [0, 97, 98, 99]
    memos.save(Key("default", "c", "k0"), Memo({"result": "x" * 10_000}, None))
    assert memos.find(Key("default", "c", "k0"), None, 0.0) is None
