"""The sprig functions, which take the text to work on last."""

from __future__ import annotations

import re

import pytest

from engine.expressions import ExpressionError, evaluate
from engine.expressions.sprig import SPRIG


def result(expression: str) -> object:
    # `sprig.` before every call that names no namespace would drown the cases.
    return evaluate(re.sub(r"\b(?<!\.)([a-z]\w*)\(", r"sprig.\1(", expression), {"given": {"a": 1, "b": {"c": 2}}})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("trim(' x ') + trimAll('$', '$y$') + trimPrefix('a-', 'a-z') + trimSuffix('-a', 'w-a')", "xyzw"),
        ("upper('a') + lower('B') + title('hello big world') + untitle('Hello World')", "AbHello Big Worldhello world"),
        ("repeat(3, 'ab')", "ababab"),
        ("substr(1, 3, 'abcdef') + substr(-1, 2, 'abc') + substr(1, 99, 'abc')", "bcabbc"),
        ("trunc(2, 'abc') + trunc(-2, 'abc') + trunc(9, 'abc')", "abbcabc"),
        ("nospace('a b c') + initials('First Try') + swapcase('aB')", "abcFTAb"),
        ("abbrev(5, 'hello world') + abbrevboth(5, 10, '1234 5678 9123')", "he......5678..."),
        ("contains('ell', 'hello') && hasPrefix('he', 'hello') && hasSuffix('lo', 'hello')", True),
        ("quote('a\"b', 1, nil) + squote('c')", '"a\\"b" "1"\'c\''),
        ("cat('a', 1, nil, true)", "a 1 true"),
        ("indent(2, 'a\\nb') + nindent(1, 'c')", "  a\n  b\n c"),
        ("replace('-', '_', 'a-b-c')", "a_b_c"),
        ("plural('one', 'many', 1) + plural('one', 'many', 2)", "onemany"),
        ("snakecase('FirstName') + kebabcase('HTTPServer') + camelcase('foo_bar')", "first_namehttp-serverFooBar"),
        ("split('/', 'a/b')._1 + splitn('/', 2, 'a/b/c')._1", "bb/c"),
        ("splitList(',', 'a,b')", ["a", "b"]),
        ("join('-', ['a', 1, nil, true]) + join('-', 'x')", "a-1-truex"),
        ("sortAlpha(['b', 'a'])", ["a", "b"]),
        ("toStrings([1, 'a'])", ["1", "a"]),
        ("toString(1.50)", "1.5"),
    ],
)
def test_strings(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[add(1, '2', 3.9), add1('4'), sub(5, 3), mul(2, 3, 4), div(7, 2), div(-7, 2), mod(-7, 3)]",
         [6, 5, 2, 24, 3, -3, -1]),
        ("[max(1, '5', 3), min(4, 2), biggest(1, 2), maxf(1.5, 2), minf(1.5, 2)]", [5, 2, 2, 2.0, 1.5]),
        ("[addf(0.1, 0.2), subf(3, 1.5), mulf(1.1, 3), divf(1, 4), add1f(0.5)]", [0.3, 1.5, 3.3, 0.25, 1.5]),
        ("[ceil('1.2'), floor(1.8), round(123.5555, 3), round(2.5, 0), round(2.5, 0, 0.6)]",
         [2.0, 1.0, 123.556, 3.0, 2.0]),
        ("[int('7'), int64(7.9), int('x'), int(nil), int(true), int('8.0'), atoi('3'), float64('1.5')]",
         [7, 7, 0, 0, 1, 8, 3, 1.5]),
        ("toDecimal('777')", 511),
        ("[until(3), until(-2), untilStep(0, 7, 3), untilStep(3, 0, -1), untilStep(0, 3, -1)]",
         [[0, 1, 2], [0, -1], [0, 3, 6], [3, 2, 1], []]),
        ("[seq(3), seq(-1), seq(2, 4), seq(0, 2, 5)]", ["1 2 3", "1 0 -1", "2 3 4", "0 2 4"]),
        ("[seq(5, 2, 0), seq()]", ["", ""]),
    ],
)  # fmt: skip
def test_numbers(expression: str, value: object) -> None:
    assert result(expression) == pytest.approx(value) if "addf" in expression else result(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[first([1, 2]), last([1, 2]), first([])]", [1, 2, None]),
        ("[rest([1, 2, 3]), initial([1, 2, 3]), reverse([1, 2])]", [[2, 3], [1, 2], [2, 1]]),
        ("[append([1], 2), push([1], 2), prepend([1], 2), concat([1], [2])]", [[1, 2], [1, 2], [2, 1], [1, 2]]),
        ("[uniq([1, 1, 2]), without([1, 2, 3], 2, 3), compact([0, 1, '', 'a', nil])]", [[1, 2], [1], [1, "a"]]),
        ("[has(2, [1, 2]), has(9, [1]), has(1, nil)]", [True, False, False]),
        ("[slice([1, 2, 3], 1), slice([1, 2, 3], 1, 2), slice('abc', 1)]", [[2, 3], [2], "bc"]),
        ("chunk(2, [1, 2, 3])", [[1, 2], [3]]),
        ("mustFirst(list('a', 'b'))", "a"),
    ],
)
def test_lists(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("dict('a', 1, 'b')", {"a": 1, "b": ""}),
        ("[get(given, 'a'), get(given, 'x'), hasKey(given, 'a')]", [1, "", True]),
        ("[set(given, 'z', 9).z, unset(given, 'a')]", [9, {"b": {"c": 2}}]),
        ("[pick(given, 'a', 'x'), omit(given, 'a'), pluck('a', given, {'a': 3})]", [{"a": 1}, {"b": {"c": 2}}, [1, 3]]),
        ("[keys(given), values({'a': 1})]", [["a", "b"], [1]]),
        ("merge({'a': 0, 'n': {'x': 1}}, {'a': 5, 'n': {'x': 2, 'y': 3}})", {"a": 5, "n": {"x": 1, "y": 3}}),
        ("mergeOverwrite({'a': 1, 'n': {'x': 1}}, {'a': 5, 'n': {'y': 3}})", {"a": 5, "n": {"x": 1, "y": 3}}),
        ("[dig('b', 'c', 'none', given), dig('b', 'x', 'none', given)]", [2, "none"]),
        ("[default('d', ''), default('d', 0), default('d', 'v'), default('d')]", ["d", "d", "v", "d"]),
        ("[coalesce(nil, '', 3), empty([]), empty('x'), all(1, 'a'), any(0, '')]", [3, True, False, True, False]),
        ("[ternary('yes', 'no', true), ternary('yes', 'no', false)]", ["yes", "no"]),
        ("[typeOf(1), typeOf('a'), kindOf([]), kindIs('map', given), typeIs('bool', true)]",
         ["int", "string", "slice", True, True]),
        ("deepEqual([1, {'a': 2}], [1, {'a': 2}])", True),
        ("given.a", 1),
    ],
)  # fmt: skip
def test_maps_and_defaults(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("b64dec(b64enc('hällo')) + b32dec(b32enc('x'))", "hällox"),
        ("b64dec('!')", "illegal base64 data"),
        ("fromJson('{\"a\": [1]}').a[0]", 1.0),
        ("fromJson('{')", None),
        ("toJson({'a': '<'}) + toRawJson({'a': '<'})", '{"a":"\\u003c"}{"a":"<"}'),
        ("toPrettyJson([1])", "[\n  1\n]"),
        ("sha256sum('a')", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("sha1sum('a') + adler32sum('a')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b86422626"),
        ("[base('/a/b.txt'), dir('/a/b.txt'), ext('/a/b.txt'), clean('/a/../b'), isAbs('/a')]",
         ["b.txt", "/a", ".txt", "/b", True]),
        ("[base(''), base('/'), dir('b'), ext('/a.b/c')]", [".", "/", ".", ""]),
        ("urlParse('https://u:p@example.com:8080/p?q=1#f').hostname", "example.com"),
        ("urlJoin({'scheme': 'https', 'host': 'example.com', 'path': '/p', 'query': 'q=1'})", "https://example.com/p?q=1"),
    ],
)  # fmt: skip
def test_encodings(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sprig.regexMatch('^a+$', 'aaa') && !sprig.regexMatch('(', 'x')", True),
        ("sprig.regexFind('[0-9]+', 'ab12cd34') + sprig.regexFind('x', 'ab')", "12"),
        ("sprig.regexFindAll('[0-9]', 'a1b2c3', -1)", ["1", "2", "3"]),
        ("sprig.regexFindAll('[0-9]', 'a1b2c3', 2)", ["1", "2"]),
        ("sprig.regexReplaceAll('a(x*)b', '-ab-axxb-', '${1}W')", "-W-xxW-"),
        ("sprig.regexReplaceAll('(?P<n>x)', 'axb', '[$n$$]')", "a[x$]b"),
        ("sprig.regexReplaceAllLiteral('a(x*)b', '-ab-', '${1}')", "-${1}-"),
        ("sprig.regexSplit('z+', 'pizza', -1)", ["pi", "a"]),
        ("sprig.regexSplit('z', 'pizza', 2)", ["pi", "za"]),
        ("sprig.regexSplit('z', 'pizza', 0)", []),
        ("sprig.regexSplit('', 'abc', -1)", ["a", "b", "c"]),
        ("sprig.regexQuoteMeta('1.2+3')", "1\\.2\\+3"),
    ],
)
def test_regular_expressions(expression: str, value: object) -> None:
    assert evaluate(expression, {}) == value


