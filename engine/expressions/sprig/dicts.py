"""sprig's functions on maps, defaults and types. None of them changes the map it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.expressions.budget import visit
from engine.expressions.errors import Invalid
from engine.expressions.functions import NIL_MAP
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


def _default(fallback: Any, *given: Any) -> object:
    return given[0] if given and not empty(given[0]) else fallback


def _coalesce(*values: Any) -> object:
    return next((value for value in values if not empty(value)), None)


def _all(*values: Any) -> bool:
    return not any(map(empty, values))


def _any(*values: Any) -> bool:
    return not all(map(empty, values))


def _ternary(then: Any, otherwise: Any, condition: bool) -> object:
    return then if condition else otherwise


def _dict(*pairs: Any) -> dict[str, Any]:
    padded = [*pairs, ""] if len(pairs) % 2 else list(pairs)
    return {go_string(key): value for key, value in zip(padded[::2], padded[1::2], strict=True)}


def _get(mapping: Mapping[Any, Any], key: str) -> object:
    return mapping.get(key, "")


def _set(mapping: Mapping[Any, Any], key: str, value: Any) -> dict[str, Any]:
    if mapping is NIL_MAP:
        raise Invalid("assignment to entry in nil map")
    return {**mapping, key: value}


def _unset(mapping: Mapping[Any, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _has_key(mapping: Mapping[Any, Any], key: str) -> bool:
    return key in mapping


def _pluck(key: str, *mappings: Mapping[Any, Any]) -> list[Any]:
    return [mapping[key] for mapping in mappings if key in mapping]


def _keys(*mappings: Mapping[Any, Any]) -> list[Any]:
    return [key for mapping in mappings for key in mapping]


def _values(mapping: Mapping[Any, Any]) -> list[Any]:
    return list(mapping.values())


def _pick(mapping: Mapping[Any, Any], *keys: str) -> dict[str, Any]:
    return {key: mapping[key] for key in keys if key in mapping}


def _omit(mapping: Mapping[Any, Any], *keys: str) -> dict[str, Any]:
    omitted = frozenset(keys)
    return {key: value for key, value in mapping.items() if key not in omitted}


def _merge(target: Mapping[Any, Any], *sources: Mapping[Any, Any]) -> dict[str, Any]:
    visit(target)
    result = dict(target)
    for source in sources:
        visit(source)
        for key, value in source.items():
            if isinstance(result.get(key), Mapping) and isinstance(value, Mapping):
                result[key] = _merge(result[key], value)
            elif empty(result.get(key)):
                result[key] = value
    return result


def _merge_overwrite(target: Mapping[Any, Any], *sources: Mapping[Any, Any]) -> dict[str, Any]:
    visit(target)
    result = dict(target)
    for source in sources:
        visit(source)
        for key, value in source.items():
            if isinstance(result.get(key), Mapping) and isinstance(value, Mapping):
                result[key] = _merge_overwrite(result[key], value)
            elif not empty(value):
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


def _type_is(name: str, value: Any) -> bool:
    return _type_of(value) == name


def _kind_is(name: str, value: Any) -> bool:
    return _kind_of(value) == name


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "all": _all,
    "any": _any,
    "coalesce": _coalesce,
    "deepCopy": lambda value: value,
    "deepEqual": lambda left, right: equal(left, right),
    "default": _default,
    "dict": _dict,
    "dig": _dig,
    "empty": lambda value: empty(value),
    "get": _get,
    "hasKey": _has_key,
    "keys": _keys,
    "kindIs": _kind_is,
    "kindOf": _kind_of,
    "merge": _merge,
    "mergeOverwrite": _merge_overwrite,
    "mustDeepCopy": lambda value: value,
    "mustMerge": _merge,
    "mustMergeOverwrite": _merge_overwrite,
    "omit": _omit,
    "pick": _pick,
    "pluck": _pluck,
    "set": _set,
    "ternary": _ternary,
    "typeIs": _type_is,
    "typeIsLike": _type_is,
    "typeOf": _type_of,
    "unset": _unset,
    "values": _values,
}
