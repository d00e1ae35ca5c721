"""What expressions mean: literals, operators and their precedence, variables, predicates."""

from __future__ import annotations

import pytest

from engine.expressions import ExpressionError, compile_expression, evaluate

ENV = {
    "item": "7",
    "numbers": [3, 1, 2],
    "users": [{"name": "ann", "age": 41}, {"name": "bob", "age": 17}],
    "steps": {"flip-coin": {"outputs": {"result": "heads"}, "status": "Succeeded"}},
    "absent": None,
}


def result(expression: str) -> object:
    return evaluate(expression, ENV)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("42", 42),
        ("0x2A", 42),
        ("0o52", 42),
        ("0b10_1010", 42),
        ("1_000_000", 1000000),
        (".5", 0.5),
        ("1.5e3", 1500.0),
        ("'it\\'s'", "it's"),
        ('"tab\\there"', "tab\there"),
        ('"\\u00e9\\x41\\101"', "éAA"),
        ("`raw \\n`", "raw \\n"),
        ("true", True),
        ("nil", None),
        ("[1, 'a', [2]]", [1, "a", [2]]),
        ("[1, 2,]", [1, 2]),
        ("[]", []),
        ("{a: 1, 'b c': 2, 3: 4, ('d' + 'e'): 5}", {"a": 1, "b c": 2, "3": 4, "de": 5}),
        ("{}", {}),
        ("1 /* one */ + 2 // two", 3),
    ],
)
def test_literals(expression: str, value: object) -> None:
    assert result(expression) == value
    assert type(result(expression)) is type(value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("7 / 2", 3.5),
        ("4 / 2", 2.0),
        ("-7 % 3", -1),
        ("2 ** 3 ** 2", 512.0),
        ("-2 ** 2", -4.0),
        ("2 ** -1", 0.5),
        ("10 - 4 - 3", 3),
        ("9223372036854775807 + 1", -9223372036854775808),
        ("'a' + 'b'", "ab"),
        ("1 == 1.0", True),
        ("'1' == steps.missing", False),
        ("[1, {a: 2}] == [1.0, {a: 2}]", True),
        ("'abc' < 'abd'", True),
        ("1 < 2 < 3", True),
        ("1 < 3 < 2", False),
        ("not true || true", True),
        ("not (true || true)", False),
        ("! true == false", True),
        ("true or false and false", True),
        ("2 * not_so ?? 3", 6),
        ("1 in numbers", True),
        ("1.0 in numbers", True),
        ("4 not in numbers", True),
        ("'name' in users[0]", True),
        ("1 in absent", False),
        ("'foobar' contains 'oba'", True),
        ("'foobar' startsWith 'foo' and 'foobar' endsWith 'bar'", True),
        ("'foobar' not startsWith 'x'", True),
        ("absent contains 'x'", False),
        ("'a1' matches '^a\\\\d$'", True),
        ("1..4", [1, 2, 3, 4]),
        ("2..1", []),
        ("0 in -1..1", True),
        ("true ? 1 : false ? 2 : 3", 1),
        ("false ? 1 : false ? 2 : 3", 3),
        ("true ?: 3", True),
        ("absent ?? 'x'", "x"),
        ("item ?? 'x'", "7"),
        ("1 + absent ?? 2", 3),
        ("if 1 > 2 { 'a' } else if 2 > 1 { 'b' } else { 'c' }", "b"),
        ("let x = 2; let y = x * 3; x + y", 8),
        ("1; 2; 3", 3),
    ],
)
def test_operators(expression: str, value: object) -> None:
    env = {**ENV, "not_so": None}
    assert evaluate(expression, env) == value
    assert type(evaluate(expression, env)) is type(value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("steps['flip-coin'].outputs.result", "heads"),
        ("steps['flip-coin']['outputs'].result == 'heads'", True),
        ("steps.missing", None),
        ("steps.missing?.outputs.result", None),
        ("steps?.['flip-coin']?.status", "Succeeded"),
        ("$env['item']", "7"),
        ("'item' in $env", True),
        ("numbers[-1]", 2),
        ("numbers[1:]", [1, 2]),
        ("numbers[:-1]", [3, 1]),
        ("numbers[5:9]", []),
        ("item[:]", "7"),
        ("'string'[2:4]", "ri"),
        ("(0..9)[3]", 3),
        ("users[1].name", "bob"),
    ],
)
def test_members(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("filter(numbers, {# > 1})", [3, 2]),
        ("filter(numbers, # > 1)", [3, 2]),
        ("map(users, .name)", ["ann", "bob"]),
        ("map(users, {{'n': .name}})", [{"n": "ann"}, {"n": "bob"}]),
        ("map(1..3, let x = #; x * x)", [1, 4, 9]),
        ("map(1..2, let x = #; map(2..3, # * x))", [[2, 3], [4, 6]]),
        ("map(numbers, #index)", [0, 1, 2]),
        ("all(users, .age > 18)", False),
        ("all([], false)", True),
        ("any(users, .age > 18)", True),
        ("one(users, .age > 18)", True),
        ("none(users, .age > 90)", True),
        ("count(users, .age > 18)", 1),
        ("count([true, false, true])", 2),
        ("sum(users, .age)", 58),
        ("sum([1, 2.5])", 3.5),
        ("find(numbers, # < 3)", 1),
        ("find(numbers, # > 9)", None),
        ("findIndex(numbers, # < 3)", 1),
        ("findLast(numbers, # < 3)", 2),
        ("findLastIndex(numbers, # < 3)", 2),
        ("groupBy(users, .age > 18)[true][0].name", "ann"),
        ("map(sortBy(users, .age), .name)", ["bob", "ann"]),
        ("map(sortBy(users, .age, 'desc'), .name)", ["ann", "bob"]),
        ("reduce(numbers, #acc + #)", 6),
        ("reduce(numbers, #acc * 10 + #, 4)", 4312),
        ("reduce([], #acc, 'none')", "none"),
        ("numbers | filter(# > 1) | map(# * 2) | len() + 1", 3),
        ("'a,b' | split(',') | first()", "a"),
        ("'a' | upper() + 'B' | lower()", "ab"),
        ("users | map(.name)", ["ann", "bob"]),
    ],
)
def test_predicates_and_pipes(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    ("expression", "reason", "line", "column"),
    [
        ("1 +", "unexpected end of expression", 1, 4),
        ("", "unexpected end of expression", 1, 1),
        ("foo bar", "unexpected token 'bar'", 1, 5),
        ("1 ~ 2", "unrecognized character '~'", 1, 3),
        ("'open", "unrecognized character", 1, 1),
        ("'\\q'", "invalid escape", 1, 1),
        ("99999999999999999999", "number literal is too large", 1, 1),
        ("1e999", "number literal is too large", 1, 1),
        ("absent ?? 1 + 2", "cannot be mixed", 1, 13),
        ("len()", "not enough arguments to call len", 1, 1),
        ("filter(numbers)", "not enough arguments to call filter", 1, 1),
        ("map(numbers, #, 1)", "too many arguments to call map", 1, 1),
        ("1 +\n  unknown", "unknown name unknown", 2, 3),
        ("steps.missing.outputs", "cannot fetch outputs from <nil>", 1, 15),
        ("numbers[3]", "index out of range: 3", 1, 9),
        ("item.x", "cannot fetch x from string", 1, 6),
        ("duration('1s')[[1]]", "cannot fetch [1] from time.Duration", 1, 17),
        ("1 + 'a'", "invalid operation: int + string", 1, 3),
        ("item > 5", "invalid operation: string > int", 1, 6),
        ("item == 7", "mismatched types string and int", 1, 6),
        ("1.5 % 2", "invalid operation: float % int", 1, 5),
        ("1 % 0", "integer divide by zero", 1, 3),
        ("'a' ? 1 : 2", "needs a bool", 1, 1),
        ("1 && true", "needs a bool", 1, 3),
        ("not 1", "needs a bool", 1, 1),
        ("-'a'", "invalid operation: - string", 1, 1),
        ("'a' in 'abc'", 'operator "in" not defined on string', 1, 5),
        ("'a' matches '('", "error parsing regexp", 1, 5),
        ("# > 1", "# outside of a predicate", 1, 1),
        ("map('abc', #)", "takes only array", 1, 1),
        ("filter(numbers, 1)", "needs a bool", 1, 1),
        ("reduce([], #acc)", "reduce of empty array", 1, 1),
        ("unknown(1)", "unknown name unknown", 1, 1),
        ("item(1)", "string item is not callable", 1, 1),
        ("sprig.nosuch(1)", "nil is not callable", 1, 7),
        ("sortBy([1, 'a'], #)", "different types", 1, 1),
    ],
)
def test_errors_name_the_place(expression: str, reason: str, line: int, column: int) -> None:
    with pytest.raises(ExpressionError, match=r"\(\d+:\d+\)$") as caught:
        result(expression)
    assert reason in caught.value.reason
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.expression == expression


