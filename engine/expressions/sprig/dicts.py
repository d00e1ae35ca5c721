"""sprig's functions on maps, defaults and types. None of them changes the map it is given."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from engine.expressions.budget import visit
from engine.expressions.errors import Invalid
from engine.expressions.functions import NIL_MAP, Functions
from engine.expressions.gotext import go_string
from engine.expressions.times import Duration, Time
from engine.expressions.values import equal, type_name

_GO_TYPES: Final = {
    "nil": ("<nil>", "invalid"),
    "bool": ("bool", "bool"),
    "int": ("int", "int"),
    "float": ("float64", "float64"),
    "string": ("string", "string"),
    "array": ("[]interface {}", "slice"),
    "map": ("map[string]interface {}", "map"),
    "func": ("func", "func"),
    "time.Time": ("time.Time", "struct"),
    "time.Duration": ("time.Duration", "int64"),
    "time.Location": ("*time.Location", "ptr"),
}


def empty(value: object) -> bool:
    """Whether a value is the zero value of its type."""
    return not isinstance(value, Time | Duration) and not value


def _dict(*pairs: Any) -> dict[str, Any]:
    padded = [*pairs, ""] if len(pairs) % 2 else list(pairs)
    return {go_string(key): value for key, value in zip(padded[::2], padded[1::2], strict=True)}


def _set(mapping: Mapping[Any, Any], key: str, value: Any) -> dict[str, Any]:
    if mapping is NIL_MAP:
        raise Invalid("assignment to entry in nil map")
    return {**mapping, key: value}


def _omit(mapping: Mapping[Any, Any], *keys: str) -> dict[str, Any]:
    omitted = frozenset(keys)
    return {key: value for key, value in mapping.items() if key not in omitted}


def _merge(target: Mapping[Any, Any], *sources: Mapping[Any, Any], overwrite: bool = False) -> dict[str, Any]:
    visit(target)
    result = dict(target)
    for source in sources:
        visit(source)
        for key, value in source.items():
            if isinstance(result.get(key), Mapping) and isinstance(value, Mapping):
                result[key] = _merge(result[key], value, overwrite=overwrite)
            elif not empty(value) if overwrite else empty(result.get(key)):
                result[key] = value
    return result


def _dig(*path: Any) -> object:
    if len(path) < 3:
        raise Invalid("dig needs at least three arguments")
    *keys, fallback, here = path
    for key in keys:
        if not isinstance(here, Mapping) or not isinstance(key, str):
            raise Invalid(f"dig: cannot fetch {type_name(key)} from {type_name(here)}")
        if key not in here:
            return fallback
        here = here[key]
    return here


def _type_of(value: Any) -> str:
    return _GO_TYPES[type_name(value)][0]


def _kind_of(value: Any) -> str:
    return _GO_TYPES[type_name(value)][1]


FUNCTIONS: Final[Functions] = {
    "all(any...)": lambda *values: not any(map(empty, values)),
    "any(any...)": lambda *values: not all(map(empty, values)),
    "coalesce(any...)": lambda *values: next((value for value in values if not empty(value)), None),
    "deepCopy|mustDeepCopy(any)": lambda value: value,
    "deepEqual(any, any)": equal,
    "default(any, any...)": lambda fallback, *given: given[0] if given and not empty(given[0]) else fallback,
    "dict(any...)": _dict,
    "dig(any...)": _dig,
    "empty(any)": empty,
    "get(map, string)": lambda mapping, key: mapping.get(key, ""),
    "hasKey(map, string)": lambda mapping, key: key in mapping,
    "keys(map...)": lambda *mappings: [key for mapping in mappings for key in mapping],
    "kindIs(string, any)": lambda name, value: _kind_of(value) == name,
    "kindOf(any)": _kind_of,
    "merge|mustMerge(map, map...)": _merge,
    "mergeOverwrite|mustMergeOverwrite(map, map...)": partial(_merge, overwrite=True),
    "omit(map, string...)": _omit,
    "pick(map, string...)": lambda mapping, *keys: {key: mapping[key] for key in keys if key in mapping},
    "pluck(string, map...)": lambda key, *mappings: [mapping[key] for mapping in mappings if key in mapping],
    "set(map, string, any)": _set,
    "ternary(any, any, bool)": lambda then, otherwise, condition: then if condition else otherwise,
    "typeIs|typeIsLike(string, any)": lambda name, value: _type_of(value) == name,
    "typeOf(any)": _type_of,
    "unset(map, string)": _omit,
    "values(map)": lambda mapping: list(mapping.values()),
}
