"""Durations as Go writes them, since plugins and configs do: ``2m``, ``1h30m``, ``500ms``, ``1.5s``."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

_NANOSECONDS: Final = {
    "ns": 1,
    **dict.fromkeys(("us", "µs", "μs"), 10**3),
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
# Possessive, so that a number is read once, however many digits it has.
_PART: Final = re.compile(r"(?=\.?[0-9])0*+([0-9]*+)(\.[0-9]*+)?+(ns|us|µs|μs|ms|s|m|h)")
# Go keeps nanoseconds in an int64 and refuses what does not fit.
_MAX: Final = 1 << 63
_PARTS: Final = 100
"""Numbers with their units in one duration: Go would read more of them, and nobody writes them."""
_SHOWN: Final = 64
"""Characters of a text that is no duration which its error shows."""

Duration = Annotated[
    str,
    msgspec.Meta(
        description="As Go writes durations: 500ms, 2m, 1h30m.",
        max_length=64,
        # Not msgspec's own: `parse_duration` says better what is wrong.
        extra_json_schema={"pattern": r"^(0|\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"},
    ),
]
"""A duration in a reply, which `parse_duration` reads."""


def parse_nanoseconds(text: str) -> int:
    """Nanoseconds of a duration in the grammar of Go's ``time.ParseDuration``, signed, less than 2^63 of them.

    Raises `ValueError`, whose message says what was expected.
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    total = position = parts = 0
    while parts < _PARTS and (part := _PART.match(unsigned, position)):
        whole, fraction, unit = part[1], part[2] or ".0", _NANOSECONDS[part[3]]
        total += int(whole[:20] or "0") * unit + round(float(f"0{fraction}") * unit)
        position, parts = part.end(), parts + 1
    if not unsigned or position < len(unsigned):
        raise ValueError(f"{_shown(text)} is not a duration such as 500ms, 2m or 1h30m")
    if total >= _MAX:
        raise ValueError(f"{_shown(text)} is longer than 292 years")
    return -total if text[0] == "-" else total


def parse_duration(text: str) -> float:
    """Seconds of a duration as `parse_nanoseconds` reads it; a negative one is refused, too."""
    if text[:1] == "-":
        raise ValueError(f"{_shown(text)} is not a duration such as 500ms, 2m or 1h30m")
    return parse_nanoseconds(text) / 1e9


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
