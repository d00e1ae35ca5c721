"""Go's durations, times and time zones as values of expressions. Times keep microseconds where Go keeps nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Self
from zoneinfo import ZoneInfo

from engine.expressions.errors import Invalid
from engine.expressions.layouts import DAYS, MONTHS, format_moment, parse_moment
from rpc.durations import parse_nanoseconds

RFC3339: Final = "2006-01-02T15:04:05Z07:00"
RFC3339_NANO: Final = "2006-01-02T15:04:05.999999999Z07:00"

MICROSECOND: Final = 10**3
MILLISECOND: Final = 10**6
SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE


class Month(int):
    """A month as Go has it: a number, from 1 on, that is printed as its name."""

    def __str__(self) -> str:
        return MONTHS[self - 1]


class Weekday(int):
    """A day of the week, likewise; Sunday is 0."""

    def __str__(self) -> str:
        return DAYS[(self + 6) % 7]


@dataclass(frozen=True, order=True, slots=True)
class Duration:
    """A span of time; printed as Go prints it (`1h30m0s`)."""

    nanoseconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `1h30m`, `-1.5s`, `300ms`; every number needs its unit. Raises `Invalid`."""
        try:
            return cls(parse_nanoseconds(text))
        except ValueError as error:
            raise Invalid(f"time: invalid duration {text[:80]!r}") from error

    def __str__(self) -> str:
        size = abs(self.nanoseconds)
        sign = "-" if self.nanoseconds < 0 else ""
        if size < SECOND:
            for unit, suffix in ((MILLISECOND, "ms"), (MICROSECOND, "µs")):
                if size >= unit:
                    return f"{sign}{_decimal(size, unit)}{suffix}"
            return f"{sign}{size}ns" if size else "0s"
        minutes, rest = divmod(size, MINUTE)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(rest, SECOND)}s"
        if hours:
            return f"{sign}{hours}h{minutes}m{text}"
        return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"

    def truncate(self, multiple: Duration) -> Duration:
        """As much of it as is so many times another one, towards zero; all of it where that is not more than none."""
        if multiple.nanoseconds <= 0:
            return self
        whole = abs(self.nanoseconds) // multiple.nanoseconds * multiple.nanoseconds
        return Duration(whole if self.nanoseconds >= 0 else -whole)

    def round(self, multiple: Duration) -> Duration:
        """Likewise, to the nearest multiple, halves away from zero."""
        half = max(multiple.nanoseconds, 0) // 2
        return Duration(self.nanoseconds + (half if self.nanoseconds >= 0 else -half)).truncate(multiple)


def _decimal(size: int, unit: int) -> str:
    whole, rest = divmod(size, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0").rstrip(".")


@dataclass(frozen=True, order=True, slots=True)
class Time:
    """A moment with a time zone; printed as Go prints it."""

    moment: datetime

    @classmethod
    def zero(cls) -> Self:
        """Go's zero time, the first moment of the year 1."""
        return cls(datetime(1, 1, 1, tzinfo=UTC))

    @classmethod
    def at(cls, seconds: float) -> Self:
        """The moment so many seconds after 1970, in UTC; raises `Invalid` outside the years 1 to 9999."""
        try:
            return cls(datetime.fromtimestamp(seconds, UTC))
        except (OverflowError, OSError, ValueError) as error:
            raise Invalid(f"time out of range: {seconds}") from error

    @classmethod
    def parse(cls, layout: str, text: str, zone: tzinfo = UTC) -> Self:
        """Reads a time in a Go layout; a text without a zone is in `zone`. Raises `Invalid`."""
        return cls(parse_moment(layout, text, zone))

    def unix(self) -> int:
        """Whole seconds since 1970."""
        return int((self.moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1))

    def add(self, duration: Duration) -> Time:
        """The moment so much later; raises `Invalid` outside the years 1 to 9999."""
        try:
            return Time(self.moment + timedelta(microseconds=duration.nanoseconds // MICROSECOND))
        except OverflowError as error:
            raise Invalid(f"time out of range: {self} + {duration}") from error

    def minus(self, other: Time) -> Duration:
        """How much later this moment is than another."""
        return Duration((self.moment - other.moment) // timedelta(microseconds=1) * MICROSECOND)

    def add_date(self, years: int, months: int, days: int) -> Time:
        """The same time of another day; one that a month does not have is one of the next. Raises `Invalid`."""
        year, month = divmod(self.moment.month - 1 + months, 12)
        try:
            first = self.moment.replace(year=self.moment.year + years + year, month=month + 1, day=1)
            return Time(first + timedelta(days=self.moment.day - 1 + days))
        except (OverflowError, ValueError) as error:
            raise Invalid(f"time out of range: {self}, {years} years, {months} months and {days} days on") from error

    def truncate(self, multiple: Duration) -> Time:
        """The last moment before it that is so many times a duration after the zero time."""
        return self.add(Duration(self._since().truncate(multiple).nanoseconds - self._since().nanoseconds))

    def round(self, multiple: Duration) -> Time:
        """The nearest one, halves later."""
        return self.add(Duration(self._since().round(multiple).nanoseconds - self._since().nanoseconds))

    def _since(self) -> Duration:
        return self.minus(Time.zero())

    def within(self, zone: tzinfo) -> Time:
        """The same moment on the clocks of a time zone; raises `Invalid` outside the years 1 to 9999."""
        try:
            return Time(self.moment.astimezone(zone))
        except OverflowError as error:
            raise Invalid(f"time out of range: {self}") from error

    def format(self, layout: str) -> str:
        """The text of this moment in a Go layout."""
        return format_moment(self.moment, layout)

    def __str__(self) -> str:
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")


class Zone:
    """A time zone by its name in the IANA database. `Local` is UTC, so that an expression reads alike everywhere."""

    __slots__ = ("info", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self.info: tzinfo = UTC if name in ("", "UTC", "Local") else ZoneInfo(name)
        except (OSError, ValueError, LookupError) as error:
            raise Invalid(f"unknown time zone {name[:80]}") from error

    def __str__(self) -> str:
        return self.name or "UTC"
