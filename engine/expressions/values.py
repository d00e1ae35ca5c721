"""The values of expressions, and Go's rules for them: equality, order, arithmetic, `%v` and JSON text.

Values are None, bool, int (64 bits, wrapping), float, str, list, dict, and the `Time` and `Duration` of gotime.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from engine.expressions.errors import Invalid
from engine.expressions.gotime import Duration, Time

MAX_SIZE: Final = 1_000_000
"""Elements in a list or characters in a string that one operation may make (expr's own memory budget)."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT: Final = re.compile(
    r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN])"
)


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
    if len(text) > 20 or not _INTEGER.fullmatch(text) or int64(int(text)) != int(text):
        raise Invalid(f"invalid operation: int({text})")
    return int(text)


def parse_float(text: str) -> float:
    """Go's strconv.ParseFloat; raises `Invalid`."""
    if not _FLOAT.fullmatch(text):
        raise Invalid(f"invalid operation: float({text})")
    return float(text)


def truncate(value: float) -> int:
    """A float as an integer, towards zero; raises `Invalid` for what no integer can hold."""
    if not math.isfinite(value):
        raise Invalid(f"{go_string(value)} is no integer")
    return int64(int(value))


def equal(left: object, right: object) -> bool:
    """Equality of any two values: numbers by value, the rest by type and content, recursively."""
    if is_number(left) and is_number(right):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


def compare(operator: str, left: Any, right: Any) -> bool:
    """`<`, `<=`, `>`, `>=` of two numbers, strings, times or durations; raises `Invalid` for any other pair."""
    if not (is_number(left) and is_number(right)) and not (
        type(left) is type(right) and isinstance(left, str | Time | Duration)
    ):
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


def go_float(value: float) -> str:
    """The shortest text that gives the float back, with an exponent below 1e-4 and from 1e21 on: Go's `%v`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    number = Decimal(repr(value)).normalize()
    if -4 <= number.adjusted() < 21:
        return f"{number:f}"
    mantissa, _, exponent = f"{number:e}".partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:]:0>2}"


def go_string(value: object) -> str:
    """Go's `%v`: what `string()` gives and what `+` of sprig's string functions join."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return go_float(value)
        case str():
            return value
        case list():
            return f"[{' '.join(map(go_string, value))}]"
        case Mapping():
            return f"map[{' '.join(f'{key}:{go_string(value[key])}' for key in sorted(value, key=str))}]"
        case _:
            return str(value)


def plain(value: object) -> object:
    """A copy of a value that orjson writes as Go would: whole floats as integers, times as text."""
    match value:
        case float():
            if not math.isfinite(value):
                raise Invalid(f"json: unsupported value: {go_string(value)}")
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        case list():
            return [plain(element) for element in value]
        case Mapping():
            return {str(key): plain(element) for key, element in value.items()}
        case None | bool() | int() | str():
            return value
        case Time():
            return value.rfc3339()
        case Duration():
            return value.nanoseconds
        case _:
            raise Invalid(f"json: unsupported type: {type_name(value)}")


_HTML: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def go_json(value: object, *, indent: bool = False, html: bool = True) -> str:
    """The JSON text that Go's json.Marshal writes: sorted keys, `<`, `>` and `&` escaped unless `html` is False."""
    option = orjson.OPT_SORT_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        text = orjson.dumps(plain(value), option=option).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise Invalid(f"json: {error}") from error
    if html:
        for character, escape in _HTML.items():
            if character in text:
                text = text.replace(character, escape)
    return text


def from_json(text: str) -> object:
    """A JSON text as a value. Its numbers are floats, as they are where Go decodes into `any`."""
    try:
        return _floats(orjson.loads(text))
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise Invalid(f"json: {error}") from error


def _floats(value: Any) -> Any:
    match value:
        case bool() | None | str() | float():
            return value
        case int():
            return float(value)
        case list():
            return [_floats(element) for element in value]
        case _:
            return {key: _floats(element) for key, element in value.items()}


def sort_key(value: Any) -> Any:
    """The value itself where it can be sorted; raises `Invalid` where it cannot."""
    if is_number(value) or isinstance(value, str | Time | Duration):
        return value
    raise Invalid(f"cannot sort {type_name(value)}")


def fetch(container: Any, key: Any) -> object:
    """`container[key]` and `container.key`: nil for a missing key of a map; raises `Invalid` as expr does."""
    match container:
        case Mapping():
            if isinstance(key, str | int | float | bool):
                return container.get(key)
            raise Invalid(f"cannot use {type_name(key)} as a key of a map")
        case list():
            if not is_number(key):
                raise Invalid(f"cannot fetch {go_string(key)} from array")
            index = truncate(float(key))
            if not -len(container) <= index < len(container):
                raise Invalid(f"index out of range: {index} (array length is {len(container)})")
            return container[index]
        case Time() | Duration() if isinstance(key, str) and key in container.METHODS:
            return BoundMethod(container.METHODS[key], container)
        case _:
            name = "<nil>" if container is None else type_name(container)
            raise Invalid(f"cannot fetch {go_string(key)} from {name}")


class BoundMethod:
    """A method of a time or a duration, such as `now().Year`."""

    def __init__(self, method: Callable[..., object], owner: object) -> None:
        self.method = method
        self.owner = owner

    def __call__(self, *arguments: object) -> object:
        try:
            return self.method(self.owner, *arguments)
        except TypeError as error:
            raise Invalid(str(error)) from error
