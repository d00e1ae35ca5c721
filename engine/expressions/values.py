"""The values of expressions and Go's rules for them: types, equality, order, numbers.

Values are None, bool, int (64 bits, wrapping), float, str, list and dict, and the `Time`, `Duration` and `Zone` of
times.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from engine.expressions.budget import spend, visit
from engine.expressions.errors import Invalid
from engine.expressions.times import Duration, Time, Zone

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT: Final = re.compile(r"[+-]?(([0-9]++\.?[0-9]*+|\.[0-9]++)(e[+-]?[0-9]++)?|inf(inity)?|nan)", re.IGNORECASE)


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


def equal(left: object, right: object) -> bool:
    """Equality of any two values: numbers by value, the rest by type and content, recursively."""
    if is_number(left) and is_number(right):
        return left == right
    if type(left) is not type(right):
        return False
    if isinstance(left, str) and isinstance(right, str):
        spend(len(left) >> 3 if len(left) == len(right) else 0)
    if isinstance(left, list) and isinstance(right, list):
        visit(left)
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        visit(left)
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return left == right


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