@pytest.mark.parametrize(
    ("expression", "pattern"),
    [
        ("randAlphaNum(8)", "[A-Za-z0-9]{8}"),
        ("randAlpha(8)", "[A-Za-z]{8}"),
        ("randNumeric(8)", "[0-9]{8}"),
        ("randAscii(8)", "[ -~]{8}"),
        ("toString(randInt(3, 5))", "[34]"),
        ("uuidv4()", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("shuffle('aaa')", "aaa"),
    ],
)
def test_random_values_have_their_shape(expression: str, pattern: str) -> None:
    assert re.fullmatch(pattern, str(result(expression)))


def test_a_random_value_is_new_each_time() -> None:
    assert result("uuidv4()") != result("uuidv4()")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("fail('on purpose')", "on purpose"),
        ("trunc('2', 'abc')", "cannot use string as argument (type int) to call trunc"),
        ("div(1, 0)", "divide by zero"),
        ("divf(1, 0)", "divf"),
        ("slice([1], 2)", "out of range"),
        ("chunk(0, [1])", "must be positive"),
        ("dig('a', given)", "at least three"),
        ("dig('a', 'b', 'none', given)", "cannot fetch string from int"),
        ("mustRegexFind('(', 'x')", "error parsing regexp"),
        ("mustFromJson('{')", "json"),
        ("randInt(3, 3)", "randInt"),
        ("randAlpha(-1)", "negative"),
        ("first('abc')", "cannot use string as argument (type array)"),
        ("round(1.5, 999)", "out of range"),
    ],
)
def test_wrong_arguments_are_refused(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        result(expression)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["env", "expandenv", "getHostByName", "genPrivateKey", "derivePassword"])
def test_what_reads_the_machine_or_makes_secrets_is_missing(name: str) -> None:
    assert name not in SPRIG


