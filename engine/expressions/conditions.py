"""The operators of `when`: govaluate's, with its checks of types and its words for what they find wrong."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from engine.expressions.budget import spend
from engine.expressions.errors import Invalid
from engine.expressions.gotext import go_string
from engine.expressions.regex import matches

Thunk = Callable[[], Any]
"""An operand that is evaluated where it is needed. Values are str, float, bool, None, and lists after `in`."""

Operation = Callable[[Any, Thunk], object]


def _unfit(value: object, operator: str, wanted: str) -> Invalid:
    return Invalid(f"Value '{go_string(value)}' cannot be used with the {operator}, it is not a {wanted}")


def _number(symbol: str, operation: Callable[[float, float], float]) -> Operation:
    def apply(left: Any, right: Thunk) -> object:
        other = right()
        for value in (left, other):
            if not isinstance(value, float):
                raise _unfit(value, f"modifier '{symbol}'", "number")
        try:
            return operation(left, other)
        except (ArithmeticError, ValueError):
            return math.nan

    return apply


def _bits(symbol: str, operation: Callable[[int, int], int]) -> Operation:
    return _number(symbol, lambda left, right: float(operation(int(left), int(right))))


def _add(left: object, right: Thunk) -> object:
    other = right()
    if isinstance(left, str) or isinstance(other, str):
        joined = go_string(left) + go_string(other)
        spend(len(joined) >> 3)
        return joined
    return _number("+", float.__add__)(left, lambda: other)


def _order(symbol: str, operation: Callable[[Any, Any], bool]) -> Operation:
    def apply(left: object, right: Thunk) -> object:
        other = right()
        if type(left) is not type(other) or not isinstance(left, str | float):
            raise _unfit(left, f"comparator '{symbol}'", "number")
        return operation(left, other)

    return apply


def _equal(left: object, right: Thunk) -> bool:
    other = right()
    return type(left) is type(other) and left == other


def _match(left: object, right: Thunk) -> bool:
    other = right()
    if not isinstance(left, str) or not isinstance(other, str):
        raise _unfit(other if isinstance(left, str) else left, "comparator '=~'", "string")
    return matches(left, other)


def _contains(left: object, right: Thunk) -> bool:
    other = right()
    if not isinstance(other, list):
        raise _unfit(other, "comparator 'in'", "list")
    return any(type(left) is type(element) and left == element for element in other)


def _logic(symbol: str, settles: bool) -> Operation:
    """`&&` and `||`: a left operand that settles it leaves the right one unevaluated."""

    def apply(left: object, right: Thunk) -> object:
        if left is settles:
            return settles
        for value in (left, other := right()):
            if not isinstance(value, bool):
                raise _unfit(value, f"logical operator '{symbol}'", "bool")
        return other

    return apply


def _then(left: object, right: Thunk) -> object:
    if not isinstance(left, bool):
        raise _unfit(left, "ternary operator '?'", "bool")
    return right() if left else None


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.copysign(math.inf, left) if left else math.nan


_OPERATIONS: Final[Mapping[str, tuple[int, Operation]]] = {
    "?": (0, _then),
    ":": (0, lambda left, right: right() if left is None else left),
    "??": (0, lambda left, right: right() if left is None else left),
    "||": (1, _logic("||", settles=True)),
    "&&": (2, _logic("&&", settles=False)),
    "==": (3, _equal),
    "!=": (3, lambda left, right: not _equal(left, right)),
    "<": (3, _order("<", operator.lt)),
    "<=": (3, _order("<=", operator.le)),
    ">": (3, _order(">", operator.gt)),
    ">=": (3, _order(">=", operator.ge)),
    "=~": (3, _match),
    "!~": (3, lambda left, right: not _match(left, right)),
    "in": (3, _contains),
    "IN": (3, _contains),
    "&": (4, _bits("&", operator.and_)),
    "|": (4, _bits("|", operator.or_)),
    "^": (4, _bits("^", operator.xor)),
    "<<": (5, _bits("<<", lambda left, right: (left << min(right, 64)) & (1 << 64) - 1)),
    ">>": (5, _bits(">>", lambda left, right: left >> min(right, 64))),
    "+": (6, _add),
    "-": (6, _number("-", float.__sub__)),
    "*": (7, _number("*", float.__mul__)),
    "/": (7, _number("/", _divide)),
    "%": (7, _number("%", math.fmod)),
    "**": (8, _number("**", math.pow)),
}
"""The operators, each with its precedence. All associate to the left, the ternary's two halves too."""

_TIGHTEST: Final = 8


def fold(items: Sequence[Any], loosest: int = 0) -> Thunk:
    """A chain of operands and operators as one operand. Precedence by precedence, so that long chains stay flat."""
    if len(items) == 1:
        operand: Thunk = items[0]
        return operand
    for precedence in range(loosest, _TIGHTEST + 1):
        splits = [index for index in range(1, len(items), 2) if _OPERATIONS[items[index]][0] == precedence]
        if splits:
            break
    parts = [
        fold(items[start + 1 : end], precedence + 1)
        for start, end in zip([-1, *splits], [*splits, len(items)], strict=True)
    ]
    operations = [_OPERATIONS[items[index]][1] for index in splits]

    def apply() -> object:
        result = parts[0]()
        for operation, operand in zip(operations, parts[1:], strict=True):
            result = operation(result, operand)
        return result

    return apply
