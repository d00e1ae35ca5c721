"""Conditions, once their tags are filled in: govaluate's language, where bare words are strings."""

from __future__ import annotations

import pytest

from engine.expressions import ExpressionError
from engine.expressions.when import evaluate_when


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "true",
        "heads == heads",
        "heads != tails",
        " heads==heads ",
        "'two words' == \"two words\"",
        "'heads-1' == \"heads-1\"",
        "heads\\-1 == 'heads-1'",
        "'' == ''",
        "[two words] == 'two words'",
        "grün == grün",
        "a_b == 'a_b'",
        "1 == 1.0",
        "0x10 == 16",
        "1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3",
        "10 > 9",
        "'10' < '9'",
        "b > a",
        "foobar =~ 'o+b'",
        "foobar =~ oba",
        "foobar !~ '^b'",
        "a in (a, b)",
        "2 IN (1, 2)",
        "!(a in (b, c))",
        "!false",
        "!true == false",
        "true || false && false",
        "(true || false) && true",
        "false && (a > 1) || true",
        "true || 1",
        "1 + 2 * 3 == 7",
        "10 - 2 - 3 == 5",
        "7 % 4 == 3",
        "2 ** 3 == 8",
        "-2 ** 2 == 4",
        "-1 < 0",
        "10 * -10 == -100",
        "6 / 4 == 1.5",
        "(12 & 10) + (12 | 10) + (12 ^ 10) == 28",
        "(1 << 4) + (16 >> 2) == 20",
        "~10 == -11",
        "a + b == ab",
        "a + 1 == 'a1'",
        "a + true == atrue",
        "true ? 1 == 1 : false",
        "(false ? 1 : 2) == 2",
        "(true ? 1) == 1",
        "'2024-01-02' < '2024-02-01'",
        "'2024-01-02 14:12:22' > '2024-01-02 12:12'",
        "'2024-01-02T00:00:00Z' == '2024-01-02'",
        "'3:04PM' > '3:04AM'",
        "'1970-01-01' == 0",
    ],
)
def test_conditions_that_hold(condition: str) -> None:
    assert evaluate_when(condition) is True


@pytest.mark.parametrize(
    "condition",
    [
        "false",
        "heads == tails",
        "heads == Heads",
        "1 == '1'",
        "'true' == true",
        "true != true",
        "heads != heads",
        "'' == heads",
        "'heads' != \"heads\"",
        "true == 'true'",
        "a == ab",
        "1 > 2 || 2 > 3",
        "foo =~ '^bar'",
        "a11 =~ a1\\d",
        "'a' in (b, c)",
        "1 / 0 < 1",
        "0 % 0 == 0",
    ],
)
def test_conditions_that_do_not_hold(condition: str) -> None:
    assert evaluate_when(condition) is False


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (" == heads", "unexpected '=='"),
        ("heads == ", "Unexpected end of expression"),
        ("in == in", "unexpected 'in'"),
        ("heads = heads", "Invalid token: '='"),
        (
            "{{steps.a.outputs.result}} == YES",
            "Invalid token: '{{' (hint: try wrapping the affected expression in quotes",
        ),
        ("1 ==-1", "Invalid token: '==-'"),
        ("a == _b", "Invalid token: '_'"),
        ("two words == x", "unexpected 'words'"),
        ("5m == 5m", "unexpected 'm'"),
        ("!heads", "unexpected 'heads'"),
        ("!!true", "Invalid token: '!!'"),
        ("a == 'b", "Unclosed string literal"),
        ("a11 =~ a1\\d+", "Unexpected end of expression"),
        ("v1.2 == v1.2", "No parameter 'v1' found"),
        ("1.2.3 == 1", "1.2.3"),
        ("(a == a", "Unexpected end of expression"),
        ("a == a)", "unexpected ')'"),
        ("() == a", "unexpected ')'"),
        ("heads-1 == heads-1", "Value 'heads' cannot be used with the modifier '-', it is not a number"),
        ("a > 1", "Value 'a' cannot be used with the comparator '>', it is not a number"),
        ("1 < true", "cannot be used with the comparator '<'"),
        ("a && true", "Value 'a' cannot be used with the logical operator '&&', it is not a bool"),
        ("a ? true : false", "cannot be used with the ternary operator"),
        ("a in b", "cannot be used with the comparator 'in'"),
        ("1 =~ a", "cannot be used with the comparator '=~', it is not a string"),
        ("a =~ '('", "error parsing regexp"),
        ("-true", "Value 'true' cannot be used with the prefix '-'"),
        ("!1", "Value '1' cannot be used with the prefix '!'"),
        ("heads", "Expected boolean evaluation for 'heads'. Got heads"),
        ("1 + 1", "Expected boolean evaluation for '1 + 1'. Got 2"),
        ("1, 2", "Got [1 2]"),
        ("false ? true", "Got <nil>"),
    ],
)
def test_what_argo_refuses_is_refused(condition: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate_when(condition)
    assert reason in str(caught.value)
    assert condition in str(caught.value)