def test_functions_do_not_change_what_they_are_given() -> None:
    given = {"list": [3, 1], "map": {"a": 1}}
    evaluate("[sprig.set(map, 'b', 2), sprig.unset(map, 'a'), sprig.append(list, 4), sort(list), reverse(list)]", given)
    assert given == {"list": [3, 1], "map": {"a": 1}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[trim(nil), upper(nil), title(nil), snakecase(nil), initials(nil), b64enc(nil), b64dec(nil)]", [""] * 7),
        ("[replace(nil, '-', 'ab'), replace('a', nil, 'ab'), replace('a', 'b', nil)]", ["-a-b-", "b", ""]),
        ("[contains(nil, 'a'), contains('a', nil), hasPrefix(nil, nil), trimAll(nil, 'a')]", [True, False, True, "a"]),
        ("[splitList(nil, 'ab'), splitList(',', nil), split('/', nil), splitn('/', nil, 'a')]",
         [["a", "b"], [""], {"_0": ""}, {}]),
        ("[repeat(nil, 'a'), trunc(nil, 'a'), substr(nil, nil, 'a'), abbrev(nil, 'a'), indent(nil, 'a')]",
         ["", "", "", "a", "a"]),
        ("[join(nil, ['a', 'b']), plural('one', 'many', nil), quote(nil), cat(nil, 'a')]", ["ab", "many", "", "a"]),
        ("[until(nil), untilStep(nil, 2, 1), seq(nil), round(1.5, nil), randAlpha(nil)]", [[], [0, 1], "1 0", 2.0, ""]),
        ("[keys(nil), keys(nil, {a: 1}), values(nil), pluck('a', nil, {a: 1})]", [[], ["a"], [], [1]]),
        ("[hasKey(nil, 'a'), hasKey({a: 1}, nil), get(nil, 'a'), get({a: 1}, nil)]", [False, False, "", ""]),
        ("[pick(nil, 'a'), pick({a: 1}, nil), omit(nil, 'a'), omit({a: 1}, nil)]", [{}, {}, {}, {"a": 1}]),
        ("[merge(nil, {a: 1}), merge({a: 1}, nil), mergeOverwrite(nil, {a: 1}), unset(nil, 'a')]",
         [{"a": 1}, {"a": 1}, {"a": 1}, {}]),
        ("[ternary(1, 2, nil), ternary(nil, 2, true)]", [2, None]),
        ("[toJson(nil), toString(nil), default('a', nil), coalesce(nil, 1), empty(nil)]",
         ["null", "<nil>", "a", 1, True]),
        ("[sortAlpha(nil), toStrings(nil), int(nil), float64(nil), add(nil, 1)]", [["<nil>"], [], 0, 0.0, 1]),
        ("[regexMatch(nil, 'a'), regexReplaceAll('a', nil, 'b'), regexReplaceAll('a', 'ab', nil), regexQuoteMeta(nil)]",
         [True, "", "b", ""]),
        ("[sha1sum(nil), adler32sum(nil)]", ["da39a3ee5e6b4b0d3255bfef95601890afd80709", "1"]),
        ("[base(nil), clean(nil), ext(nil), isAbs(nil), urlJoin(nil)]", [".", ".", "", False, ""]),
        ("[unixEpoch(nil), date(nil, 0), dateInZone('2006', 0, nil), duration(nil), durationRound(nil)]",
         ["-62135596800", "", "1970", "0s", "0s"]),
        ("[unixEpoch(toDate('2006', nil)), unixEpoch(dateModify(nil, nil))]", ["-62135596800", "-62135596800"]),
        ("[fromJson(nil), typeOf(nil), kindIs(nil, 1)]", [None, "<nil>", False]),
        ("toJson(omit(fromJson('{}').y, 'a'))", "{}"),
    ],
)  # fmt: skip
def test_nil_is_the_zero_value_of_a_typed_parameter(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["first(nil)", "rest(nil)", "concat(nil)", "uniq(nil)", "append(nil, 1)", "chunk(2, nil)", "chunk(nil, [1])",
     "set(nil, 'a', 1)", "fail(nil)", "mustFromJson(nil)", "dig('a', 'b', nil)", "mustToDate('2006', nil)"],
)  # fmt: skip
def test_nil_is_no_list_and_nothing_can_be_put_into_it(expression: str) -> None:
    with pytest.raises(ExpressionError):
        result(expression)


@pytest.mark.parametrize("expression", ["upper(nil)", "trim(nil)", "keys(nil)", "asInt(nil)", "len(nil)"])
def test_the_languages_own_functions_take_no_nil(expression: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(expression, {})


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1e16", "10000000000000000"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("1.5e300", "1.5e+300"),
        ("0.000001", "0.000001"),
        ("0.00000012", "1.2e-7"),
        ("-1e-9", "-1e-9"),
        ("123456789.125", "123456789.125"),
        ("9007199254740993.0", "9007199254740992"),
        ("0.1", "0.1"),
    ],
)
def test_numbers_are_written_as_gos_json_does(number: str, text: str) -> None:
    assert evaluate("toJson(x)", {"x": float(number)}) == text
    assert evaluate("sprig.toJson([x])", {"x": float(number)}) == f"[{text}]"
