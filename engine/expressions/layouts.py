"""Go's layouts: times written as the reference time `Mon Jan 2 15:04:05 MST 2006` would be."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from engine.expressions.errors import Invalid

# fmt: off
MONTHS: Final = ("January", "February", "March", "April", "May", "June",
                  "July", "August", "September", "October", "November", "December")
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DIGITS: Final = {
    "2006": ("year", r"\d{4}"), "06": ("short_year", r"\d\d"),
    "01": ("month", r"\d\d"), "1": ("month", r"\d{1,2}"),
    "02": ("day", r"\d\d"), "2": ("day", r"\d{1,2}"), "_2": ("day", r" ?\d{1,2}"),
    "002": ("yearday", r"\d{3}"), "__2": ("yearday", r" {0,2}\d{1,3}"),
    "15": ("hour", r"\d\d"), "03": ("hour12", r"\d\d"), "3": ("hour12", r"\d{1,2}"),
    "04": ("minute", r"\d\d"), "4": ("minute", r"\d{1,2}"),
    "05": ("second", r"\d\d"), "5": ("second", r"\d{1,2}"),
}
_WORDS: Final = {
    "January": ("monthname", "|".join(MONTHS)), "Jan": ("monthname", "|".join(month[:3] for month in MONTHS)),
    "Monday": ("weekday", "|".join(DAYS)), "Mon": ("weekday", "|".join(day[:3] for day in DAYS)),
    "MST": ("zonename", "[A-Z]{3,5}"), "PM": ("noon", "AM|PM"), "pm": ("noon", "am|pm"),
}
# fmt: on

MAX_LAYOUT: Final = 1000
"""Characters in a layout."""

# The parts of a layout, as Go's nextStdChunk tells them apart.
_PART: Final = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|_2(?!006)|__2"
    r"|[-Z]07:00:00|[-Z]070000|[-Z]07:00|[-Z]0700|[-Z]07|[.,](?:0+|9+)(?![0-9])"
    r"|002|01|02|03|04|05|06|15|1|2|3|4|5|PM|pm"
)


def format_moment(moment: datetime, layout: str) -> str:
    """The text of a moment with a time zone, in a layout."""
    _check(layout)
    return _PART.sub(lambda part: _write(part[0], moment), layout)


def _check(layout: str) -> None:
    if len(layout) > MAX_LAYOUT:
        raise Invalid(f"a layout may have {MAX_LAYOUT} characters, {layout[:80]!r} has {len(layout)}")


def _write(part: str, moment: datetime) -> str:
    if part[0] in "-Z":
        return _write_offset(part, moment)
    if part[0] in ".,":
        digits = f"{moment.microsecond:06d}".ljust(len(part) - 1, "0")[: len(part) - 1]
        if part[1] == "9":
            digits = digits.rstrip("0")
        return part[0] + digits if digits else ""
    hour = moment.hour % 12 or 12
    written: dict[str, object] = {
        "January": MONTHS[moment.month - 1],
        "Jan": MONTHS[moment.month - 1][:3],
        "Monday": DAYS[moment.weekday()],
        "Mon": DAYS[moment.weekday()][:3],
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
    return str(written[part])


def _write_offset(part: str, moment: datetime) -> str:
    offset = int((moment.utcoffset() or timedelta(0)).total_seconds())
    if part[0] == "Z" and offset == 0:
        return "Z"
    hours, rest = divmod(abs(offset), 3600)
    fields = [f"{hours:02d}", f"{rest // 60:02d}", f"{rest % 60:02d}"][: _pairs(part)]
    return ("-" if offset < 0 else "+") + (":" if ":" in part else "").join(fields)


def _pairs(part: str) -> int:
    return sum(character.isdigit() for character in part) // 2


def parse_moment(layout: str, text: str, zone: tzinfo = UTC) -> datetime:
    """Reads a time in a layout; a text without a zone is in `zone`. Raises `Invalid` where they do not match."""
    _check(layout)
    names: list[str] = []
    pattern, position = "", 0
    for part in _PART.finditer(layout):
        pattern += re.escape(layout[position : part.start()])
        position = part.end()
        name, expression = _read(part[0])
        names.append(name)
        # Atomic: Go reads a part once, and looks for no other way to read it where the next one does not fit.
        pattern += f"((?>{expression}))"
        # Go accepts a fraction after the seconds even where the layout has none.
        if name == "second" and layout[position : position + 1] not in (".", ","):
            names.append("fraction")
            pattern += r"([.,]\d++)?+"
    match = re.fullmatch(pattern + re.escape(layout[position:]), text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise Invalid(f"cannot parse {text[:80]!r} as time {layout[:80]!r}")
    found = {name: value for name, value in zip(names, match.groups(), strict=True) if value}
    try:
        return _assemble(found, zone)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"cannot parse {text[:80]!r} as time {layout[:80]!r}: {error}") from error


def _read(part: str) -> tuple[str, str]:
    if part in _DIGITS:
        return _DIGITS[part]
    if part[0] in ".,":
        return "fraction", r"[.,]\d+" if part[1] == "0" else r"(?:[.,]\d+)?"
    if part[0] in "-Z":
        offset = r"[+-]" + (":" if ":" in part else "").join([r"\d\d"] * _pairs(part))
        return "offset", f"Z|{offset}" if part[0] == "Z" else offset
    return _WORDS[part]


def _assemble(found: dict[str, str], zone: tzinfo) -> datetime:
    numbers = {name: int(value) for name, value in found.items() if value.strip().isdigit()}
    year = numbers.get("year", 1)
    if "short_year" in numbers:
        year = numbers["short_year"] + (1900 if numbers["short_year"] >= 69 else 2000)
    month = numbers.get("month", 1)
    if "monthname" in found:
        month = next(i for i, name in enumerate(MONTHS, 1) if name[:3].lower() == found["monthname"][:3].lower())
    hour = numbers.get("hour", numbers.get("hour12", 0))
    if "noon" in found:
        hour = hour % 12 + (12 if found["noon"].lower() == "pm" else 0)
    microsecond = int(found.get("fraction", ".0")[1:7].ljust(6, "0"))
    if "offset" in found or "zonename" in found:
        zone = _offset(found.get("offset", "Z"))
    day, minute, second = numbers.get("day", 1), numbers.get("minute", 0), numbers.get("second", 0)
    moment = datetime(year, month, day, hour, minute, second, microsecond, zone)
    return moment + timedelta(days=numbers["yearday"] - 1) if "yearday" in numbers else moment


def _offset(text: str) -> tzinfo:
    hours, minutes, seconds = (*(int(pair) for pair in re.findall(r"\d\d", text)), 0, 0, 0)[:3]
    span = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-span if text[0] == "-" else span) if span else UTC
