"""What `.` and `[]` find: elements of lists, keys of maps, and the methods of times and durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.functions import Function, namespace
from engine.expressions.gotext import go_string
from engine.expressions.times import HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND, Duration, Time, Zone
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
        case Time() if key in _TIME:
            return Method(_TIME[key], container)
        case Duration() if key in _DURATION:
            return Method(_DURATION[key], container)
        case _:
            name = "<nil>" if container is None else type_name(container)
            raise Invalid(f"cannot fetch {go_string(key)[:80]} from {name}")


class Method:
    """A method of a time or a duration, such as `now().Year`, on its way to be called."""

    __slots__ = ("_function", "_owner")

    def __init__(self, function: Function, owner: Time | Duration) -> None:
        self._function = function
        self._owner = owner

    def __call__(self, arguments: Sequence[object], run: Run) -> object:
        return self._function((self._owner, *arguments), run)


def _format(time: Time, layout: str) -> str:
    return time.format(layout)


def _add(time: Time, duration: Duration) -> Time:
    return time.add(duration)


def _minus(time: Time, other: Time) -> Duration:
    return time.minus(other)


def _after(time: Time, other: Time) -> bool:
    return time > other


def _before(time: Time, other: Time) -> bool:
    return time < other


def _equal(time: Time, other: Time) -> bool:
    return time == other


def _within(time: Time, zone: Zone) -> Time:
    return time.within(zone.info)


_TIME: Final = namespace(
    {
        "Year": lambda time: time.moment.year,
        "Month": lambda time: time.moment.month,
        "Day": lambda time: time.moment.day,
        "Hour": lambda time: time.moment.hour,
        "Minute": lambda time: time.moment.minute,
        "Second": lambda time: time.moment.second,
        "Nanosecond": lambda time: time.moment.microsecond * MICROSECOND,
        "Weekday": lambda time: time.moment.isoweekday() % 7,
        "YearDay": lambda time: time.moment.timetuple().tm_yday,
        "Unix": lambda time: time.unix(),
        "UnixMilli": lambda time: time.unix() * 1000 + time.moment.microsecond // 1000,
        "UTC": lambda time: time.within(Zone("UTC").info),
        "String": lambda time: str(time),
        "Format": _format,
        "Add": _add,
        "Sub": _minus,
        "After": _after,
        "Before": _before,
        "Equal": _equal,
        "In": _within,
    }
)
_DURATION: Final = namespace(
    {
        "Hours": lambda duration: duration.nanoseconds / HOUR,
        "Minutes": lambda duration: duration.nanoseconds / MINUTE,
        "Seconds": lambda duration: duration.nanoseconds / SECOND,
        "Milliseconds": lambda duration: int(duration.nanoseconds / MILLISECOND),
        "Microseconds": lambda duration: int(duration.nanoseconds / MICROSECOND),
        "Nanoseconds": lambda duration: duration.nanoseconds,
        "String": lambda duration: str(duration),
    }
)

METHODS: Final = (*_TIME, *_DURATION)
"""The names of all methods."""
