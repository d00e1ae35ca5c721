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

    def test_suspends_are_not_remembered(self) -> None:
        spec = self.SPEC.replace("container: {image: i}", "suspend: {duration: 1}").replace("MAXAGE", "")
        spec = spec.replace("path: /v", "supplied: {}").replace("KEY1", "x").replace("KEY2", "x")
        ran = run(spec, "{t: [{parameters: {v: 1}}, {parameters: {v: 2}}]}")
        assert (ran.outputs("a"), ran.outputs("b")) == ({"v": "1"}, {"v": "2"})
        assert ran["b"].memoization_status == {"hit": False, "key": "x", "cacheName": "c"}

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

    def test_for_less_than_no_time(self) -> None:
        assert self.ran(age=", maxAge: -1s").outputs("b") == {"v": "2"}

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


class TestGivenCaches:
    """A ConfigMap that Argo has written is among the manifests (cache/configmap_cache.go)."""

    SPEC = """
        templates:
        - {name: main, steps: [[{name: a, template: t}], [{name: b, template: t}]]}
        - name: t
          memoize: {key: k, cache: {configMap: {name: c}}MAXAGE}
          container: {image: i}
          outputs: {parameters: [{name: v, valueFrom: {path: /v}}]}
        """
    ENTRY = (
        '{"nodeID": "x-1", "outputs": {"parameters": [{"name": "v", "value": "old", "valueFrom": {"path": "/v"}}]},'
        ' "creationTimestamp": "2023-11-14T22:13:00Z", "lastHitTimestamp": "2023-11-14T22:13:00Z"}'
    )

    def ran(self, entry: str = ENTRY, age: str = "", kind: str | None = "Cache") -> Ran:
        labels = {"workflows.argoproj.io/configmap-type": kind} if kind is not None else {}
        given = {"kind": "ConfigMap", "metadata": {"name": "c", "labels": labels}, "data": {"k": entry}}
        return run(self.SPEC.replace("MAXAGE", age), "{t: {parameters: {v: new}}}", config_maps=[given])

    @pytest.mark.parametrize("age", ["", ", maxAge: 1m"])
    def test_what_is_in_one_is_not_done_again(self, age: str) -> None:
        ran = self.ran(age=age)
        assert (ran.outputs("a"), ran.executor.started) == ({"v": "old"}, {})
        assert ran["a"].memoization_status == {"hit": True, "key": "k", "cacheName": "c"}

    @pytest.mark.parametrize(
        ("entry", "age"),
        [(ENTRY, ", maxAge: 10s"), ("", ""), ('{"outputs": null}', ""), ('{"nodeID": "x-1"}', ", maxAge: 1m")],
    )
    def test_what_is_too_old_or_not_there_is_done(self, entry: str, age: str) -> None:
        ran = self.ran(entry, age)
        assert list(ran.executor.started) == ["a"]
        assert ran.outputs("a") == ran.outputs("b") == {"v": "new"}

    @pytest.mark.parametrize(
        ("entry", "kind", "message"),
        [
            (ENTRY, None, "memoization configmap doesn't have workflows.argoproj.io/configmap-type label, refusing"),
            (ENTRY, "Parameter", "doesn't have label workflows.argoproj.io/configmap-type = Cache, refusing"),
            ("{", "Cache", "malformed cache entry: could not unmarshal JSON"),
            ('{"nodeID": "x", "outputs": {"parameters": {}}}', "Cache", "malformed cache entry"),
            ('{"nodeID": "x", "creationTimestamp": "soon"}', "Cache", "malformed cache entry"),
        ],
    )
    def test_one_that_is_no_cache_is_an_error(self, entry: str, kind: str | None, message: str) -> None:
        ran = self.ran(entry, kind=kind)
        assert (ran["a"].phase, ran["[0]"].phase, ran.phase) == ("Error", "Error", "Failed")
        assert message in ran["a"].message


def test_memos_beyond_what_there_is_room_for() -> None:
    memos = Memos(limit=3000)
    for number in range(100):
        memos.save(Key("default", "c", f"k{number}"), Memo({"result": "x" * 100}, None))
        assert memos.find(Key("default", "c", "k0")) is not None  # asked for again and again
    kept = [number for number in range(100) if memos.find(Key("default", "c", f"k{number}"))]
    assert kept == [0, 97, 98, 99]
    memos.save(Key("default", "c", "k0"), Memo({"result": "x" * 10_000}, None))
    assert memos.find(Key("default", "c", "k0")) is None
