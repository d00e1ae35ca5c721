"""Durations as Go writes them, since plugins and configs do: ``2m``, ``1h30m``, ``500ms``, ``1.5s``."""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE: Final = re.compile(rf"\+?(?:{_PART.pattern})+")
# Go keeps nanoseconds in an int64 and refuses what does not fit.
_MAX: Final = 2**63 / 1e9
_SHOWN: Final = 64
"""Characters of a text that is no duration which its error shows."""


def parse_duration(text: str) -> float:
    """Seconds of a duration in the grammar of Go's ``time.ParseDuration``; a negative one is refused.

    Raises `ValueError`, whose message says what was expected.
    """
    if text == "0":
        return 0.0
    shown = repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{shown} is not a duration such as 500ms, 2m or 1h30m")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds >= _MAX:
        raise ValueError(f"{shown} is longer than 292 years")
    return seconds
