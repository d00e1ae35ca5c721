"""expr's dates and durations."""

from __future__ import annotations

from typing import Final

from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.times import RFC3339, Duration, Time, Zone

_LAYOUTS: Final = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    RFC3339,
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)


def _date(text: str, layout: str = "", zone: str = "") -> Time:
    info = Zone(zone).info
    if layout:
        return Time.parse(layout, text, info)
    for known in _LAYOUTS:
        try:
            return Time.parse(known, text, info)
        except Invalid:
            continue
    raise Invalid(f"invalid date {text[:80]}")


FUNCTIONS: Final[Functions] = {
    "date(string, string?, string?)": _date,
    "duration(string)": Duration.parse,
    "now(run)": lambda run: Time.at(run.clock()),
    "timezone(string)": Zone,
}
