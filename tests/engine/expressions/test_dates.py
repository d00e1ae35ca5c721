"""Times, durations and Go's layouts, in the language and in sprig. The clock is handed in."""

from __future__ import annotations

import pytest

from engine.expressions import ExpressionError, evaluate
from engine.expressions.times import Duration, Time

LEAP_DAY = 1709210096.5  # 2024-02-29T12:34:56.5Z, a Thursday


def result(expression: str) -> object:
    return evaluate(expression, {"created": "2024-02-29T12:34:56Z"}, clock=lambda: LEAP_DAY)


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("2006-01-02T15:04:05Z07:00", "2024-02-29T12:34:56Z"),
        ("Mon Jan _2 15:04:05 2006", "Thu Feb 29 12:34:56 2024"),
        ("Monday, January 2 06", "Thursday, February 29 24"),
        ("3:04PM 03pm", "12:34PM 12pm"),
        ("15:04:05.000 .999999 ,00", "12:34:56.500 .5 ,50"),
        ("002 __2", "060  60"),
        ("-0700 -07:00 Z0700 MST", "+0000 +00:00 Z UTC"),
        ("no date at all", "no date at all"),
        ("Month Jane", "Month Jane"),
    ],
)
def test_layouts_are_written(layout: str, text: str) -> None:
    assert result(f"now().Format('{layout}')") == text


