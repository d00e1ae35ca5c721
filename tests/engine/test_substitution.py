"""Tags, filled in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.substitution.scope import Scope
from engine.substitution.text import (
    MAX_FILLED,
    SubstitutionError,
    TooLarge,
    UnresolvedError,
    compile_json,
    environment,
    render_string,
)
from engine.templates.template import Mentions, Step

SCOPE = {
    "inputs.parameters.message": "hello",
    "inputs.parameters.count": "3",
    "inputs.parameters.quoted": 'he said "hi"\n\t\\o/',
    "inputs.parameters": '[{"name":"message"}]',
    "steps.flip-coin.outputs.result": "heads",
    "steps.flip-coin.outputs.parameters.never": None,
    "workflow.name": "wf",
}


def filled(document: object, scope: Any = SCOPE, **options: Any) -> Any:
    return orjson.loads(compile_json(document).render(scope, **options))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{inputs.parameters.message}}", "hello"),
        ("{{ inputs.parameters.message }}", "hello"),
        ("<{{workflow.name}}-{{inputs.parameters.count}}>", "<wf-3>"),
        ("{{steps.flip-coin.outputs.result}}", "heads"),
        ("{{inputs.parameters.quoted}}", 'he said "hi"\n\t\\o/'),
        ("{{inputs.parameters}}", '[{"name":"message"}]'),
        ("no tag } { }} here", "no tag } { }} here"),
        ("{{=inputs.parameters.message + '!'}}", "hello!"),
        ("{{= asInt(inputs.parameters.count) * 2 }}", "6"),
        ("{{=steps['flip-coin'].outputs.result == \"heads\"}}", "true"),
        ("{{=inputs.parameters.quoted}}", 'he said "hi"\n\t\\o/'),
        ("{{=[1, 2.0, 'a', nil, {b: true}]}}", '[1,2,"a",null,{"b":true}]'),
        ("{{=toJson(filter([1, 3], {# > 1}))}}", "[3]"),
        ("{{=date('2023-01-02')}}", "2023-01-02T00:00:00Z"),
        ("{{=[date('2023-01-02'), 'x']}}", '["2023-01-02T00:00:00Z","x"]'),
        ("{{=duration('1m')}}", "60000000000"),
        ("{{=\n  workflow.name\n}}", "wf"),
        ("{{=1.5}} {{=4 / 2}} {{=true}}", "1.5 2 true"),
        ("{{='<&>'}}", "<&>"),
        ("{{=steps['flip-coin'].outputs.parameters.never ?? 'none'}}", "none"),
    ],
)
def test_tags_are_filled_in(text: str, result: str) -> None:
    assert filled({"a": [text]}) == {"a": [result]}
    assert render_string(text, SCOPE) == result


def test_keys_and_every_depth_are_filled_in() -> None:
    document = {"{{workflow.name}}": [{"b": {"c": "{{inputs.parameters.count}}"}}], "n": 1, "t": True}
    assert filled(document) == {"wf": [{"b": {"c": "3"}}], "n": 1, "t": True}


def test_what_is_put_in_is_not_scanned_again() -> None:
    assert filled("{{a}}", {"a": "{{b}}", "b": "no"}) == "{{b}}"


def test_a_tag_within_a_tag_is_filled_in_first() -> None:  # simpleReplaceStrict, and SubstituteParams' two rounds
    scope = {"workflow.parameters.which": "v", "inputs.parameters.v": "hello"}
    assert filled("{{inputs.parameters.{{workflow.parameters.which}}}}", scope, allow_unresolved=True) == "hello"
    text = '{{- with "{{inputs.parameters.v}}" -}}'
    assert filled(text, scope, allow_unresolved=True) == '{{- with "hello" -}}'


def test_expressions_can_be_left_alone() -> None:
    assert filled("{{=1 + 1}} {{workflow.name}}", evaluate=False) == "{{=1 + 1}} wf"


def test_a_text_without_tags_is_the_same_bytes_every_time() -> None:
    text = compile_json({"a": 1})
    assert text.render({}) is text.render(SCOPE)
    assert text.tags == frozenset()


def test_tags_can_be_listed() -> None:
    text = compile_json(["{{ a }}{{b.c}}", "{{b.c}}", '{{=d + "e"}}'])
    assert text.tags == {"a", "b.c", 'd + "e"'}


@pytest.mark.parametrize(
    ("item", "whole", "key", "expression"),
    [
        ("text", "text", None, "text"),
        (3, "3", None, "3"),
        (2.0, "2", None, "2"),
        (2.5, "2.5", None, "2.5"),
        (True, "true", None, "true"),
        ([1, 2.0, "a"], '[1,2,"a"]', None, '[1,2,"a"]'),
        ({"k": "v"}, '{"k":"v"}', "v", None),
        ({"k": 2.0}, '{"k":2}', "2", None),
        ({"k": {"z": [1], "a": None}}, '{"k":{"a":null,"z":[1]}}', '{"a":null,"z":[1]}', None),
    ],
)
def test_items_are_written_as_argo_writes_them(
    item: object, whole: str, key: str | None, expression: str | None
) -> None:
    assert filled("{{item}}", {"item": item}) == whole
    if key is not None:
        assert filled("{{item.k}} {{=item.k}}", {"item": item}) == f"{key} {key}"
    if expression is not None:
        assert filled("{{=item}}", {"item": item}) == expression


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{inputs.parameters.missing}}", "failed to resolve {{inputs.parameters.missing}}"),
        ("{{ missing }}", "failed to resolve {{ missing }}"),
        ("{{}}", "failed to resolve {{}}"),
        ("{{item.k}}", "failed to resolve {{item.k}}"),
        ("{{=missing}}", "failed to evaluate expression: missing is missing"),
        ("{{=other.deeper ?? 'x'}}", "failed to evaluate expression: other is missing"),
        (
            "{{=(inputs.parameters.other ?? '') + inputs.parameters.other}}",
            "failed to evaluate expression: inputs.parameters.other is missing",
        ),
        ("{{=inputs.other.deeper?.x}}", "failed to evaluate expression: inputs.other is missing"),
        ("{{=let x = 1; x}}", "failed to evaluate expression: x is missing"),
        ("{{=unknown(1)}}", "failed to evaluate expression: unknown is missing"),
    ],
)
def test_a_variable_that_is_missing_is_named(text: str, message: str) -> None:
    with pytest.raises(UnresolvedError) as caught:
        filled(text)
    assert str(caught.value) == message
    assert caught.value.tag == text[2:-2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "{{steps.flip-coin.outputs.parameters.never}}",
            "failed to resolve {{steps.flip-coin.outputs.parameters.never}} to",
        ),
        ("{{=1 +}}", "failed to evaluate expression: unexpected end of expression (1:4)"),
        ("{{=1 + 'a'}}", "failed to evaluate expression: invalid operation: int + string (1:3)"),
        ("{{=nil}}", "failed to evaluate expression 'nil': the result is nil"),
        ("{{=1 / 0}}", "failed to evaluate expression: json: unsupported value"),
        ("{{=steps['flip-coin'].outputs.parameters.never}}", "the result is nil"),
        ('{{="\n"}}', "unrecognized character"),
    ],
)
@pytest.mark.parametrize("mode", [{}, {"allow_unresolved": True, "required": ["steps"]}])
def test_what_can_never_be_filled_in_is_refused(text: str, reason: str, mode: dict[str, Any]) -> None:
    with pytest.raises(SubstitutionError) as caught:
        filled(text, **mode)
    assert reason in str(caught.value)
    assert not isinstance(caught.value, UnresolvedError)


def test_a_tag_that_never_ends_is_refused() -> None:
    with pytest.raises(SubstitutionError, match=r'Cannot find end tag="}}" starting from \'{{a'):
        compile_json(["{{a"])


@pytest.mark.parametrize(
    "text",
    [
        "{{missing}}",
        "{{ missing }}",
        "{{=missing}}",
        '{{=missing + "quoted"}}',
        "{{=sprig.int(retries)}}",
        '{{=workflow.status == "Succeeded" ? "yes" : "no"}}',
        "{{=lastRetry.exitCode ?? '1'}}",
        "{{=item}}",
        "{{=missing.deeper ?? nil}}",
        "{{tasks.a.outputs.artifacts.art}}",
    ],
)
def test_tags_that_cannot_be_filled_in_yet_stay_where_that_is_allowed(text: str) -> None:
    document = [text, "{{workflow.name}}"]
    assert filled(document, allow_unresolved=True) == [text, "wf"]
    with pytest.raises(UnresolvedError):
        filled(document)


@pytest.mark.parametrize(
    "text",
    [
        *("{{=1 + 'a'}}", "{{=nil}}", "{{=1 / 0}}", "{{=fromJSON(workflow.name)['k']}}", "{{=workflow.name.k}}"),
        *("{{= 1 / }}", "{{=<% %>=}}"),  # the latter is Mustache's
    ],
)
def test_an_expression_that_fails_stays_where_nothing_has_to_be_filled_in(text: str) -> None:
    assert filled(text, allow_unresolved=True) == text
    assert filled([text], allow_unresolved=True) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "{{=workflow.parameters?.x ?? 'none'}}",
        "{{=workflow.other ?? 'none'}}",
        "{{=inputs.parameters.other ?? workflow.other ?? 'none'}}",
        "{{=workflow.other?.deeper?.still ?? 'none'}}",
        "{{=get(inputs.parameters, 'other') ?? 'none'}}",
        "{{=inputs.parameters[workflow.name] ?? 'none'}}",
        "{{=let x = workflow.other?.x; x ?? 'none'}}",
        "{{='x' in $env ? 'some' : 'none'}}",
    ],
)
def test_an_expression_may_do_without_a_variable_that_is_guarded(text: str) -> None:
    assert filled(text, allow_unresolved=True, required=["workflow", "inputs"]) == "none"


def test_required_prefixes_must_be_there_all_the_same() -> None:
    options = {"allow_unresolved": True, "required": ("item", "tasks")}
    assert filled("{{items.a}} {{workflow.x}}", **options) == "{{items.a}} {{workflow.x}}"
    for text in ("{{item.name}}", "{{tasks}}", "{{=tasks.a.outputs.result}}"):
        with pytest.raises(UnresolvedError):
            filled(text, **options)
    # Whether an artifact is optional is decided where it is looked up.
    assert filled("{{tasks.a.outputs.artifacts.b}}", **options) == "{{tasks.a.outputs.artifacts.b}}"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('{{- with "{{inputs.parameters.message}}" -}} x {{ .y }}', '{{- with "hello" -}} x {{ .y }}'),
        ("{{ range {{inputs.parameters.message}} }}", "{{ range hello }}"),
        ("{{ a {{missing}} b }}", "{{ a {{missing}} b }}"),
    ],
)
def test_other_templates_may_stand_around_a_tag(text: str, result: str) -> None:
    assert filled(text, allow_unresolved=True) == result


def test_tags_see_all_layers_of_a_scope() -> None:
    below = Scope(None, {"workflow.name": "wf", "inputs.parameters.x": "outer"})
    scope = Scope(below, {"inputs.parameters.x": "inner", "item": {"k": 1}})
    assert filled("{{workflow.name}} {{inputs.parameters.x}} {{item.k}}", scope) == "wf inner 1"
    assert filled("{{=workflow.name + inputs.parameters.x + item.k + toJson(inputs)}}", scope) == (
        'wfinner1{"parameters":{"x":"inner"}}'
    )


def test_the_environment_nests_names_and_keeps_the_more_specific_of_two() -> None:
    assert environment(SCOPE) == {
        "inputs": {"parameters": {"message": "hello", "count": "3", "quoted": SCOPE["inputs.parameters.quoted"]}},
        "steps": {"flip-coin": {"outputs": {"result": "heads", "parameters": {"never": None}}}},
        "workflow": {"name": "wf"},
    }
    assert environment(dict(reversed(SCOPE.items()))) == environment(SCOPE)


def test_a_whole_does_not_hide_its_parts() -> None:
    scope = {
        "tasks.a.outputs.parameters": '{"x": "1"}',
        "tasks.a.outputs.parameters.x": "1",
        "item": "{}",
        "item.k": "v",
    }
    assert filled("{{=toJson(tasks.a.outputs.parameters)}} {{=item.k}} {{=toJson(item)}}", scope) == (
        '{"x":"1"} v {"k":"v"}'
    )


def test_now_is_the_time_of_the_outermost_scope() -> None:
    outer = Scope()
    outer.now = 86_400.0 * 366
    inner = Scope(Scope(outer))
    assert filled("{{=now().Year()}} {{=sprig.date('2006', nil)}}", inner) == "1971 1971"
    assert render_string("{{=now().Year()}}", inner) == "1971"


@given(st.text())
def test_any_text_survives_substitution(value: str) -> None:
    scope = {"a": value}
    assert filled({"k": ["<{{a}}>", "<{{=a}}>", "{{=a + a}}"]}, scope) == {"k": [f"<{value}>", f"<{value}>", value * 2]}
    assert render_string("{{a}}{{=a}}", scope) == value * 2


@given(st.recursive(st.text(alphabet='{}=ab "\\.', max_size=12), lambda inner: st.lists(inner, max_size=3)))
def test_any_document_is_filled_in_or_refused(document: object) -> None:
    try:
        result = compile_json(document).render({"a": "1", "b": '"'}, allow_unresolved=True)
    except SubstitutionError:
        return
    orjson.loads(result)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(SubstitutionError, match="no valid text"):
        filled("{{a}}", {"a": "\ud800"})


@pytest.mark.parametrize("text", ["{{" + " " * 500_000, "{{" * 250_000, "{{" + " " * 500_000 + "}}", "{{a}} " * 80_000])
def test_tags_are_found_in_one_run_over_the_text(text: str) -> None:
    """What is more than linear runs into the test's own limit."""
    if "}}" not in text:
        with pytest.raises(SubstitutionError, match="Cannot find end tag"):
            compile_json(text)
    else:
        assert orjson.loads(compile_json(text).render({"a": "1"}, allow_unresolved=True)) == text.replace("{{a}}", "1")
    step = {"name": "s", "template": "t", "arguments": {"artifacts": [{"name": "a", "from": text}]}}
    if text.startswith("{{ ") and text.endswith("}}"):
        assert Step(step).call.tags == {""}


def test_what_tags_stand_for_has_a_bound() -> None:
    half = "x" * (MAX_FILLED // 2)
    assert len(compile_json("{{a}}{{a}}").render({"a": half})) == MAX_FILLED + 2
    with pytest.raises(TooLarge, match="more than 16 MiB in all"):
        compile_json("{{a}}{{a}}{{b}}").render({"a": half, "b": "y"})


def test_the_expressions_of_one_text_share_a_budget() -> None:
    with pytest.raises(SubstitutionError, match="budget exceeded"):
        compile_json("{{=len(1..900000)}}" * 5).render({})


@pytest.mark.parametrize(
    "text", ["{{=" * 100_000, "steps['" * 100_000, "steps[" + "\\" * 100_000, '"expression":"' * 50_000]
)
def test_what_a_document_mentions_is_found_in_one_run_over_it(text: str) -> None:
    assert "a" not in Mentions([text, "{{steps.b.status}}"])
