"""Hostile expressions end in an error, in bounded time and memory."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.expressions import ExpressionError, budget, evaluate
from engine.expressions.budget import MAX_SIZE
from engine.expressions.builtins import BUILTINS
from engine.expressions.depends import parse_depends
from engine.expressions.errors import Invalid
from engine.expressions.sprig import SPRIG
from engine.expressions.times import Duration
from engine.expressions.when import evaluate_when
from rpc.durations import parse_duration

pytestmark = pytest.mark.no_cover

HOSTILE = [
    "0..1000000000",
    "-1000000000..0",
    "repeat('a', 1000000000)",
    "sprig.repeat(1000000000, 'a')",
    "repeat(repeat('a', 999999), 999999)",
    "map(1..1000, repeat('a', 999999))",
    "reduce(1..100000, #acc + 'aaaaaaaaaa', '')",
    "reduce(1..30, #acc + #acc, 'aa')",
    "reduce(1..30, concat(#acc, #acc), [1])",
    "map(1..1000, map(1..1000, map(1..1000, 1)))",
    "replace(repeat('a', 999999), 'a', repeat('b', 999999))",
    "replace(repeat('a', 999999), '', repeat('b', 999999))",
    "join(map(1..1000, repeat('a', 999)), repeat('b', 99999))",
    "sprig.indent(1000000000, 'a')",
    "sprig.until(1000000000)",
    "sprig.untilStep(0, 9000000000000000000, 1)",
    "sprig.seq(1, 1000000000)",
    "sprig.regexReplaceAll('', repeat('a', 999999), repeat('b', 99999))",
    "sprig.randAlpha(1000000000)",
    "flatten(map(1..2000, 1..2000))",
    "fromJSON(repeat('[', 900000))",
    "fromJSON(repeat('[', 900) + repeat(']', 900))",
    "string(reduce(1..100000, [#acc]))",
    "toJson(reduce(1..100000, [#acc]))",
    "(" * 5000 + "1" + ")" * 5000,
    "[" * 5000 + "1" + "]" * 5000,
    "!" * 5000 + "true",
    "-" * 5000 + "1",
    "a" + ".a" * 40000,
    "1 ? " * 2000 + "1" + ": 1" * 2000,
    "let x = 1; " * 3000 + "x",
    "1;" * 3000 + "1",
    "1" * 100_000,
]


@pytest.mark.parametrize("expression", HOSTILE, ids=lambda expression: expression[:48])
def test_hostile_expressions_are_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, {"a": {}})


@pytest.fixture
def sparing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of what an evaluation may do: what goes on until all of it is used up is refused for the same, sooner."""
    for name in ("MAX_VOLUME", "MAX_STEPS"):
        monkeypatch.setattr(budget, name, getattr(budget, name) // 10)


@pytest.mark.usefixtures("sparing")
@pytest.mark.parametrize(
    "expression",
    [
        "reduce(1..64, [#acc, #acc], 'x') == reduce(1..64, [#acc, #acc], 'x')",
        "all(1..100000, any(1..100000, # == 0) == false)",
        "let xs = 1..100000; all(xs, -1 not in xs)",
        "let xs = 1..100000; map(xs, uniq(xs))",
    ],
)
def test_what_uses_up_its_budget_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError, match="budget exceeded"):
        evaluate(expression, {})


@pytest.mark.parametrize(
    "expression",
    [
        "map(1..1000, repeat('a', 999999))",
        "reduce(1..30, concat(#acc, #acc), [1])",
        "join(map(1..1000, repeat('a', 999)), repeat('b', 99999))",
    ],
)
def test_memory_stays_bounded(expression: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ExpressionError, match="memory budget exceeded"):
            evaluate(expression, {})
        assert tracemalloc.get_traced_memory()[1] < 256 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_no_regular_expression_takes_exponential_time() -> None:
    # A backtracking engine would need 2^60 steps.
    assert evaluate("text matches '^(a+)+$'", {"text": "a" * 60 + "b"}) is False


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (" + ".join(["1"] * 5000), 5000),
        (" || ".join(["false"] * 5000), False),
        ("'x'" + " + 'x'" * 5000, "x" * 5001),
        ("len(1..1000000)", 1000000),
        ("len(repeat('a', 1000000))", 1000000),
        ("sum(map(1..100000, # * 2))", 10000100000),
    ],
    ids=lambda value: str(value)[:24],
)
def test_long_but_honest_expressions_run(expression: str, value: object) -> None:
    assert evaluate(expression, {}) == value