@pytest.mark.parametrize(
    ("call", "unix"),
    [
        ("date('2024-02-29')", 1709164800),
        ("date('2024-02-29 12:34:56')", 1709210096),
        ("date('2024-02-29T12:34:56.789+01:00')", 1709206496),
        ("date('29 Feb 24 12:34 UTC')", 1709210040),
        ("date('Thu, 29 Feb 2024 12:34:56 UTC')", 1709210096),
        ("date('29.2.2024 7:04 pm', '2.1.2006 3:04 pm')", 1709233440),
        ("date('2024-060', '2006-002')", 1709164800),
        ("date('2024-02-29 13:34', '2006-01-02 15:04', 'Europe/Zurich')", 1709210040),
        ("date('69', '06')", -31536000),
    ],
)
def test_layouts_are_read(call: str, unix: int) -> None:
    assert result(f"{call}.Unix()") == unix


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[now().Year(), now().Month(), now().Day(), now().Hour(), now().Minute(), now().Second()]",
         [2024, 2, 29, 12, 34, 56]),
        ("[now().Weekday(), now().YearDay(), now().Unix(), now().UnixMilli(), now().Nanosecond()]",
         [4, 60, 1709210096, 1709210096500, 500000000]),
        ("[now().Weekday().String(), string(now().Month()), string(int(now().Month()))]",
         ["Thursday", "February", "2"]),
        ("[now().UnixMicro(), now().UnixNano(), now().IsZero()]", [1709210096500000, 1709210096500000000, False]),
        ("now().AddDate(1, 0, 1).Format('2006-01-02T15:04')", "2025-03-02T12:34"),
        ("date('2023-10-31').AddDate(0, 1, 0).Format('2006-01-02')", "2023-12-01"),
        ("date('2023-01-31').AddDate(0, -2, -1).Format('2006-01-02')", "2022-11-30"),
        ("string(now().Truncate(duration('1h')).Local())", "2024-02-29 12:00:00 +0000 UTC"),
        ("string(now().Round(duration('1h')))", "2024-02-29 13:00:00 +0000 UTC"),
        ("now().Truncate(duration('0s')) == now()", True),
        ("map(['Truncate', 'Round'], string(get({'Truncate': duration('-95s').Truncate(duration('1m')),"
         " 'Round': duration('-95s').Round(duration('1m'))}, #)))", ["-1m0s", "-2m0s"]),
        ("string(duration('-1s').Abs())", "1s"),
        ("(now() - date('2024-02-29')).Hours() > 12.5", True),
        ("now() - duration('24h') < now()", True),
        ("now().Add(duration('12h')).Day()", 1),
        ("now().In(timezone('Asia/Tokyo')).Hour()", 21),
        ("now().UTC().Equal(now())", True),
        ("now().After(date(created)) && date(created).Before(now())", True),
        ("string(now().Sub(date('2024-02-28')))", "36h34m56.5s"),
        ("string(2 * duration('1h30m'))", "3h0m0s"),
        ("string(-duration('1.5s'))", "-1.5s"),
        ("[duration('90s').Minutes(), duration('1h').Seconds()]", [1.5, 3600.0]),
        ("[duration('1ms').Nanoseconds(), duration('1s').Milliseconds(), duration('1ms').Microseconds()]",
         [1000000, 1000, 1000]),
        ("duration('1h') > duration('59m')", True),
        ("duration('60m') == duration('1h')", True),
        ("string(date('2024-02-29'))", "2024-02-29 00:00:00 +0000 UTC"),
        ("toJson(now())", '"2024-02-29T12:34:56.5Z"'),
        ("sprig.date('2006-01', now())", "2024-02"),
        ("sprig.date('2006', created)", "2024"),
        ("sprig.date('2006-01-02', 0)", "1970-01-01"),
        ("sprig.dateInZone('15:04', now(), 'Asia/Tokyo')", "21:34"),
        ("sprig.dateInZone('15:04', now(), 'No/Where')", "12:34"),
        ("sprig.htmlDate(now())", "2024-02-29"),
        ("sprig.dateModify('-24h', now()).Day()", 28),
        ("sprig.dateModify('nonsense', now()).Day()", 29),
        ("sprig.toDate('2006-01-02', '2024-02-29').Day()", 29),
        ("sprig.toDate('2006-01-02', 'x').Year()", 1),
        ("sprig.unixEpoch(sprig.now())", "1709210096"),
        ("sprig.ago(sprig.dateModify('-90s', now()))", "1m30s"),
        ("[sprig.duration('95'), sprig.duration(95), sprig.duration('x')]", ["1m35s", "1m35s", "0s"]),
        ("[sprig.durationRound('2h10m5s'), sprig.durationRound('2400h')]", ["2h", "3mo"]),
        ("[sprig.durationRound('x'), sprig.durationRound(duration('90s'))]", ["0s", "1m"]),
    ],
)  # fmt: skip
def test_times_and_durations(expression: str, value: object) -> None:
    assert result(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "date('x')",
        "date('2024-13-01')",
        "date('2023-02-29')",
        "date('2024-02-29', '2006/01/02')",
        "date('2024-02-29', '2006-01-02', 'No/Where')",
        "timezone('../../etc/passwd')",
        "duration('1')",
        "duration('')",
        "duration('1h1')",
        "duration('-')",
        "duration('9999999h')",
        "now() + 1",
        "now() + now()",
        "now() < 1",
        "now().Nothing",
        "now().Add(1)",
        "now().In('UTC')",
        "now().Year(1)",
        "date('9999-12-31').Add(duration('100h'))",
        "sprig.mustToDate('2006', 'x')",
        "sprig.date('2006', 9999999999999)",
    ],
)
def test_impossible_times_are_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        result(expression)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (4 * 60 * 10**9, "4m0s"),
        (5 * 3600 * 10**9 + 10**6, "5h0m0.001s"),
        (-(10**9), "-1s"),
    ],
)
def test_durations_print_as_go_prints_them(nanoseconds: int, text: str) -> None:
    assert str(Duration(nanoseconds)) == text
    assert Duration.parse(text) == Duration(nanoseconds)


def test_times_of_different_zones_are_equal_where_they_are_the_same_moment() -> None:
    there = Time.parse("2006-01-02T15:04:05Z07:00", "2024-02-29T21:34:56+09:00")
    here = Time.parse("2006-01-02T15:04:05Z07:00", "2024-02-29T12:34:56Z")
    assert there == here
    assert hash(there) == hash(here)
    assert there.format("Z07:00") == "+09:00"
