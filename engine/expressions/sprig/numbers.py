"""sprig's arithmetic, which turns anything into a number first: text that is none counts as 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from functools import reduce
from typing import Any, Final

from engine.expressions.budget import bounded
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.gotext import go_string
from engine.expressions.operations import quotient
from engine.expressions.values import int64, parse_float, parse_int, truncate


def to_int(value: Any) -> int:
    """Any value as an integer, as the Go library `cast` does it; 0 for what is no number."""
    try:
        match value:
            case bool() | int():
                return int(value)
            case float():
                return truncate(value)
            case str():
                whole, _, zeros = value.partition(".")
                return parse_int(value if zeros.strip("0") else whole)
    except Invalid:
        pass
    return 0


def to_float(value: Any) -> float:
    """Any value as a float, as the Go library `cast` does it; 0 for what is no number."""
    try:
        match value:
            case bool() | int() | float():
                return float(value)
            case str():
                return parse_float(value)
    except Invalid:
        pass
    return 0.0


def _add(*values: Any) -> int:
    return int64(sum(map(to_int, values)))


def _divide(left: Any, right: Any) -> int:
    return int64(quotient(to_int(left), to_int(right)))


def _multiply(first: Any, *rest: Any) -> int:
    return reduce(lambda product, value: int64(product * to_int(value)), rest, to_int(first))


def _decimal(operation: Callable[[Decimal, Decimal], Decimal], name: str) -> Callable[..., object]:
    def function(first: Any, *rest: Any) -> float:
        try:
            return float(reduce(operation, (Decimal(repr(to_float(value))) for value in (first, *rest))))
        except ArithmeticError as error:
            raise Invalid(f"{name}: {type(error).__name__}") from error

    return function


def _round(value: Any, places: int, threshold: float = 0.5) -> float:
    if abs(places) > 300:
        raise Invalid("round: places out of range")
    scale = 10.0**places
    scaled = to_float(value) * scale
    if not math.isfinite(scaled):
        return scaled
    up = math.modf(scaled)[0] >= threshold
    return float(math.ceil(scaled) if up else math.floor(scaled)) / scale


def _whole(rounding: Callable[[float], float]) -> Callable[..., object]:
    def function(value: Any) -> float:
        number = to_float(value)
        return float(rounding(number)) if math.isfinite(number) else number

    return function


def _to_decimal(value: Any) -> int:
    try:
        return int64(int(go_string(value)[:24], 8))
    except ValueError:
        return 0


def _steps(start: int, stop: int, step: int) -> list[Any]:
    """From start towards stop, which is left out; none where the step leads away."""
    if step == 0 or (stop < start) != (step < 0):
        return []
    bounded(abs(stop - start) // abs(step))
    return list(range(start, stop, step))


def _sequence(*bounds: int) -> str:
    match bounds:
        case (end,):
            start, step = 1, 1 if end >= 1 else -1
        case (start, end):
            step = 1 if end >= start else -1
        case (start, step, end):
            if end < start and step > 0:
                return ""
        case _:
            return ""
    stop = end + (1 if end >= start else -1)
    return " ".join(map(str, _steps(start, stop, step)))


FUNCTIONS: Final[Functions] = {
    "add(any...)": _add,
    "add1(any)": lambda value: _add(value, 1),
    "add1f(any)": lambda value: _decimal(Decimal.__add__, "add1f")(value, 1),
    "addf(any, any...)": _decimal(Decimal.__add__, "addf"),
    "atoi|int|int64(any)": to_int,
    "biggest|max(any, any...)": lambda *values: max(map(to_int, values)),
    "ceil(any)": _whole(math.ceil),
    "div(any, any)": _divide,
    "divf(any, any...)": _decimal(Decimal.__truediv__, "divf"),
    "float64(any)": to_float,
    "floor(any)": _whole(math.floor),
    "maxf(any, any...)": lambda *values: max(map(to_float, values)),
    "min(any, any...)": lambda *values: min(map(to_int, values)),
    "minf(any, any...)": lambda *values: min(map(to_float, values)),
    "mod(any, any)": lambda left, right: int64(to_int(left) - to_int(right) * _divide(left, right)),
    "mul(any, any...)": _multiply,
    "mulf(any, any...)": _decimal(Decimal.__mul__, "mulf"),
    "round(any, int, float?)": _round,
    "seq(int...)": _sequence,
    "sub(any, any)": lambda left, right: int64(to_int(left) - to_int(right)),
    "subf(any, any...)": _decimal(Decimal.__sub__, "subf"),
    "toDecimal(any)": _to_decimal,
    "until(int)": lambda count: _steps(0, count, -1 if count < 0 else 1),
    "untilStep(int, int, int)": _steps,
}
