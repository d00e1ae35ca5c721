"""sprig's functions on lists. None of them changes the list it is given."""

from __future__ import annotations

from typing import Any, Final

from engine.expressions.budget import spend
from engine.expressions.builtins.arrays import concatenate, unique
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.sprig.dicts import empty
from engine.expressions.sprig.numbers import to_int
from engine.expressions.values import equal


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


FUNCTIONS: Final[Functions] = {
    "append|push|mustAppend|mustPush(array, any)": lambda array, value: [*array, value],
    "chunk|mustChunk(int, array)": _chunk,
    "compact|mustCompact(array)": lambda array: [element for element in array if not empty(element)],
    "concat(array...)": concatenate,
    "first|mustFirst(array)": lambda array: array[0] if array else None,
    "has|mustHas(any, any)": _has,
    "initial|mustInitial(array)": lambda array: array[:-1],
    "last|mustLast(array)": lambda array: array[-1] if array else None,
    "list|tuple(any...)": lambda *values: list(values),
    "prepend|mustPrepend(array, any)": lambda array, value: [value, *array],
    "rest|mustRest(array)": lambda array: array[1:],
    "reverse|mustReverse(array)": lambda array: array[::-1],
    "slice|mustSlice(any, any...)": _slice,
    "uniq|mustUniq(array)": unique,
    "without|mustWithout(array, any...)": _without,
}
