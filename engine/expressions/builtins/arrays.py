"""expr's functions on lists and maps. None of them changes what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.expressions.budget import bounded, spend, visit
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.gotext import go_json, go_string
from engine.expressions.members import fetch
from engine.expressions.values import is_number, sort_key, type_name


def _length(value: Any) -> int:
    if not isinstance(value, str | list | Mapping):
        raise Invalid(f"invalid argument for len (type {type_name(value)})")
    return len(value)


def _get(container: Any, key: Any) -> object:
    try:
        return fetch(container, key)
    except Invalid:
        return None


def _take(array: list[Any], count: int) -> list[Any]:
    if count < 0:
        raise Invalid("cannot take a negative number of elements")
    return array[:count]


def sort_by(array: list[Any], keys: list[Any], order: object) -> list[Any]:
    """The elements in the order of their keys; `order` is asc or desc, equal keys stay in place."""
    if order not in ("asc", "desc"):
        raise Invalid(f"invalid order {go_string(order)[:80]}, expected asc or desc")
    try:
        spend(sum(len(key) >> 3 for key in keys if isinstance(key, str)))
        indices = sorted(range(len(array)), key=keys.__getitem__, reverse=order == "desc")
    except TypeError as error:
        raise Invalid("cannot sort values of different types") from error
    return [array[index] for index in indices]


def _sort(array: list[Any], order: str = "asc") -> list[Any]:
    return sort_by(array, [sort_key(element) for element in array], order)


def unique(array: list[Any]) -> list[Any]:
    """The first of each group of equal elements."""
    first: dict[object, Any] = {}
    for element in array:
        if isinstance(element, list | Mapping):
            first.setdefault(("nested", go_json(element)), element)
        else:
            first.setdefault((is_number(element), type(element) is bool, element), element)
    return list(first.values())


def _flatten(array: list[Any]) -> list[Any]:
    result: list[Any] = []
    pending = list(reversed(array))
    while pending:
        element = pending.pop()
        if isinstance(element, list):
            visit(element)
            pending.extend(reversed(element))
        else:
            result.append(element)
        bounded(len(result) + len(pending))
    return result


def concatenate(*arrays: list[Any]) -> list[Any]:
    """One list after the other."""
    bounded(sum(map(len, arrays)))
    return [element for array in arrays for element in array]


def _from_pairs(pairs: list[Any]) -> dict[str, Any]:
    result = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise Invalid("fromPairs expects a list of [string, value] pairs")
        result[pair[0]] = pair[1]
    return result


FUNCTIONS: Final[Functions] = {
    "concat(array...)": concatenate,
    "first(any)": lambda array: _get(array, 0),
    "flatten(array)": _flatten,
    "fromPairs(array)": _from_pairs,
    "get(any, any)": _get,
    "keys(map)": list,
    "last(any)": lambda array: _get(array, -1),
    "len(any)": _length,
    "reverse(array)": lambda array: array[::-1],
    "sort(array, string?)": _sort,
    "take(array, int)": _take,
    "toPairs(map)": lambda mapping: [[key, value] for key, value in mapping.items()],
    "uniq(array)": unique,
    "values(map)": lambda mapping: list(mapping.values()),
}
