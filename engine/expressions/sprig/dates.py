"""sprig's dates. The local time zone is UTC, so that a workflow reads the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any, Final, TypeVar

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.functions import Functions
from engine.expressions.gotext import go_string
from engine.expressions.times import HOUR, MINUTE, SECOND, Duration, Time, Zone

_T = TypeVar("_T")

_DAY: Final = 24 * HOUR
_ROUND_UNITS: Final = (
    (365 * _DAY, "y"),
    (30 * _DAY, "mo"),
    (_DAY, "d"),
    (HOUR, "h"),
    (MINUTE, "m"),
    (SECOND, "s"),
)
_HTML: Final = "2006-01-02"


def _or(fallback: _T, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except Invalid:
        return fallback


def _moment(run: Run, date: Any) -> Time:
    """A date, or the seconds since 1970 as an integer; anything else, a string too, stands for now, as in sprig."""
    if isinstance(date, Time):
        return date
    return Time.at(date if isinstance(date, int) and not isinstance(date, bool) else run.clock())


def _date(run: Run, layout: str, date: Any, zone: str = "Local") -> str:
    utc: tzinfo = UTC
    return _moment(run, date).within(_or(utc, lambda: Zone(zone).info)).format(layout)


def _ago(run: Run, date: Any) -> str:
    elapsed = Time.at(run.clock()).minus(_moment(run, date)).nanoseconds
    return str(Duration(round(elapsed / SECOND) * SECOND))


def _modify(change: str, date: Time) -> Time:
    return date.add(Duration.parse(change))


def _duration(seconds: Any) -> str:
    text = go_string(seconds)
    return str(Duration(int(text) * SECOND if text.lstrip("-").isdecimal() and len(text) < 12 else 0))


def _duration_round(run: Run, duration: Any) -> str:
    match duration:
        case str():
            size = _or(0, lambda: Duration.parse(duration).nanoseconds)
        case Time():
            size = Time.at(run.clock()).minus(duration).nanoseconds
        case Duration():
            size = duration.nanoseconds
        case int():
            size = duration
        case _:
            size = 0
    for unit, suffix in _ROUND_UNITS:
        if abs(size) > unit:
            return f"{abs(size) // unit}{suffix}"
    return "0s"


FUNCTIONS: Final[Functions] = {
    "ago(run, any)": _ago,
    "date(run, string, any)": _date,
    "dateInZone|date_in_zone(run, string, any, string)": _date,
    "dateModify|date_modify(string, time.Time)": lambda change, date: _or(date, lambda: _modify(change, date)),
    "duration(any)": _duration,
    "durationRound(run, any)": _duration_round,
    "htmlDate(run, any)": lambda run, date: _date(run, _HTML, date),
    "htmlDateInZone(run, any, string)": lambda run, date, zone: _date(run, _HTML, date, zone),
    "mustDateModify|must_date_modify(string, time.Time)": _modify,
    "mustToDate(string, string)": lambda layout, text: Time.parse(layout, text),
    "now(run)": lambda run: Time.at(run.clock()),
    "toDate(string, string)": lambda layout, text: _or(Time.zero(), lambda: Time.parse(layout, text)),
    "unixEpoch(time.Time)": lambda date: str(date.unix()),
}
