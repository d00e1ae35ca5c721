"""`when`: whether a step or task runs at all, once its tags are filled in (Argo's shouldExecute, steps.go).

The language is govaluate's, every variable of which Argo turns into a string, so that `heads == heads` is true.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.gotext import go_string
from engine.expressions.nesting import check_nesting
from engine.expressions.regex import matches
from engine.expressions.times import RFC3339, Time
from engine.expressions.values import parse_float

Thunk = Callable[[], Any]

_TIME_LAYOUTS: Final = (
    "Mon Jan _2 15:04:05 2006",
    "Mon Jan _2 15:04:05 MST 2006",
    "Mon Jan 02 15:04:05 -0700 2006",
    "3:04PM",
    RFC3339,
    "2006-01-02",
    "2006-01-02 15:04",
    "2006-01-02 15:04:05",
    "2006-01-02 15:04:05-07:00",
    "2006-01-02T15Z0700",
    "2006-01-02T15:04Z0700",
    "2006-01-02T15:04:05Z0700",
)
"""Quoted strings that look like one of these count as the seconds since 1970."""


_SYMBOLS: Final = re.compile(r"""[^\w\s()'"]+""")


@lru_cache(maxsize=4096)
def evaluate_when(text: str) -> bool:
    """Whether the condition holds; an empty one does.

    Raises `ExpressionError` in Argo's words for one that cannot be parsed (`== heads` has no left operand), that
    applies an operator to what it is not defined on (`heads-1` subtracts from a string: it wants quotes), or that gives
    no bool.
    """
    if not text:
        return True
    try:
        check_nesting(text)
        condition: Any = _parser().parse(text)
    except UnexpectedInput as error:
        raise ExpressionError(f"Invalid 'when' expression '{text}': {_explain(error, text)}", text) from None
    except VisitError as error:
        raise ExpressionError(f"Invalid 'when' expression '{text}': {error.orig_exc}", text) from None
    except Invalid as error:
        raise ExpressionError(f"Invalid 'when' expression '{text}': {error}", text) from None
    try:
        result = condition()
    except Invalid as error:
        raise ExpressionError(f"Failed to evaluate 'when' expression '{text}': {error}", text) from None
    if not isinstance(result, bool):
        raise ExpressionError(f"Expected boolean evaluation for '{text}'. Got {go_string(result)}", text)
    return result


@cache
def _parser() -> Lark:
    return Lark(Path(__file__).with_name("when.lark").read_text(), parser="lalr", transformer=_Build())


def _explain(error: UnexpectedInput, text: str) -> str:
    match error:
        case UnexpectedToken(token=token) if token.type != "$END":
            return f"unexpected {str(token)!r} at column {error.column}"
        case UnexpectedCharacters() if error.char in "'\"":
            return "Unclosed string literal"
        case UnexpectedCharacters():
            run = _SYMBOLS.match(text, error.pos_in_stream or 0)
            token = run[0] if run else error.char
            return f"""Invalid token: '{token}' (hint: try wrapping the affected expression in quotes ("))"""
        case _:
            return "Unexpected end of expression"


def _unfit(value: object, operator: str, wanted: str) -> Invalid:
    return Invalid(f"Value '{go_string(value)}' cannot be used with the {operator}, it is not a {wanted}")


def _numbers(operator: str, function: Callable[[float, float], float]) -> Callable[[Any, Any], object]:
    def operation(left: Any, right: Any) -> object:
        for value in (left, right):
            if not isinstance(value, float):
                raise _unfit(value, f"modifier '{operator}'", "number")
        try:
            return function(left, right)
        except (ArithmeticError, ValueError):
            return math.nan

    return operation


def _add(left: Any, right: Any) -> object:
    if isinstance(left, str) or isinstance(right, str):
        return go_string(left) + go_string(right)
    return _numbers("+", float.__add__)(left, right)


def _ordered(operator: str, function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], object]:
    def operation(left: Any, right: Any) -> object:
        if type(left) is not type(right) or not isinstance(left, str | float):
            raise _unfit(left, f"comparator '{operator}'", "number")
        return function(left, right)

    return operation


def _equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _matches(left: Any, right: Any) -> bool:
    for value in (left, right):
        if not isinstance(value, str):
            raise _unfit(value, "comparator '=~'", "string")
    return matches(left, right)


