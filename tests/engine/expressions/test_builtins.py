"""The functions of the expression language and those that Argo adds, sprig's left out."""

from __future__ import annotations

import pytest

from engine.expressions import ExpressionError, evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("len('é') + len([1, 2]) + len({a: 1})", 4),
        ("[type(nil), type(1), type(1.0), type(''), type([]), type({}), type(true), type(now())]",
         ["nil", "int", "float", "string", "array", "map", "bool", "time.Time"]),
        ("[int('42'), int(4.9), int(-4.9)]", [42, 4, -4]),
        ("[float('4.5'), float(4)]", [4.5, 4.0]),
        ("string(1.0)", "1"),
        ("string(1.5)", "1.5"),
        ("string(1e6)", "1e+06"),
        ("string(0.00001)", "1e-05"),
        ("string([1, 'a', nil])", "[1 a <nil>]"),
        ("string({b: 1, a: true})", "map[a:true b:1]"),
        ("toJSON({b: [1, 2.0], a: '<'})", '{\n  "a": "\\u003c",\n  "b": [\n    1,\n    2\n  ]\n}'),
        ("toJson({b: [1, 2.0], a: nil})", '{"a":null,"b":[1,2]}'),
        ("fromJSON('[1, {\"a\": 2.5}]')", [1.0, {"a": 2.5}]),
        ("[toBase64('hällo'), fromBase64('aMOkbGxv')]", ["aMOkbGxv", "hällo"]),
        ("trim('  x\\n') + trim('__y_', '_')", "xy"),
        ("trimPrefix('pre-x', 'pre-') + trimSuffix('y.txt', '.txt')", "xy"),
        ("upper('aé') + lower('ÀB')", "AÉàb"),
        ("split('a,b,c', ',', 2)", ["a", "b,c"]),
        ("split('ab', '')", ["a", "b"]),
        ("splitAfter('a,b,c', ',')", ["a,", "b,", "c"]),
        ("replace('aaa', 'a', 'b')", "bbb"),
        ("replace('aaa', 'a', 'b', 2)", "bba"),
        ("repeat('ab', 3)", "ababab"),
        ("join(['a', 'b'], '-') + join(['c', 'd'])", "a-bcd"),
        ("[indexOf('banana', 'an'), lastIndexOf('banana', 'an'), indexOf('banana', 'x')]", [1, 3, -1]),
        ("hasPrefix('abc', 'ab') && hasSuffix('abc', 'bc')", True),
        ("[abs(-5), abs(-.5)]", [5, 0.5]),
        ("[ceil(1.2), floor(1.8), round(2.5), round(-2.5), ceil(3)]", [2.0, 1.0, 3.0, -3.0, 3.0]),
        ("[max(1, 2.5), min([3, 1], 2)]", [2.5, 1]),
        ("[mean([1, 2]), mean([]), median([3, 1, 2]), median(1, 2)]", [1.5, 0.0, 2.0, 1.5]),
        ("[first([1, 2]), last([1, 2]), first([]), get([1], 5), get({a: 1}, 'a')]", [1, 2, None, None, 1]),
        ("take([1, 2, 3], 2)", [1, 2]),
        ("[keys({a: 1}), values({a: 1}), toPairs({a: 1})]", [["a"], [1], [["a", 1]]]),
        ("fromPairs([['a', 1]])", {"a": 1}),
        ("[reverse([1, 2]), uniq([1, 1.0, '1', true, [1], [1]])]", [[2, 1], [1, "1", True, [1]]]),
        ("[concat([1], [2, 3]), flatten([1, [2, [3]]])]", [[1, 2, 3], [1, 2, 3]]),
        ("[sort(['b', 'a']), sort([1, 3, 2], 'desc')]", [["a", "b"], [3, 2, 1]]),
        ("[bitand(12, 10), bitor(12, 10), bitxor(12, 10), bitnand(12, 10), bitnot(0)]", [8, 14, 6, 4, -1]),
        ("[bitshl(1, 4), bitshr(-8, 1), bitushr(-1, 60), bitshl(1, 64)]", [16, -4, 15, 0]),
        ("asInt('3') * asFloat('1.5')", 4.5),
    ],
)  # fmt: skip
def test_functions(expression: str, value: object) -> None:
    result = evaluate(expression, {})
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("int('4.5')", "invalid operation: int(4.5)"),
        ("int('99999999999999999999')", "invalid operation: int("),
        ("int('')", "invalid operation: int()"),
        ("int(nil)", "invalid operation: int(nil)"),
        ("int(1.0 / 0)", "no integer"),
        ("float('x')", "invalid operation: float(x)"),
        ("asInt('1_000')", "invalid operation"),
        ("fromJSON('{')", "json"),
        ("fromBase64('!')", "illegal base64 data"),
        ("toJson(1 / 0)", "json: unsupported value: +Inf"),
        ("toJSON(upper)", "unknown name upper"),
        ("toJson(toJson)", "json: unsupported type: func"),
        ("upper(1)", "cannot use int as argument (type string) to call upper"),
        ("upper()", "not enough arguments to call upper"),
        ("upper('a', 'b')", "too many arguments to call upper"),
        ("len(1)", "invalid argument for len (type int)"),
        ("abs('a')", "invalid argument for abs (type string)"),
        ("ceil('a')", "invalid argument for ceil (type string)"),
        ("max(1, 'a')", "invalid argument for max (type string)"),
        ("sum(['a'])", "invalid argument for sum (type string)"),
        ("join([1])", "cannot join int"),
        ("repeat('a', -1)", "negative repeat count"),
        ("take([1], -1)", "negative"),
        ("sort([1, 'a'])", "different types"),
        ("sort([[1]])", "cannot sort array"),
        ("sort([1], 'up')", "invalid order up"),
        ("fromPairs([1])", "fromPairs expects"),
        ("bitshl(1, -1)", "negative shift"),
        ("groupBy([[1]], #)", "cannot group by array"),
    ],
)
def test_wrong_arguments_are_refused(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(expression, {})
    assert reason in str(caught.value)


def test_a_variable_cannot_hide_a_function_that_is_called() -> None:
    assert evaluate("duration + string(len('ab'))", {"duration": "3", "len": "x", "string": "y"}) == "32"
