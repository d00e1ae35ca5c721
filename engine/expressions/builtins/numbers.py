"""expr's functions on numbers. `max`, `min`, `mean` and `median` take numbers, lists of them, or both."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from engine.expressions.budget import visit
from engine.expressions.errors import Invalid
from engine.expressions.values import int64, is_number, type_name


def _absolute(value: Any) -> object:
    if not is_number(value):
        raise Invalid(f"invalid argument for abs (type {type_name(value)})")
    return int64(abs(value)) if isinstance(value, int) else abs(value)


def _whole(name: str, rounding: Callable[[float], float]) -> Callable[[Any], object]:
    def function(value: Any) -> object:
        if not is_number(value):
            raise Invalid(f"invalid argument for {name} (type {type_name(value)})")
        return float(rounding(value)) if math.isfinite(value) else value

    return function


def _half_away(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value) if abs(value) < 2**52 else value


def _numbers(name: str, values: tuple[Any, ...]) -> Iterator[Any]:
    pending = list(reversed(values))
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            visit(value)
            pending.extend(reversed(value))
        elif is_number(value):
            yield value
        else:
            raise Invalid(f"invalid argument for {name} (type {type_name(value)})")


def _extreme(name: str, choose: Callable[[Any], Any]) -> Callable[..., object]:
    def function(*values: Any) -> object:
        numbers = list(_numbers(name, values))
        return choose(numbers) if numbers else None

    return function


def _average(name: str, average: Callable[[list[float]], float]) -> Callable[..., object]:
    def function(*values: Any) -> object:
        numbers = [float(number) for number in _numbers(name, values)]
        return average(numbers) if numbers else 0.0

    return function


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


def _bit_not(value: int) -> int:
    return ~value


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "abs": _absolute,
    "bitand": _bits(operator.and_),
    "bitnand": _bits(lambda left, right: left & ~right),
    "bitnot": _bit_not,
    "bitor": _bits(operator.or_),
    "bitshl": _bits(_shift),
    "bitshr": _bits(_shift_right),
    "bitushr": _bits(lambda value, by: _shift_right(value & (1 << 64) - 1, by)),
    "bitxor": _bits(operator.xor),
    "ceil": _whole("ceil", math.ceil),
    "floor": _whole("floor", math.floor),
    "max": _extreme("max", max),
    "mean": _average("mean", lambda numbers: sum(numbers) / len(numbers)),
    "median": _average("median", statistics.median),
    "min": _extreme("min", min),
    "round": _whole("round", _half_away),
}