def test_deep_conditions_and_dependencies_are_refused() -> None:
    with pytest.raises(ExpressionError, match="nested too deeply"):
        evaluate_when("(" * 5000 + "a == a" + ")" * 5000)
    with pytest.raises(ExpressionError, match="nested too deeply"):
        parse_depends("(" * 5000 + "A" + ")" * 5000)


def test_long_conditions_and_dependencies_run() -> None:
    assert evaluate_when(" && ".join(["a == a"] * 2000)) is True
    depends = parse_depends(" && ".join(f"(task-{number}.Succeeded)" for number in range(2000)))
    assert len(depends.tasks) == 2000
    assert depends.evaluate(lambda task, result: True) is True
    assert parse_depends(" && ".join(f"task-{number}" for number in range(2000))).tasks[-1] == "task-1999"
    assert parse_depends("!" * 5000 + "A").evaluate(lambda task, result: True) is True


SIZE = 50_000
"""Characters: what is quadratic in them takes minutes, and runs into the test's own limit."""

ELEMENTS = 20_000
"""So does what is quadratic in these, of which each costs more than a character."""

LONG: dict[str, object] = {
    "capitals": "A" * SIZE,
    "humps": "aA " * (SIZE // 3),
    "digits": "1" * SIZE,
    "number": "0." + "1" * SIZE + "x",
    "spaces": " " * SIZE,
    "quotes": "\"'\\" * (SIZE // 3),
    "brackets": "[" * SIZE,
    "braces": "{{" * (SIZE // 2),
    "hours": "1h" * (SIZE // 2),
    "years": "2006" * (SIZE // 4),
    "references": "$1%" * (SIZE // 3),
    "descents": "$" + "..*" * (SIZE // 3),
    "paths": "/../a" * (SIZE // 5),
    "halves": "\ud800" * SIZE,
    "alphabet": "".join(map(chr, range(256, 50_000))),
    "list": list(range(ELEMENTS)),
    "words": ["a b"] * ELEMENTS,
    "map": {str(number): number for number in range(ELEMENTS)},
    "many": SIZE,
    "short": "a",
}
KINDS = ("capitals", "digits", "list", "words", "map", "many", "short")
"""One of each kind of what is long: each meets each."""

PARTNERS = ("short", "many", "capitals")
"""What each of them meets."""

FUNCTIONS = [*BUILTINS, *(f"sprig.{name}" for name in SPRIG), "asInt", "asFloat", "toJson", "jsonpath"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_takes_long_over_long_arguments(name: str) -> None:
    given: list[tuple[str, ...]] = [(first,) for first in LONG]
    given += [pair for long in LONG for partner in PARTNERS for pair in ((long, partner), (partner, long))]
    given += [pair for kind in KINDS for other in KINDS for pair in ((kind, other), (other, kind))]
    given += [("many", "many", long) for long in LONG]
    for arguments in dict.fromkeys(given):
        named = {f"a{number}": LONG[argument] for number, argument in enumerate(arguments)}
        with contextlib.suppress(ExpressionError):
            made = evaluate(f"{name}({', '.join(named)})", named)
            assert not isinstance(made, str | list | dict) or len(made) <= MAX_SIZE


NESTED = [
    "max(x)",
    "mean(x, x)",
    "flatten(x)",
    "uniq(x)",
    "x == y",
    "x in [y]",
    "string(x)",
    "toJson(x)",
    "sprig.has(x, [y])",
    "sprig.without([x], y)",
    "sprig.deepEqual(x, y)",
    "sprig.quote(x)",
    "sprig.merge(m, n)",
    "sprig.mergeOverwrite(m, n)",
    "map(1..1000, s == t)",
    "map(1..1000, len(toJson(s)))",
    f"jsonpath('{'[' * 60}1{']' * 60}', '${'..*' * 60}')",
]


@pytest.mark.usefixtures("sparing")
@pytest.mark.parametrize("expression", NESTED, ids=lambda expression: expression[:48])
def test_what_is_nested_costs_what_is_seen_of_it(expression: str) -> None:
    """2^60 elements to see, of which each step made two; and 2^12, seen a thousand times."""
    values = (
        ("x", "reduce(1..60, [#acc, #acc], [])"),
        ("y", "reduce(1..60, [#acc, #acc], [])"),
        ("s", "reduce(1..12, [#acc, #acc], [])"),
        ("t", "reduce(1..12, [#acc, #acc], [])"),
        ("m", "reduce(1..60, {'a': #acc, 'b': #acc}, {})"),
        ("n", "reduce(1..60, {'a': #acc, 'b': #acc}, {})"),
    )
    bound = "".join(f"let {name} = {value}; " for name, value in values)
    with pytest.raises(ExpressionError, match="memory budget exceeded"):
        evaluate(bound + expression, {})


@pytest.mark.parametrize(
    "expression",
    [
        "sort(reduce(1..18, concat(#acc, #acc), [text]))",
        "other in reduce(1..18, concat(#acc, #acc), [text])",
        "toJson(reduce(1..10, concat(#acc, #acc), [text]))",
        "trim(text, alphabet)",
        "sprig.regexReplaceAll('(?:a*b)|a', text, 'x')",
        "sprig.regexFindAll('(?:a?){900}(?:b?){900}c', text, -1)",
    ],
)
def test_what_looks_at_the_same_again_and_again_pays_for_it(expression: str) -> None:
    env = {
        "text": "a" * MAX_SIZE,
        "other": "a" * (MAX_SIZE - 1) + "b",
        "alphabet": "".join(map(chr, range(256, 50_000))) + "a",
    }
    with pytest.raises(ExpressionError, match="memory budget exceeded"):
        evaluate(expression, env)


@given(st.lists(st.sampled_from([*"0123456789.", "ns", "µs", "ms", "s", "m", "h", "-", "+"]), max_size=12).map("".join))
def test_a_duration_of_an_expression_is_one_of_a_configuration(text: str) -> None:
    try:
        nanoseconds = Duration.parse(text).nanoseconds
    except Invalid:
        with pytest.raises(ValueError, match=r"duration|longer"):
            parse_duration(text)
    else:
        if not text.startswith("-"):
            assert parse_duration(text) == nanoseconds / 1e9


@pytest.mark.parametrize(
    ("text", "words"),
    [("A" * SIZE, 1), ("ABCd" * 1000, 2000), ("aB" * 1000, 1001), ("HTTPServerX", 3), ("a-b_c.d e", 5)],
)
def test_words_are_told_apart_in_one_run(text: str, words: int) -> None:
    assert len(str(evaluate("sprig.snakecase(t)", {"t": text})).split("_")) == words


@pytest.mark.parametrize(
    "literal",
    ["1" * 5000, "0x" + "f" * 5000, "1e5000", "1_" * 20_000 + "1", "9223372036854775808", "1" * 30_000 + ".5"],
)
def test_numbers_too_large_are_said_to_be(literal: str) -> None:
    with pytest.raises(ExpressionError, match="number literal is too large"):
        evaluate(literal, {})
    with pytest.raises(ExpressionError, match="expected an index"):
        evaluate("jsonpath('[1]', path)", {"path": f"$[{'1' * 5000}]"})


def test_conditions_may_hold_long_values_but_not_many_operators() -> None:
    assert evaluate_when(f"""'{"a:" * 200_000}' != '-:' """) is True
    assert evaluate_when("0x" + "f" * 5000 + " > 1") is True
    for hostile in ("a + " * 100_000 + "a == b", "!" * 5000 + "true", "-" * 5000 + "1 == 1", "\\'" * 100_000):
        with pytest.raises(ExpressionError):
            evaluate_when(hostile)
    with pytest.raises(ExpressionError, match="longer than 65536 characters"):
        parse_depends("a && " * 100_000 + "a")


def test_layouts_have_a_length() -> None:
    with pytest.raises(ExpressionError, match="a layout may have 1000 characters"):
        evaluate("now().Format(layout)", {"layout": "2006" * 1000})
    with pytest.raises(ExpressionError, match="cannot parse"):
        evaluate("date(text, layout)", {"text": "1" * 900 + "x", "layout": "1" * 500})