def _in(left: Any, right: Any) -> bool:
    if not isinstance(right, list):
        raise _unfit(right, "comparator 'in'", "array")
    return any(_equal(left, element) for element in right)


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left else math.copysign(math.inf, left)


_OPERATIONS: Final[Mapping[str, Callable[[Any, Any], object]]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _ordered("<", lambda left, right: left < right),
    "<=": _ordered("<=", lambda left, right: left <= right),
    ">": _ordered(">", lambda left, right: left > right),
    ">=": _ordered(">=", lambda left, right: left >= right),
    "=~": _matches,
    "!~": lambda left, right: not _matches(left, right),
    "in": _in,
    "IN": _in,
    "+": _add,
    "-": _numbers("-", float.__sub__),
    "*": _numbers("*", float.__mul__),
    "/": _numbers("/", _divide),
    "%": _numbers("%", math.fmod),
    "**": _numbers("**", math.pow),
    "&": _numbers("&", lambda left, right: float(int(left) & int(right))),
    "|": _numbers("|", lambda left, right: float(int(left) | int(right))),
    "^": _numbers("^", lambda left, right: float(int(left) ^ int(right))),
    "<<": _numbers("<<", lambda left, right: float((int(left) << min(int(right), 64)) & (1 << 64) - 1)),
    ">>": _numbers(">>", lambda left, right: float(int(left) >> min(int(right), 64))),
}


class _Build(Transformer[Token, Any]):
    """Makes thunks while the parser runs; what is not reached (`false && x > 1`) is never evaluated."""

    def start(self, children: list[Thunk]) -> Thunk:
        return children[0]

    def clause(self, children: list[Thunk]) -> Thunk:
        return children[0]

    def number(self, children: list[Token]) -> Thunk:
        text = str(children[0])
        value = float(int(text, 16)) if text.startswith("0x") else parse_float(text)
        return lambda: value

    def boolean(self, children: list[Token]) -> Thunk:
        value = children[0] == "true"
        return lambda: value

    def string(self, children: list[Token]) -> Thunk:
        text = _unescape(children[0][1:-1])
        value = _time(text)
        return lambda: text if value is None else value

    def bracketed(self, children: list[Token]) -> Thunk:
        text = _unescape(children[0][1:-1])
        return lambda: text

    def word(self, children: list[Token]) -> Thunk:
        text = _unescape(children[0])
        # To govaluate a dot reads a field of a variable, and there are no variables.
        name, dot, _ = text.partition(".")
        if dot:
            raise Invalid(f"No parameter '{name}' found")
        return lambda: text

    def prefix(self, children: list[Any]) -> Thunk:
        operator, operand = str(children[0]), children[1]

        def apply() -> object:
            value = operand()
            if operator == "!" and isinstance(value, bool):
                return not value
            if operator != "!" and isinstance(value, float):
                return -value if operator == "-" else float(~int(value))
            raise Invalid(f"Value '{go_string(value)}' cannot be used with the prefix '{operator}'")

        return apply

    def values(self, children: list[Thunk]) -> Thunk:
        return lambda: [child() for child in children]

    def comparison(self, children: list[Any]) -> Thunk:
        first, rest = children[0], list(zip(map(str, children[1::2]), children[2::2], strict=True))

        def apply() -> object:
            result = first()
            for operator, operand in rest:
                result = _OPERATIONS[operator](result, operand())
            return result

        return apply

    bits = shift = sum = product = power = comparison

    def disjunction(self, children: list[Any]) -> Thunk:
        stop = children[1] == "||"

        def apply() -> object:
            for operand in children[::2]:
                value = operand()
                if not isinstance(value, bool):
                    raise _unfit(value, f"logical operator '{children[1]}'", "bool")
                if value is stop:
                    return stop
            return not stop

        return apply

    conjunction = disjunction

    def ternary(self, children: list[Any]) -> Thunk:
        def apply() -> object:
            result = children[0]()
            for operator, operand in zip(map(str, children[1::2]), children[2::2], strict=True):
                if operator == "?":
                    if not isinstance(result, bool):
                        raise _unfit(result, "ternary operator '?'", "bool")
                    result = operand() if result else None
                elif result is None:
                    result = operand()
            return result

        return apply


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _time(text: str) -> float | None:
    if ":" in text or text.count("-") == 2:
        for layout in _TIME_LAYOUTS:
            try:
                return float(Time.parse(layout, text).unix())
            except Invalid:
                continue
    return None
