"""sprig's functions on lists. None of them changes the list it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.expressions.budget import spend
from engine.expressions.builtins.arrays import concatenate, unique
from engine.expressions.errors import Invalid
from engine.expressions.sprig.dicts import empty
from engine.expressions.sprig.numbers import to_int
from engine.expressions.values import equal


def _list(*values: Any) -> list[Any]:
    return list(values)


def _append(array: list[Any], value: Any) -> list[Any]:
    return [*array, value]


def _prepend(array: list[Any], value: Any) -> list[Any]:
    return [value, *array]


def _first(array: list[Any]) -> object:
    return array[0] if array else None


def _last(array: list[Any]) -> object:
    return array[-1] if array else None


def _rest(array: list[Any]) -> list[Any]:
    return array[1:]


def _initial(array: list[Any]) -> list[Any]:
    return array[:-1]


def _reverse(array: list[Any]) -> list[Any]:
    return array[::-1]


def _compact(array: list[Any]) -> list[Any]:
    return [element for element in array if not empty(element)]


def _without(array: list[Any], *omitted: Any) -> list[Any]:
    spend(len(array) * len(omitted))
    return [element for element in array if not any(equal(element, each) for each in omitted)]


def _has(needle: Any, haystack: Any) -> bool:
    if haystack is None:
        return False
    if not isinstance(haystack, list):
        raise Invalid("cannot find has on what is no list")
    return any(equal(needle, element) for element in haystack)


def _slice(array: Any, *bounds: Any) -> object:
    if not isinstance(array, list | str):
        raise Invalid("list should be type of string, slice or array")
    start = to_int(bounds[0]) if bounds else 0
    stop = to_int(bounds[1]) if len(bounds) > 1 else len(array)
    if not 0 <= start <= stop <= len(array):
        raise Invalid(f"slice bounds out of range [{start}:{stop}]")
    return array[start:stop] if array else None


def _chunk(size: int, array: list[Any]) -> list[Any]:
    if size < 1:
        raise Invalid("chunk size must be positive")
    return [array[start : start + size] for start in range(0, len(array), size)]


_FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "append": _append,
    "chunk": _chunk,
    "compact": _compact,
    "first": _first,
    "has": _has,
    "initial": _initial,
    "last": _last,
    "prepend": _prepend,
    "push": _append,
    "rest": _rest,
    "reverse": _reverse,
    "slice": _slice,
    "uniq": unique,
    "without": _without,
}

FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    **_FUNCTIONS,
    **{f"must{name[0].upper()}{name[1:]}": function for name, function in _FUNCTIONS.items()},
    "concat": concatenate,
    "list": _list,
    "tuple": _list,
}
