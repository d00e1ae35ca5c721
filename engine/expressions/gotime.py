"""Go's times and durations: layouts such as `2006-01-02T15:04:05Z07:00`, texts such as `1h30m`, and what they print.

Times keep microseconds where Go keeps nanoseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import ClassVar, Final, Self
from zoneinfo import ZoneInfo

from engine.expressions.errors import Invalid

RFC3339: Final = "2006-01-02T15:04:05Z07:00"
RFC3339_NANO: Final = "2006-01-02T15:04:05.999999999Z07:00"

_MONTHS: Final = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


class Duration:
    """A span of time in nanoseconds; ordered, hashable, printed as Go prints it (`1h30m0s`)."""

    __slots__ = ("nanoseconds",)
    METHODS: ClassVar[Mapping[str, Callable[..., object]]] = {
        "Hours": lambda self: self.nanoseconds / (3600 * 10**9),
        "Minutes": lambda self: self.nanoseconds / (60 * 10**9),
        "Seconds": lambda self: self.nanoseconds / 10**9,
        "Milliseconds": lambda self: int(self.nanoseconds / 10**6),
        "Microseconds": lambda self: int(self.nanoseconds / 10**3),
        "Nanoseconds": lambda self: self.nanoseconds,
        "String": lambda self: str(self),
    }

    def __init__(self, nanoseconds: int) -> None:
        self.nanoseconds = nanoseconds

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `1h30m`, `-1.5s`, `300ms`; a number needs its unit. Raises `Invalid`."""
        unsigned = text[1:] if text[:1] in ("+", "-") else text
        if unsigned == "0":
            return cls(0)
        total, position = 0, 0
        while position < len(unsigned):
            part = _DURATION_PART.match(unsigned, position)
            if part is None:
                break
            total += round(float(part[1]) * _UNITS[part[2]]) if "." in part[1] else int(part[1]) * _UNITS[part[2]]
            position = part.end()
        if not unsigned or position < len(unsigned) or total >= 1 << 63:
            raise Invalid(f"time: invalid duration {text!r}")
        return cls(-total if text[0] == "-" else total)

    def __str__(self) -> str:
        size = abs(self.nanoseconds)
        sign = "-" if self.nanoseconds < 0 else ""
        if size < 10**9:
            for unit, suffix in ((10**6, "ms"), (10**3, "µs")):
                if size >= unit:
                    return f"{sign}{_decimal(size, unit)}{suffix}"
            return f"{sign}{size}ns" if size else "0s"
        minutes, rest = divmod(size, 60 * 10**9)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(rest, 10**9)}s"
        if hours:
            return f"{sign}{hours}h{minutes}m{text}"
        return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: Duration) -> bool:
        return self.nanoseconds < other.nanoseconds

    def __le__(self, other: Duration) -> bool:
        return self.nanoseconds <= other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)


