"""Whatever the text, the three languages answer or raise their one error."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.expressions import ExpressionError, evaluate
from engine.expressions.argo import FUNCTIONS
from engine.expressions.builtins import BUILTINS
from engine.expressions.depends import RESULTS, parse_depends
from engine.expressions.gotext import go_float
from engine.expressions.predicates import PREDICATES
from engine.expressions.sprig import SPRIG
from engine.expressions.times import Duration
from engine.expressions.when import evaluate_when

pytestmark = pytest.mark.no_cover

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
# fmt: off
TOKENS = st.sampled_from([
    "a", "b", "x", "1", "2.5", "'s'", "nil", "true", "#", ".n", "(", ")", "[", "]", "{", "}", ",", ":", ";", "|", "?",
    "?.", "..", "??", "+", "-", "*", "/", "%", "**", "==", "!=", "<", ">", "<=", "in", "not", "and", "or", "&&", "||",
    "matches", "contains", "startsWith", "let", "=", "if", "else", "!", " ", "\n", "len", "filter", "map", "sprig.",
])
# fmt: on


@given(st.text(max_size=60) | st.lists(TOKENS, max_size=20).map(" ".join), VALUES)
def test_any_text_is_evaluated_or_refused(text: str, value: object) -> None:
    with contextlib.suppress(ExpressionError):
        evaluate(text, {"a": value, "b": [1, 2, 3], "x": {"n": "1"}})


@given(
    st.sampled_from([*BUILTINS, *(f"sprig.{name}" for name in SPRIG), "jsonpath", "asInt"]),
    st.lists(VALUES, max_size=4),
)
def test_any_function_takes_any_arguments_or_refuses_them(name: str, arguments: list[object]) -> None:
    env = {f"v{index}": argument for index, argument in enumerate(arguments)}
    with contextlib.suppress(ExpressionError):
        evaluate(f"{name}({', '.join(env)})", env, clock=lambda: 0.0)


@given(
    st.sampled_from([*PREDICATES]),
    VALUES,
    st.sampled_from(["#", ".n", "# == 1", "{# > 'a'}", "#acc", "#index"]),
    VALUES,
)
def test_any_predicate_takes_any_list_or_refuses_it(name: str, array: object, predicate: str, extra: object) -> None:
    for call in (f"{name}(array, {predicate})", f"{name}(array, {predicate}, extra)", f"array | {name}({predicate})"):
        with contextlib.suppress(ExpressionError):
            evaluate(call, {"array": array, "extra": extra})


@given(
    st.sampled_from(
        ["+", "-", "*", "/", "%", "**", "==", "!=", "<", ">=", "in", "contains", "matches", "..", "??", "&&"]
    ),
    VALUES,
    VALUES,
)
def test_any_operator_takes_any_operands_or_refuses_them(operator: str, left: object, right: object) -> None:
    with contextlib.suppress(ExpressionError):
        evaluate(f"l.v {operator} r.v", {"l": {"v": left}, "r": {"v": right}})


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            ["a", "'b'", "1", "true", "==", "=~", "<", "&&", "||", "!", "-", "+", "**", "(", ")", ",", "in", "?", ":"]
        ),
        max_size=16,
    ).map(" ".join)
)
def test_any_condition_holds_or_not_or_is_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        assert evaluate_when(text) in (True, False)


OPERANDS = st.sampled_from(
    ["a", "b", "'a'", '"a"', "''", "true", "'true'", "in", "input", "1", "'1'", "'2024-01-01'", "a_b"]
)


@given(OPERANDS, st.sampled_from(["==", "!=", " == ", "  != "]), OPERANDS)
def test_plain_comparisons_mean_what_parsed_ones_mean(left: str, operator: str, right: str) -> None:
    def outcome(condition: str) -> object:
        try:
            return evaluate_when(condition)
        except ExpressionError:
            return None

    # Parentheses keep it from being taken for a plain one.
    assert outcome(f"{left}{operator}{right}") is outcome(f"({left}){operator}{right}")


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from(["A", "b-1.Failed", "&&", "||", "!", "(", ")", "C.Nope"]), max_size=16).map(" ".join),
    st.booleans(),
)
def test_any_depends_is_evaluated_or_refused(text: str, answer: bool) -> None:
    with contextlib.suppress(ExpressionError):
        depends = parse_depends(text)
        assert depends.evaluate(lambda task, result: task in depends.tasks and result in RESULTS and answer) in (
            True,
            False,
        )


NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)


@given(st.recursive(
    st.tuples(NAMES, st.sampled_from(RESULTS)),
    lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner) | st.tuples(st.just("not"), inner),
    max_leaves=8,
), st.sets(st.tuples(NAMES, st.sampled_from(RESULTS))))  # fmt: skip
def test_depends_agrees_with_the_logic_it_spells(term: object, happened: set[tuple[str, str]]) -> None:
    def spell(term: object) -> str:
        match term:
            case ("not", inner):
                return f"!({spell(inner)})"
            case ("and", left, right):
                return f"({spell(left)}) && ({spell(right)})"
            case ("or", left, right):
                return f"({spell(left)}) || ({spell(right)})"
            case (name, result):
                return f"{name}.{result}"
        raise AssertionError(term)

    def holds(term: object) -> bool:
        match term:
            case ("not", inner):
                return not holds(inner)
            case ("and", left, right):
                return holds(left) and holds(right)
            case ("or", left, right):
                return holds(left) or holds(right)
        return term in happened

    assert parse_depends(spell(term)).evaluate(lambda task, result: (task, result) in happened) is holds(term)


@given(st.text())
def test_any_text_survives_a_literal(text: str) -> None:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
    literal = "".join(escapes.get(character, character) for character in text)
    assert evaluate(f'"{literal}"', {}) == text


@given(st.text())
def test_text_survives_base64_and_json(text: str) -> None:
    assert evaluate(
        "fromBase64(toBase64(t)) == t && fromJSON(toJSON(t)) == t && sprig.b64dec(sprig.b64enc(t)) == t", {"t": text}
    )


@given(st.integers(-(2**61), 2**61), st.integers(-(2**61), 2**61))
def test_integers_add_and_compare_as_integers(left: int, right: int) -> None:
    env = {"l": left, "r": right}
    assert evaluate("l + r", env) == left + right
    assert evaluate("l < r", env) is (left < right)
    if right:
        assert evaluate("l % r", env) == (abs(left) % abs(right)) * (-1 if left < 0 else 1)


@given(st.integers(-(2**62), 2**62))
def test_durations_are_read_as_they_are_written(nanoseconds: int) -> None:
    assert Duration.parse(str(Duration(nanoseconds))) == Duration(nanoseconds)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_written_so_that_they_can_be_read(value: float) -> None:
    assert float(go_float(value)) == value


def test_every_function_has_a_name_of_its_own() -> None:
    assert not set(BUILTINS) & set(PREDICATES)
    assert set(FUNCTIONS) == {"asInt", "asFloat", "toJson", "jsonpath", "sprig"}
