"""What `.` and `[]` find: elements of lists, keys of maps, and the methods of times and durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.functions import Function, namespace
from engine.expressions.gotext import go_string
from engine.expressions.times import (
    HOUR,
    MICROSECOND,
    MILLISECOND,
    MINUTE,
    SECOND,
    Duration,
    Month,
    Time,
    Weekday,
    Zone,
)
from engine.expressions.values import is_number, truncate, type_name


def fetch(container: Any, key: Any) -> object:
    """`container[key]` and `container.key`: nil for a missing key of a map. Raises `Invalid` as expr does."""
    match container:
        case Mapping():
            if isinstance(key, list | Mapping):
                raise Invalid(f"cannot use {type_name(key)} as a key of a map")
            return container.get(key)
        case list() if is_number(key):
            index = truncate(float(key))
            if not -len(container) <= index < len(container):
                raise Invalid(f"index out of range: {index} (array length is {len(container)})")
            return container[index]
        case Time() if isinstance(key, str) and key in _TIME:
            return Method(_TIME[key], container)
        case Duration() if isinstance(key, str) and key in _DURATION:
            return Method(_DURATION[key], container)
        case Month() | Weekday() if key == "String":
            return Method(_NAMED[key], container)
        case _:
            name = "<nil>" if container is None else type_name(container)
            raise Invalid(f"cannot fetch {go_string(key)[:80]} from {name}")


class Method:
    """A method of a time or a duration, such as `now().Year`, on its way to be called."""

    __slots__ = ("_function", "_owner")

    def __init__(self, function: Function, owner: Time | Duration | Month | Weekday) -> None:
        self._function = function
        self._owner = owner

    def __call__(self, arguments: Sequence[object], run: Run) -> object:
        return self._function((self._owner, *arguments), run)


_TIME: Final = namespace(
    {
        "Year(any)": lambda time: time.moment.year,
        "Month(any)": lambda time: Month(time.moment.month),
        "Day(any)": lambda time: time.moment.day,
        "Hour(any)": lambda time: time.moment.hour,
        "Minute(any)": lambda time: time.moment.minute,
        "Second(any)": lambda time: time.moment.second,
        "Nanosecond(any)": lambda time: time.moment.microsecond * MICROSECOND,
        "Weekday(any)": lambda time: Weekday(time.moment.isoweekday() % 7),
        "YearDay(any)": lambda time: time.moment.timetuple().tm_yday,
        "Unix(any)": lambda time: time.unix(),
        "UnixMilli(any)": lambda time: time.unix() * 1000 + time.moment.microsecond // 1000,
        "UnixMicro(any)": lambda time: time.unix() * 10**6 + time.moment.microsecond,
        "UnixNano(any)": lambda time: time.unix() * SECOND + time.moment.microsecond * MICROSECOND,
        "IsZero(any)": lambda time: time == Time.zero(),
        "UTC|Local(any)": lambda time: time.within(Zone("UTC").info),
        "String(any)": lambda time: str(time),
        "Format(any, string)": lambda time, layout: time.format(layout),
        "Add(any, time.Duration)": lambda time, duration: time.add(duration),
        "AddDate(any, int, int, int)": lambda time, years, months, days: time.add_date(years, months, days),
        "Truncate(any, time.Duration)": lambda time, multiple: time.truncate(multiple),
        "Round(any, time.Duration)": lambda time, multiple: time.round(multiple),
        "Sub(any, time.Time)": lambda time, other: time.minus(other),
        "After(any, time.Time)": lambda time, other: time > other,
        "Before(any, time.Time)": lambda time, other: time < other,
        "Equal(any, time.Time)": lambda time, other: time == other,
        "In(any, time.Location)": lambda time, zone: time.within(zone.info),
    }
)
_DURATION: Final = namespace(
    {
        "Hours(any)": lambda duration: duration.nanoseconds / HOUR,
        "Minutes(any)": lambda duration: duration.nanoseconds / MINUTE,
        "Seconds(any)": lambda duration: duration.nanoseconds / SECOND,
        "Milliseconds(any)": lambda duration: int(duration.nanoseconds / MILLISECOND),
        "Microseconds(any)": lambda duration: int(duration.nanoseconds / MICROSECOND),
        "Nanoseconds(any)": lambda duration: duration.nanoseconds,
        "Abs(any)": lambda duration: Duration(abs(duration.nanoseconds)),
        "Truncate(any, time.Duration)": lambda duration, multiple: duration.truncate(multiple),
        "Round(any, time.Duration)": lambda duration, multiple: duration.round(multiple),
        "String(any)": lambda duration: str(duration),
    }
)
_NAMED: Final = namespace({"String(any)": str})

METHODS: Final = (*_TIME, *_DURATION)
"""The names of all methods."""
