"""`when`: whether a step or task runs at all, once its tags are filled in (Argo's shouldExecute, steps.go).

The language is govaluate's, every variable of which Argo turns into a string, so that `heads == heads` is true.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any, Final

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from engine.expressions.budget import budgeted
from engine.expressions.caching import kept
from engine.expressions.conditions import Thunk, fold
from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.gotext import go_string
from engine.expressions.nesting import check_nesting
from engine.expressions.times import RFC3339, Time
from engine.expressions.values import parse_float

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


# What nearly every condition is, two plain words compared; with 100,000 items it pays not to parse each of them.
_OPERAND: Final = r"""(?:(?!(?:true|false|in|IN)\b)([^\W\d_]\w*)|'([^'"\\:-]*)'|"([^'"\\:-]*)")"""
_PLAIN: Final = re.compile(rf"\s*{_OPERAND}\s*(==|!=)\s*{_OPERAND}\s*")

_SYMBOLS: Final = re.compile(r"""[^\w\s()'"]+""")


@kept(maxsize=4096)
def evaluate_when(text: str) -> bool:
    """Whether the condition holds; an empty one does.

    Raises `ExpressionError` in Argo's words for one that cannot be parsed (`== heads` has no left operand), that
    applies an operator to what it is not defined on (`heads-1` subtracts from a string: it wants quotes), or that gives
    no bool.
    """
    if not text:
        return True
    if plain := _PLAIN.fullmatch(text):
        left, right = (
            next(word for word in words if word is not None) for words in (plain.group(1, 2, 3), plain.group(5, 6, 7))
        )
        return (left == right) is (plain[4] == "==")
    try:
        check_nesting(text, filled_in=True)
        condition: Any = _parser().parse(text)
    except UnexpectedInput as error:
        raise ExpressionError(f"Invalid 'when' expression '{text}': {_explain(error, text)}", text) from None
    except VisitError as error:
        raise ExpressionError(f"Invalid 'when' expression '{text}': {error.orig_exc}", text) from None
    except Invalid as error:
        raise ExpressionError(f"Invalid 'when' expression '{text}': {error}", text) from None
    try:
        with budgeted():
            result = condition()
    except (Invalid, RecursionError) as error:
        raise ExpressionError(f"Failed to evaluate 'when' expression '{text}': {error}", text) from None
    if not isinstance(result, bool):
        raise ExpressionError(f"Expected boolean evaluation for '{text}'. Got {go_string(result)}", text)
    return result


@cache
def _parser() -> Lark:
    return Lark.open("when.lark", rel_to=__file__, parser="lalr", transformer=_Build())


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


@v_args(inline=True)
class _Build(Transformer[Token, Any]):
    """Makes thunks while the parser runs; what is not reached (`false && x > 1`) is never evaluated."""

    def chain(self, *items: Any) -> Thunk:
        return fold(items)

    def values(self, *values: Thunk) -> Thunk:
        return lambda: [value() for value in values]

    def number(self, token: Token) -> Thunk:
        try:
            value = float(int(token, 16)) if token.startswith("0x") else parse_float(token)
        except OverflowError:
            value = math.inf
        return lambda: value

    def boolean(self, token: Token) -> Thunk:
        value = token == "true"
        return lambda: value

    def string(self, token: Token) -> Thunk:
        text = _unescape(str(token)[1:-1])
        value = _time(text)
        return lambda: text if value is None else value

    def bracketed(self, token: Token) -> Thunk:
        text = _unescape(str(token)[1:-1])
        return lambda: text

    def word(self, token: Token) -> Thunk:
        text = _unescape(str(token))
        # To govaluate a dot reads a field of a variable, and there are no variables.
        name, dot, _ = text.partition(".")
        if dot:
            raise Invalid(f"No parameter '{name}' found")
        return lambda: text

    def prefix(self, symbol: Token, operand: Thunk) -> Thunk:
        def apply() -> object:
            value = operand()
            if symbol == "!" and isinstance(value, bool):
                return not value
            if symbol != "!" and isinstance(value, float) and math.isfinite(value):
                return -value if symbol == "-" else float(~int(value))
            raise Invalid(f"Value '{go_string(value)}' cannot be used with the prefix '{symbol}'")

        return apply


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def _time(text: str) -> float | None:
    if ":" in text or text.count("-") == 2:
        for layout in _TIME_LAYOUTS:
            try:
                return float(Time.parse(layout, text).unix())
            except Invalid:
                continue
    return None
