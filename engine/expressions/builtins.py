"""expr's own functions but for those that take a predicate: strings, numbers, lists, maps, conversions and dates."""

from __future__ import annotations

import base64
import binascii
import math
import operator
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.functions import Function, namespace
from engine.expressions.gotime import RFC3339, Duration, Time, Zone, parse_time
from engine.expressions.predicates import sort_by
from engine.expressions.values import (
    MAX_SIZE,
    fetch,
    from_json,
    go_json,
    go_string,
    int64,
    is_number,
    parse_float,
    parse_int,
    sort_key,
    truncate,
    type_name,
)

SPACE: Final = "\t\n\v\f\r \x85\xa0"
"""What Go's strings.TrimSpace takes off, within Latin-1."""

DATE_LAYOUTS: Final = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    RFC3339,
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)


def integer(value: Any) -> int:
    """expr's `int` and Argo's `asInt`: of a number, or of a string of digits."""
    if isinstance(value, str):
        return parse_int(value)
    if not is_number(value):
        raise Invalid(f"invalid operation: int({type_name(value)})")
    return truncate(value) if isinstance(value, float) else value


def floating(value: Any) -> float:
    """expr's `float` and Argo's `asFloat`: of a number, or of a string that spells one."""
    if isinstance(value, str):
        return parse_float(value)
    if not is_number(value):
        raise Invalid(f"invalid operation: float({type_name(value)})")
    return float(value)


def length(value: Any) -> int:
    """How many characters, elements or keys."""
    if not isinstance(value, str | list | Mapping):
        raise Invalid(f"invalid argument for len (type {type_name(value)})")
    return len(value)


def repeated(text: str, count: int) -> str:
    """The text `count` times over."""
    if count < 0:
        raise Invalid("negative repeat count")
    if len(text) * count > MAX_SIZE:
        raise Invalid("memory budget exceeded")
    return text * count


def split(text: str, separator: str, limit: int = -1) -> list[Any]:
    """Go's strings.SplitN: an empty separator splits into characters, `limit` bounds the number of parts."""
    if limit == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
    return list(text.split(separator, limit - 1 if limit > 0 else -1))


def _split_after(text: str, separator: str, limit: int = -1) -> list[Any]:
    parts = split(text, separator, limit)
    return [part + separator for part in parts[:-1]] + parts[-1:]