@pytest.mark.parametrize(
    ("expression", "identifiers", "leaves"),
    [
        (
            "steps['flip-coin'].status == inputs.parameters.a ? asInt(item) : map(item, .y)",
            "steps steps.flip-coin steps.flip-coin.status inputs inputs.parameters inputs.parameters.a asInt item",
            "steps.flip-coin.status inputs.parameters.a item",
        ),
        ("let x = item; x", "item x", "item x"),
        ("sprig.trim(a.b)", "sprig sprig.trim a a.b", "a.b"),
        ("steps.a.outputs ?? 1", "steps", "steps.a.outputs"),
        ("upper(steps.a ?? b.c) + b.c", "steps b b.c", "steps.a b.c"),
        ("(a.b ?? '') + a.b", "a a.b", "a.b"),
        ("a?.b.c", "a", "a.b.c"),
        ("a.b.c?.d.e", "a a.b", "a.b.c.d.e"),
        ("a.b[c].d", "a a.b c", "a.b c"),
        ("get(a, 'x') + a.b.c", "a a.b a.b.c", "a a.b.c"),
    ],
)
def test_what_an_expression_reads_and_what_it_needs(expression: str, identifiers: str, leaves: str) -> None:
    program = compile_expression(expression)
    assert program.identifiers == tuple(identifiers.split())
    assert program.leaves == tuple(leaves.split())


def test_what_is_not_reached_is_not_evaluated() -> None:
    assert result("true || unknown") is True
    assert result("false && unknown") is False
    assert result("true ? 1 : unknown") == 1
    assert result("item ?? unknown") == "7"


def test_a_program_is_parsed_once() -> None:
    assert compile_expression("1 + 41") is compile_expression("1 + 41")
