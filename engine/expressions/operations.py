"""expr's operators on values. Each raises `Invalid` for operands that it is not defined on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.expressions.budget import bounded
from engine.expressions.errors import Invalid
from engine.expressions.gotext import go_string
from engine.expressions.regex import matches
from engine.expressions.times import Duration, Time
from engine.expressions.values import compare, equal, int64, is_number, truncate, type_name


def _undefined(operator: str, left: object, right: object) -> Invalid:
    return Invalid(f"invalid operation: {type_name(left)} {operator} {type_name(right)}")


def add(left: Any, right: Any) -> object:
    """Sums of numbers, of times and durations; strings are joined."""
    if isinstance(left, int | float) and is_number(left) and is_number(right):
        return _number(left + right)
    match left, right:
        case str(), str():
            return left + right
        case (Time(), Duration()):
            return left.add(right)
        case (Duration(), Time()):
            return right.add(left)
        case (Duration(), Duration()):
            return Duration(int64(left.nanoseconds + right.nanoseconds))
    raise _undefined("+", left, right)


def subtract(left: Any, right: Any) -> object:
    """Differences of numbers, durations and times; a time less a duration is a time."""
    if is_number(left) and is_number(right):
        return _number(left - right)
    match left, right:
        case (Time(), Time()):
            return left.minus(right)
        case (Time(), Duration()):
            return left.add(Duration(-right.nanoseconds))
        case (Duration(), Duration()):
            return Duration(int64(left.nanoseconds - right.nanoseconds))
    raise _undefined("-", left, right)


def multiply(left: Any, right: Any) -> object:
    """Products of numbers, or of a number and a duration."""
    if is_number(left) and is_number(right):
        return _number(left * right)
    match left, right:
        case (Duration(), int() | float()) if is_number(right):
            return Duration(truncate(float(left.nanoseconds * right)))
        case (int() | float(), Duration()) if is_number(left):
            return Duration(truncate(float(left * right.nanoseconds)))
    raise _undefined("*", left, right)


def divide(left: Any, right: Any) -> object:
    """The quotient of two numbers, a float always; infinite where the divisor is zero."""
    if not (is_number(left) and is_number(right)):
        raise _undefined("/", left, right)
    if right == 0:
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)
    return float(left) / float(right)


def remainder(left: Any, right: Any) -> object:
    """The remainder of two integers, with the sign of the dividend."""
    if not (is_number(left) and is_number(right)) or isinstance(left, float) or isinstance(right, float):
        raise _undefined("%", left, right)
    return left - right * quotient(left, right)


def quotient(left: int, right: int) -> int:
    """The quotient of two integers, towards zero. Raises `Invalid` where the divisor is zero."""
    if right == 0:
        raise Invalid("integer divide by zero")
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def power(left: Any, right: Any) -> object:
    """A power, a float always."""
    if not (is_number(left) and is_number(right)):
        raise _undefined("**", left, right)
    try:
        return math.pow(left, right)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if left == 0 else math.nan


def span(left: Any, right: Any) -> object:
    """The integers from left to right, both included; empty where left is the greater."""
    if not (is_number(left) and is_number(right)):
        raise _undefined("..", left, right)
    first, last = truncate(float(left)) if isinstance(left, float) else left, truncate(right)
    bounded(last - first + 1)
    return list(range(first, last + 1))


def contains(left: Any, right: Any) -> bool:
    """Whether the right operand, a list or a map, has the left one as an element or a key."""
    match right:
        case None:
            return False
        case list():
            return any(equal(left, element) for element in right)
        case Mapping():
            if isinstance(left, list | Mapping):
                raise Invalid(f"cannot use {type_name(left)} as a key of a map")
            return left in right
    raise Invalid(f'operator "in" not defined on {type_name(right)}')


def _text(operator: str, test: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def operation(left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        if not (isinstance(left, str) and isinstance(right, str)):
            raise _undefined(operator, left, right)
        return test(left, right)

    return operation


def _comparison(operator: str) -> Callable[[Any, Any], bool]:
    return lambda left, right: compare(operator, left, right)


def _number(value: int | float) -> int | float:
    return int64(value) if isinstance(value, int) else value


BINARY: Final[Mapping[str, Callable[[Any, Any], object]]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    **{symbol: _comparison(symbol) for symbol in ("<", "<=", ">", ">=")},
    "in": contains,
    "contains": _text("contains", lambda text, part: part in text),
    "startsWith": _text("startsWith", str.startswith),
    "endsWith": _text("endsWith", str.endswith),
    "matches": _text("matches", matches),
    "..": span,
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "**": power,
    "^": power,
}


def negate(value: Any) -> object:
    """The negative of a number or a duration."""
    if isinstance(value, Duration):
        return Duration(-value.nanoseconds)
    if not is_number(value):
        raise Invalid(f"invalid operation: - {type_name(value)}")
    return _number(-value)


def boolean(value: object, operator: str) -> bool:
    """The operand of a logical operator; raises `Invalid` where it is no bool."""
    if not isinstance(value, bool):
        raise Invalid(f"invalid operation: {operator} needs a bool, not {type_name(value)} {go_string(value)[:40]}")
    return value
