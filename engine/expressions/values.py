"""The values of expressions and Go's rules for them: types, equality, order, numbers.

Values are None, bool, int (64 bits, wrapping), float, str, list and dict, and the `Time`, `Duration` and `Zone` of
times.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import repeat
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.times import Duration, Time, Zone

MAX_SIZE: Final = 1_000_000
"""Elements in a list or characters in a string that one operation may make (expr's own memory budget)."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT: Final = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf(inity)?|nan)", re.IGNORECASE)


def type_name(value: object) -> str:
    """The name of a value's type, as expr's `type()` gives it."""
    match value:
        case None:
            return "nil"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case list():
            return "array"
        case Mapping():
            return "map"
        case Time():
            return "time.Time"
        case Duration():
            return "time.Duration"
        case Zone():
            return "time.Location"
        case _:
            return "func"


def is_number(value: object) -> bool:
    """Whether a value is an int or a float; a bool is neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def bounded(size: int) -> None:
    """Raises `Invalid` where a result of so many elements or characters is too large to be made."""
    if size > MAX_SIZE:
        raise Invalid("memory budget exceeded")


def int64(value: int) -> int:
    """Wraps around as Go's 64-bit integers do, which also keeps arithmetic from growing numbers without end."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def parse_int(text: str) -> int:
    """Go's strconv.Atoi; raises `Invalid`."""
    if not _INTEGER.fullmatch(text) or int64(int(text)) != int(text):
        raise Invalid(f"invalid operation: int({text[:80]})")
    return int(text)


def parse_float(text: str) -> float:
    """Go's strconv.ParseFloat; raises `Invalid`."""
    if not _FLOAT.fullmatch(text):
        raise Invalid(f"invalid operation: float({text[:80]})")
    return float(text)


def truncate(value: float) -> int:
    """A float as an integer, towards zero; raises `Invalid` for what no integer can be."""
    if not math.isfinite(value):
        raise Invalid(f"{value} is no integer")
    return int64(int(value))


class Visits:
    """Counts the elements that a walk through nested values sees. `[x, x]`, nested 60 times, has 2^60 of them."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_SIZE

    def count(self) -> None:
        """Counts one; raises `Invalid` where the walk takes too long."""
        self.left -= 1
        if self.left < 0:
            raise Invalid("memory budget exceeded")


def equal(left: object, right: object, visits: Visits | None = None) -> bool:
    """Equality of any two values: numbers by value, the rest by type and content, recursively."""
    if is_number(left) and is_number(right):
        return left == right
    if type(left) is not type(right) or not isinstance(left, list | dict):
        return type(left) is type(right) and left == right
    visits = visits or Visits()
    visits.count()
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right, repeat(visits)))
    assert isinstance(left, dict)
    assert isinstance(right, dict)
    return left.keys() == right.keys() and all(equal(left[key], right[key], visits) for key in left)


def compare(operator: str, left: Any, right: Any) -> bool:
    """`<`, `<=`, `>`, `>=` of two numbers, strings, times or durations; raises `Invalid` for any other pair."""
    ordered = type(left) is type(right) and isinstance(left, str | Time | Duration)
    if not ordered and not (is_number(left) and is_number(right)):
        raise Invalid(f"invalid operation: {type_name(left)} {operator} {type_name(right)}")
    match operator:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)


def sort_key(value: Any) -> Any:
    """The value itself where it can be sorted; raises `Invalid` where it cannot."""
    if is_number(value) or isinstance(value, str | Time | Duration):
        return value
    raise Invalid(f"cannot sort {type_name(value)}")