def join(parts: list[Any], separator: str = "") -> str:
    """The strings of a list with a separator between them."""
    for part in parts:
        if not isinstance(part, str):
            raise Invalid(f"cannot join {type_name(part)}")
    bounded(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def replace(text: str, old: str, new: str) -> str:
    """Replaces every occurrence; an empty `old` matches around each character."""
    bounded(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return text.replace(old, new)


def bounded(size: int) -> None:
    """Raises `Invalid` where a result of so many elements or characters is too large to be made."""
    if size > MAX_SIZE:
        raise Invalid("memory budget exceeded")


def _trim(text: str, characters: str = SPACE) -> str:
    return text.strip(characters)


def _absolute(value: Any) -> object:
    if not is_number(value):
        raise Invalid(f"invalid argument for abs (type {type_name(value)})")
    return int64(abs(value)) if isinstance(value, int) else abs(value)


def _rounded(name: str, rounding: Callable[[float], float]) -> Callable[[Any], object]:
    def function(value: Any) -> object:
        if not is_number(value):
            raise Invalid(f"invalid argument for {name} (type {type_name(value)})")
        return float(rounding(value)) if math.isfinite(value) else value

    return function


def half_away(value: float) -> float:
    """Go's math.Round: halves go away from zero."""
    return math.copysign(math.floor(abs(value) + 0.5), value) if abs(value) < 2**52 else value


def _numbers(name: str, values: tuple[Any, ...]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _numbers(name, tuple(value))
        elif is_number(value):
            yield value
        else:
            raise Invalid(f"invalid argument for {name} (type {type_name(value)})")


def _extreme(name: str, choose: Callable[[Any], Any]) -> Callable[..., object]:
    def function(*values: Any) -> object:
        numbers = list(_numbers(name, values))
        return choose(numbers) if numbers else None

    return function


def _mean(*values: Any) -> object:
    numbers = [float(number) for number in _numbers("mean", values)]
    return math.fsum(numbers) / len(numbers) if numbers else 0


def _median(*values: Any) -> object:
    numbers = [float(number) for number in _numbers("median", values)]
    return statistics.median(numbers) if numbers else 0


def _get(container: Any, key: Any) -> object:
    try:
        return fetch(container, key)
    except Invalid:
        return None


def _take(array: list[Any], count: int) -> list[Any]:
    if count < 0:
        raise Invalid("cannot take a negative number of elements")
    return array[:count]


def _sort(array: list[Any], order: str = "asc") -> list[Any]:
    return sort_by(array, [sort_key(element) for element in array], order)


def unique(array: list[Any]) -> list[Any]:
    """The first of each group of equal elements."""
    seen: set[object] = set()
    result: list[Any] = []
    for element in array:
        key = (
            go_json(element)
            if isinstance(element, list | dict)
            else (is_number(element), type(element) is bool, element)
        )
        if key not in seen:
            seen.add(key)
            result.append(element)
    return result


def _flatten(array: list[Any]) -> list[Any]:
    result: list[Any] = []
    for element in array:
        result.extend(_flatten(element)) if isinstance(element, list) else result.append(element)
        bounded(len(result))
    return result


def _concat(*arrays: list[Any]) -> list[Any]:
    bounded(sum(map(len, arrays)))
    return [element for array in arrays for element in array]


def _from_pairs(pairs: list[Any]) -> dict[str, Any]:
    result = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise Invalid("fromPairs expects a list of [string, value] pairs")
        result[pair[0]] = pair[1]
    return result


def encode64(text: str) -> str:
    """Base64 of the text's UTF-8."""
    return base64.b64encode(text.encode(errors="surrogatepass")).decode()


def decode64(text: str) -> str:
    """The text that a base64 text holds; raises `Invalid` where it is none."""
    try:
        # Go's decoder skips line ends, and nothing else.
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"illegal base64 data: {error}") from error


def _date(text: str, layout: str = "", zone: str = "") -> Time:
    info = Zone(zone).info
    if layout:
        return parse_time(layout, text, info)
    for known in DATE_LAYOUTS:
        try:
            return parse_time(known, text, info)
        except Invalid:
            continue
    raise Invalid(f"invalid date {text}")


def _now(run: Run) -> Time:
    return Time.at(run.clock())


def _bits(operation: Callable[[int, int], int]) -> Callable[[int, int], object]:
    def function(left: int, right: int) -> object:
        return int64(operation(left, right))

    return function


def _shift(value: int, by: int) -> int:
    if by < 0:
        raise Invalid("negative shift count")
    return value << by if by < 64 else 0


def _shift_right(value: int, by: int) -> int:
    if by < 0:
        raise Invalid("negative shift count")
    return value >> min(by, 64)


def _upper(text: str) -> str:
    return text.upper()


def _lower(text: str) -> str:
    return text.lower()


def _trim_prefix(text: str, prefix: str) -> str:
    return text.removeprefix(prefix)


def _trim_suffix(text: str, suffix: str) -> str:
    return text.removesuffix(suffix)


def _has_prefix(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def _has_suffix(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


def _index_of(text: str, part: str) -> int:
    return text.find(part)


def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


def _keys(mapping: Mapping[Any, Any]) -> list[Any]:
    return list(mapping)


def _values(mapping: Mapping[Any, Any]) -> list[Any]:
    return list(mapping.values())


def _to_pairs(mapping: Mapping[Any, Any]) -> list[Any]:
    return [[key, value] for key, value in mapping.items()]


def _reverse(array: list[Any]) -> list[Any]:
    return array[::-1]


def _to_json(value: Any) -> str:
    return go_json(value, indent=True)


def _from_json(text: str) -> object:
    return from_json(text)


def _duration(text: str) -> Duration:
    return Duration.parse(text)


def _timezone(name: str) -> Zone:
    return Zone(name)


def _bit_not(value: int) -> int:
    return ~value


BUILTINS: Final[Mapping[str, Function]] = namespace(
    {
        "len": length,
        "type": lambda value: type_name(value),
        "int": integer,
        "float": floating,
        "string": lambda value: go_string(value),
        "toJSON": _to_json,
        "fromJSON": _from_json,
        "toBase64": encode64,
        "fromBase64": decode64,
        "toPairs": _to_pairs,
        "fromPairs": _from_pairs,
        "abs": _absolute,
        "ceil": _rounded("ceil", math.ceil),
        "floor": _rounded("floor", math.floor),
        "round": _rounded("round", half_away),
        "max": _extreme("max", max),
        "min": _extreme("min", min),
        "mean": _mean,
        "median": _median,
        "trim": _trim,
        "trimPrefix": _trim_prefix,
        "trimSuffix": _trim_suffix,
        "upper": _upper,
        "lower": _lower,
        "split": split,
        "splitAfter": _split_after,
        "replace": replace,
        "repeat": repeated,
        "join": join,
        "indexOf": _index_of,
        "lastIndexOf": _last_index_of,
        "hasPrefix": _has_prefix,
        "hasSuffix": _has_suffix,
        "first": lambda array: _get(array, 0),
        "last": lambda array: _get(array, -1),
        "get": _get,
        "take": _take,
        "keys": _keys,
        "values": _values,
        "reverse": _reverse,
        "uniq": unique,
        "concat": _concat,
        "flatten": _flatten,
        "sort": _sort,
        "bitand": _bits(operator.and_),
        "bitor": _bits(operator.or_),
        "bitxor": _bits(operator.xor),
        "bitnand": _bits(lambda left, right: left & ~right),
        "bitnot": _bit_not,
        "bitshl": _bits(_shift),
        "bitshr": _bits(_shift_right),
        "bitushr": _bits(lambda value, by: _shift_right(value & (1 << 64) - 1, by)),
        "now": _now,
        "date": _date,
        "duration": _duration,
        "timezone": _timezone,
    }
)
