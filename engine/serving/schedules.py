"""Cron schedules as Argo reads them (robfig/cron's ParseStandard): five fields, or what begins with ``@``.

They mean what they mean there where the clocks change, too: a time that is left out that day does not come, and one
that comes twice counts twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from rpc.durations import parse_nanoseconds

_SECOND: Final = 10**9

_PREDEFINED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_NO_NAMES: Final[Mapping[str, int]] = {}
_MONTHS: Final = {
    each: number for number, each in enumerate(re.findall("...", "janfebmaraprmayjunjulaugsepoctnovdec"), 1)
}
_DAYS: Final = {each: number for number, each in enumerate(re.findall("...", "sunmontuewedthufrisat"))}
_FIELDS: Final = ((0, 59, _NO_NAMES), (0, 23, _NO_NAMES), (1, 31, _NO_NAMES), (1, 12, _MONTHS), (0, 6, _DAYS))
"""The bounds of minute, hour, day of the month, month and day of the week, and the names of their values."""


class InvalidSchedule(ValueError):
    """A schedule that robfig/cron refuses, in its words."""


class Schedule(NamedTuple):
    """When something is due: by ``fields``, in cronsim's notation, on the clocks of ``zone``; or ``every`` so many
    seconds."""

    fields: str
    zone: tzinfo
    every: int = 0

    def after(self, moment: float) -> float | None:
        """The first time after `moment`, both in seconds since the epoch; None where there is none for decades."""
        if self.every:
            return moment // 1 + self.every
        return self._next_to(moment)

    def before(self, moment: float, since: float) -> float | None:
        """The last time before `moment` and after `since`, which is one of them if it goes by seconds."""
        if self.every:
            first = since // 1
            found: float | None = first + (-(-(moment - first) // self.every) - 1) * self.every
        else:
            found = self._next_to(moment, reverse=True)
        return found if found is not None and found > since else None

    def _next_to(self, moment: float, *, reverse: bool = False) -> float | None:
        try:
            return next(CronSim(self.fields, datetime.fromtimestamp(moment, self.zone), reverse)).timestamp()
        except (CronSimError, StopIteration):  # such as the 30th of February
            return None


def parse_schedule(text: str) -> Schedule:
    """A schedule, which may begin with ``CRON_TZ=ZONE`` or ``TZ=ZONE``; else the machine's time zone counts.

    Raises `InvalidSchedule`.
    """
    zone, rest = _local_zone(), text.strip()
    if not rest:
        raise InvalidSchedule("empty spec string")
    if rest.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, rest = rest.partition(" ")
        zone, rest = _zone(prefix.partition("=")[2]), rest.strip()
    if rest.startswith("@every "):
        try:
            nanoseconds = parse_nanoseconds(rest.removeprefix("@every "))
        except ValueError as error:
            raise InvalidSchedule(f"failed to parse duration {rest}: {error}") from None
        return Schedule("", zone, max(1, nanoseconds // _SECOND))
    if rest.startswith("@"):
        if rest not in _PREDEFINED:
            raise InvalidSchedule(f"unrecognized descriptor: {rest}")
        rest = _PREDEFINED[rest]
    fields = rest.split()
    if len(fields) != len(_FIELDS):
        raise InvalidSchedule(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    read = [_field(each, *bounds) for each, bounds in zip(fields, _FIELDS, strict=True)]
    return Schedule(" ".join(["0", *read]), zone)  # with seconds: without, cronsim has clocks change as Debian does


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name in ("", "UTC") else _local_zone() if name == "Local" else ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise InvalidSchedule(f"provided bad location {name}: unknown time zone {name}") from None


@cache
def _local_zone() -> tzinfo:
    """The machine's, by name or by its file: of its offset alone it could not be told when clocks change."""
    try:
        if name := os.environ.get("TZ"):
            return ZoneInfo(name)
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, LookupError):
        return UTC


def _field(text: str, low: int, high: int, names: Mapping[str, int]) -> str:
    """The values of a field, each by its number, or ``*``: then it says nothing of the day, and the other one does."""
    found, free = set[int](), False
    for part in filter(None, text.split(",")):
        span, *steps = part.split("/")
        first, *last = span.split("-")
        if len(last) > 1:
            raise InvalidSchedule(f"too many hyphens: {part}")
        if len(steps) > 1:
            raise InvalidSchedule(f"too many slashes: {part}")
        step = _number(steps[0], _NO_NAMES) if steps else 1
        if first in ("*", "?"):
            start, end = low, high
            free |= step == 1
        else:
            start = _number(first, names)
            end = _number(last[0], names) if last else high if steps else start
        if start < low:
            raise InvalidSchedule(f"beginning of range ({start}) below minimum ({low}): {part}")
        if end > high:
            raise InvalidSchedule(f"end of range ({end}) above maximum ({high}): {part}")
        if start > end:
            raise InvalidSchedule(f"beginning of range ({start}) beyond end of range ({end}): {part}")
        if step == 0:
            raise InvalidSchedule(f"step of range should be a positive number: {part}")
        found.update(range(start, end + 1, step))
    if not found:
        raise InvalidSchedule(f"failed to parse int from {text}: expected a number")
    return "*" if free else ",".join(map(str, sorted(found)))


def _number(text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidSchedule(f"failed to parse int from {text}: expected a number")
    return int(text)
