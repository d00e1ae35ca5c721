"""expr's functions on numbers. `max`, `min`, `mean` and `median` take numbers, lists of them, or both."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Iterator
from typing import Any, Final

from engine.expressions.budget import visit
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
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


def _overall(name: str, choose: Callable[[list[Any]], object], none: object = None) -> Callable[..., object]:
    def function(*values: Any) -> object:
        numbers = list(_numbers(name, values))
        return choose(numbers) if numbers else none

    return function


def _mean(numbers: list[Any]) -> float:
    return sum(map(float, numbers)) / len(numbers)


def _median(numbers: list[Any]) -> float:
    return statistics.median(map(float, numbers))


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


FUNCTIONS: Final[Functions] = {
    "abs(any)": _absolute,
    "bitand(int, int)": _bits(operator.and_),
    "bitnand(int, int)": _bits(lambda left, right: left & ~right),
    "bitnot(int)": operator.invert,
    "bitor(int, int)": _bits(operator.or_),
    "bitshl(int, int)": _bits(_shift),
    "bitshr(int, int)": _bits(_shift_right),
    "bitushr(int, int)": _bits(lambda value, by: _shift_right(value & (1 << 64) - 1, by)),
    "bitxor(int, int)": _bits(operator.xor),
    "ceil(any)": _whole("ceil", math.ceil),
    "floor(any)": _whole("floor", math.floor),
    "max(any...)": _overall("max", max),
    "mean(any...)": _overall("mean", _mean, 0.0),
    "median(any...)": _overall("median", _median, 0.0),
    "min(any...)": _overall("min", min),
    "round(any)": _whole("round", _half_away),
}