def _decimal(size: int, unit: int) -> str:
    whole, rest = divmod(size, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0").rstrip(".") if rest else str(whole)


class Time:
    """A moment with a time zone; ordered, hashable, printed as Go prints it."""

    __slots__ = ("moment",)
    METHODS: ClassVar[Mapping[str, Callable[..., object]]] = {
        "Year": lambda self: self.moment.year,
        "Month": lambda self: self.moment.month,
        "Day": lambda self: self.moment.day,
        "Hour": lambda self: self.moment.hour,
        "Minute": lambda self: self.moment.minute,
        "Second": lambda self: self.moment.second,
        "Nanosecond": lambda self: self.moment.microsecond * 1000,
        "Weekday": lambda self: self.moment.isoweekday() % 7,
        "YearDay": lambda self: self.moment.timetuple().tm_yday,
        "Unix": lambda self: self.unix(),
        "UnixMilli": lambda self: self.unix() * 1000 + self.moment.microsecond // 1000,
        "Format": lambda self, layout: self.format(layout),
        "Add": lambda self, duration: self.add(duration),
        "Sub": lambda self, other: self.minus(other),
        "After": lambda self, other: self.moment > other.moment,
        "Before": lambda self, other: self.moment < other.moment,
        "Equal": lambda self, other: self == other,
        "UTC": lambda self: Time(self.moment.astimezone(UTC)),
        "In": lambda self, zone: Time(self.moment.astimezone(zone.info)),
        "String": lambda self: str(self),
    }

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    @classmethod
    def at(cls, seconds: float, zone: tzinfo = UTC) -> Self:
        """The moment so many seconds after 1970; raises `Invalid` outside the years 1 to 9999."""
        try:
            return cls(datetime.fromtimestamp(seconds, zone))
        except (OverflowError, OSError, ValueError) as error:
            raise Invalid(f"time out of range: {seconds}") from error

    def unix(self) -> int:
        """Whole seconds since 1970."""
        return int((self.moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1))

    def add(self, duration: Duration) -> Time:
        """The moment so much later; raises `Invalid` outside the years 1 to 9999."""
        try:
            return Time(self.moment + timedelta(microseconds=duration.nanoseconds // 1000))
        except OverflowError as error:
            raise Invalid(f"time out of range: {self} + {duration}") from error

    def minus(self, other: Time) -> Duration:
        """How much later this moment is than another."""
        return Duration((self.moment - other.moment) // timedelta(microseconds=1) * 1000)

    def format(self, layout: str) -> str:
        """The text of this moment in a Go layout."""
        return _CHUNK.sub(lambda chunk: _format(chunk[0], self.moment), layout)

    def rfc3339(self) -> str:
        """The text that Go writes into JSON."""
        return self.format(RFC3339_NANO)

    def __str__(self) -> str:
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Time) and self.moment == other.moment

    def __lt__(self, other: Time) -> bool:
        return self.moment < other.moment

    def __le__(self, other: Time) -> bool:
        return self.moment <= other.moment

    def __hash__(self) -> int:
        return hash(self.moment)


class Zone:
    """A time zone by its name in the IANA database, or `UTC`, or `Local`."""

    METHODS: ClassVar[Mapping[str, Callable[..., object]]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self.info: tzinfo = UTC if name in ("", "UTC", "Local") else ZoneInfo(name)
        except (OSError, ValueError, LookupError) as error:
            raise Invalid(f"unknown time zone {name}") from error

    def __str__(self) -> str:
        return self.name or "UTC"


# The parts of a layout, longest first, as Go's nextStdChunk tells them apart.
_CHUNK: Final = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|_2(?!006)|__2"
    r"|[-Z]07:00:00|[-Z]070000|[-Z]07:00|[-Z]0700|[-Z]07|[.,](?:0+|9+)(?![0-9])"
    r"|002|01|02|03|04|05|06|15|1|2|3|4|5|PM|pm"
)


def _format(chunk: str, moment: datetime) -> str:
    if chunk[0] in "-Z" and chunk[1:3] == "07":
        return _format_zone(chunk, moment)
    if chunk[0] in ".,":
        digits = f"{moment.microsecond:06d}".ljust(9, "0")[: len(chunk) - 1].ljust(len(chunk) - 1, "0")
        if chunk[1] == "9":
            digits = digits.rstrip("0")
        return chunk[0] + digits if digits else ""
    hour = moment.hour % 12 or 12
    parts: dict[str, object] = {
        "January": _MONTHS[moment.month - 1],
        "Jan": _MONTHS[moment.month - 1][:3],
        "Monday": _DAYS[moment.weekday()],
        "Mon": _DAYS[moment.weekday()][:3],
        "MST": moment.tzname() or "UTC",
        "2006": f"{moment.year:04d}",
        "06": f"{moment.year % 100:02d}",
        "01": f"{moment.month:02d}",
        "1": moment.month,
        "02": f"{moment.day:02d}",
        "_2": f"{moment.day:2d}",
        "2": moment.day,
        "002": f"{moment.timetuple().tm_yday:03d}",
        "__2": f"{moment.timetuple().tm_yday:3d}",
        "15": f"{moment.hour:02d}",
        "03": f"{hour:02d}",
        "3": hour,
        "04": f"{moment.minute:02d}",
        "4": moment.minute,
        "05": f"{moment.second:02d}",
        "5": moment.second,
        "PM": "PM" if moment.hour >= 12 else "AM",
        "pm": "pm" if moment.hour >= 12 else "am",
    }
    return str(parts[chunk])


def _format_zone(chunk: str, moment: datetime) -> str:
    offset = int((moment.utcoffset() or timedelta(0)).total_seconds())
    if chunk[0] == "Z" and offset == 0:
        return "Z"
    sign = "-" if offset < 0 else "+"
    hours, rest = divmod(abs(offset), 3600)
    fields = [f"{hours:02d}", f"{rest // 60:02d}", f"{rest % 60:02d}"]
    count = sum(character.isdigit() for character in chunk) // 2
    return sign + (":" if ":" in chunk else "").join(fields[:count])


_DIGITS: Final = {
    "2006": ("year", r"\d{4}"), "06": ("short_year", r"\d\d"), "01": ("month", r"\d\d"), "1": ("month", r"\d{1,2}"),
    "02": ("day", r"\d\d"), "2": ("day", r"\d{1,2}"), "_2": ("day", r" ?\d{1,2}"), "002": ("yearday", r"\d{3}"),
    "__2": ("yearday", r" {0,2}\d{1,3}"), "15": ("hour", r"\d\d"), "03": ("hour12", r"\d\d"), "3": ("hour12", r"\d{1,2}"),
    "04": ("minute", r"\d\d"), "4": ("minute", r"\d{1,2}"), "05": ("second", r"\d\d"), "5": ("second", r"\d{1,2}"),
}  # fmt: skip


def parse_time(layout: str, text: str, zone: tzinfo = UTC) -> Time:
    """Reads a time by a Go layout; a text without a zone is in `zone`. Raises `Invalid` where they do not match."""
    pattern, position = [], 0
    names: list[str] = []
    chunks = list(_CHUNK.finditer(layout))
    for chunk in chunks:
        pattern.append(re.escape(layout[position : chunk.start()]))
        position = chunk.end()
        name, expression = _pattern(chunk[0])
        names.append(name)
        pattern.append(f"({expression})")
        # Go accepts a fraction after the seconds even where the layout has none.
        if name == "second" and layout[position : position + 1] not in (".", ","):
            names.append("fraction")
            pattern.append(r"([.,]\d+)?")
    pattern.append(re.escape(layout[position:]))
    match = re.fullmatch("".join(pattern), text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise Invalid(f"parsing time {text!r} as {layout!r}: cannot parse")
    found = {name: value for name, value in zip(names, match.groups(), strict=True) if value is not None}
    try:
        return Time(_assemble(found, zone))
    except (ValueError, OverflowError) as error:
        raise Invalid(f"parsing time {text!r}: {error}") from error


def _pattern(chunk: str) -> tuple[str, str]:
    if chunk in _DIGITS:
        return _DIGITS[chunk]
    if chunk[0] in ".,":
        return "fraction", r"[.,]\d+" if chunk[1] == "0" else r"(?:[.,]\d+)?"
    if chunk[0] in "-Z" and chunk[1:3] == "07":
        count = sum(character.isdigit() for character in chunk) // 2
        numeric = r"[+-]" + (":" if ":" in chunk else "").join([r"\d\d"] * count)
        return "offset", f"Z|{numeric}" if chunk[0] == "Z" else numeric
    words = {
        "January": ("monthname", "|".join(_MONTHS)),
        "Jan": ("monthname", "|".join(month[:3] for month in _MONTHS)),
        "Monday": ("weekday", "|".join(_DAYS)),
        "Mon": ("weekday", "|".join(day[:3] for day in _DAYS)),
        "MST": ("zonename", "[A-Z]{3,5}"),
        "PM": ("noon", "AM|PM"),
        "pm": ("noon", "am|pm"),
    }
    return words[chunk]


def _assemble(found: dict[str, str], zone: tzinfo) -> datetime:
    numbers = {name: int(value) for name, value in found.items() if value.strip().isdigit()}
    year = numbers.get("year", 1)
    if "short_year" in numbers:
        year = numbers["short_year"] + (1900 if numbers["short_year"] >= 69 else 2000)
    month = numbers.get("month", 1)
    if "monthname" in found:
        month = next(i for i, name in enumerate(_MONTHS, 1) if name[:3].lower() == found["monthname"][:3].lower())
    hour = numbers.get("hour", numbers.get("hour12", 0))
    if "noon" in found:
        hour = hour % 12 + (12 if found["noon"].lower() == "pm" else 0)
    fraction = int(found.get("fraction", ".0")[1:7].ljust(6, "0") or 0)
    offset = found.get("offset")
    if offset is not None or "zonename" in found:
        zone = _zone(offset or "Z")
    moment = datetime(
        year, month, numbers.get("day", 1), hour, numbers.get("minute", 0), numbers.get("second", 0), fraction, zone
    )
    return moment + timedelta(days=numbers["yearday"] - 1) if "yearday" in numbers else moment


def _zone(offset: str) -> tzinfo:
    digits = [int(pair) for pair in re.findall(r"\d\d", offset)]
    if not any(digits):
        return UTC
    hours, minutes, seconds = (*digits, 0, 0)[:3]
    span = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-span if offset[0] == "-" else span)
