"""sprig's dates. The local time zone is UTC, so that a workflow reads the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.gotext import go_string
from engine.expressions.times import HOUR, MINUTE, SECOND, Duration, Time, Zone

_DAY: Final = 24 * HOUR
_ROUND_UNITS: Final = (
    (365 * _DAY, "y"),
    (30 * _DAY, "mo"),
    (_DAY, "d"),
    (HOUR, "h"),
    (MINUTE, "m"),
    (SECOND, "s"),
)


def _moment(run: Run, date: Any) -> Time:
    """A date, or the seconds since 1970 as an integer; anything else, a string too, stands for now, as in sprig."""
    if isinstance(date, Time):
        return date
    return Time.at(date if isinstance(date, int) and not isinstance(date, bool) else run.clock())


def _zone(name: str) -> tzinfo:
    try:
        return Zone(name).info
    except Invalid:
        return UTC


def _date(run: Run, layout: str, date: Any) -> str:
    return _date_in_zone(run, layout, date, "Local")


def _date_in_zone(run: Run, layout: str, date: Any, zone: str) -> str:
    return _moment(run, date).within(_zone(zone)).format(layout)


def _html_date(run: Run, date: Any) -> str:
    return _date(run, "2006-01-02", date)


def _html_date_in_zone(run: Run, date: Any, zone: str) -> str:
    return _date_in_zone(run, "2006-01-02", date, zone)


def _now(run: Run) -> Time:
    return Time.at(run.clock())


def _ago(run: Run, date: Any) -> str:
    elapsed = Time.at(run.clock()).minus(_moment(run, date)).nanoseconds
    return str(Duration(round(elapsed / SECOND) * SECOND))


def _modify(change: str, date: Time) -> Time:
    try:
        return date.add(Duration.parse(change))
    except Invalid:
        return date


def _must_modify(change: str, date: Time) -> Time:
    return date.add(Duration.parse(change))


def _duration(seconds: Any) -> str:
    text = go_string(seconds)
    return str(Duration(int(text) * SECOND if text.lstrip("-").isdecimal() and len(text) < 12 else 0))


def _duration_round(run: Run, duration: Any) -> str:
    match duration:
        case str():
            try:
                size = Duration.parse(duration).nanoseconds
            except Invalid:
                size = 0
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


def _to_date(layout: str, text: str) -> Time:
    try:
        return Time.parse(layout, text)
    except Invalid:
        return Time.zero()


def _must_to_date(layout: str, text: str) -> Time:
    return Time.parse(layout, text)


def _unix_epoch(date: Time) -> str:
    return str(date.unix())


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "ago": _ago,
    "date": _date,
    "dateInZone": _date_in_zone,
    "dateModify": _modify,
    "date_in_zone": _date_in_zone,
    "date_modify": _modify,
    "duration": _duration,
    "durationRound": _duration_round,
    "htmlDate": _html_date,
    "htmlDateInZone": _html_date_in_zone,
    "mustDateModify": _must_modify,
    "mustToDate": _must_to_date,
    "must_date_modify": _must_modify,
    "now": _now,
    "toDate": _to_date,
    "unixEpoch": _unix_epoch,
}
