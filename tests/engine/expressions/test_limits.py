"""Hostile expressions end in an error, in bounded time and memory."""

from __future__ import annotations

import tracemalloc

import pytest

from engine.expressions import ExpressionError, evaluate
from engine.expressions.depends import parse_depends
from engine.expressions.when import evaluate_when

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
    "reduce(1..64, [#acc, #acc], 'x') == reduce(1..64, [#acc, #acc], 'x')",
    "map(1..1000, map(1..1000, map(1..1000, 1)))",
    "all(1..1000000, any(1..1000000, # == 0) == false)",
    "let xs = 1..1000000; all(xs, -1 not in xs)",
    "let xs = 1..1000000; map(xs, uniq(xs))",
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
    assert parse_depends("!" * 5000 + "A").evaluate(lambda task, result: True) is True
