"""Text to syntax tree: the grammar of expr.lark, and the precedence of its operators."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any, Final

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from engine.expressions import nodes
from engine.expressions.builtins import BUILTINS
from engine.expressions.caching import kept
from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.nesting import MAX_DEPTH, check_nesting
from engine.expressions.nodes import Node
from engine.expressions.precedence import fold, misplaced
from engine.expressions.predicates import OPTIONAL, Predicate
from engine.expressions.values import parse_float

_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_SIMPLE_ESCAPES: Final = dict(zip("abfnrtv\\'\"`?", "\a\b\f\n\r\t\v\\'\"`?", strict=True))


@kept(maxsize=1024)
def parse(text: str) -> Node:
    """The syntax tree of an expression; raises `ExpressionError` with the place of the first mistake."""
    try:
        check_nesting(text)
        tree: Any = _parser().parse(text)
    except VisitError as error:
        if isinstance(error.orig_exc, Invalid):
            raise ExpressionError(str(error.orig_exc), text, error.orig_exc.offset) from None
        raise
    except UnexpectedInput as error:
        raise ExpressionError(_explain(error), text, _place(error, text)) from None
    except Invalid as error:
        raise ExpressionError(str(error), text, error.offset) from None
    _check_depth(tree, text)
    assert isinstance(tree, Node)
    return tree


@cache
def _parser() -> Lark:
    return Lark.open("expr.lark", rel_to=__file__, parser="lalr", transformer=_Build(), maybe_placeholders=True)


def _explain(error: UnexpectedInput) -> str:
    match error:
        case UnexpectedToken(token=token) if token.type != "$END":
            return f"unexpected token {str(token)!r}"
        case UnexpectedCharacters():
            return f"unrecognized character {error.char!r}"
        case _:
            return "unexpected end of expression"


def _place(error: UnexpectedInput, text: str) -> int:
    at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    return len(text) if at_end or error.pos_in_stream is None else error.pos_in_stream


def _check_depth(tree: Node, text: str) -> None:
    """Walks the tree without recursion, so that evaluating it may recurse."""
    pending = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ExpressionError("expression is nested too deeply", text, node.offset)
        for child in node.children():
            # A long sum leans to the left, and `Binary` walks that side in a loop.
            leans = isinstance(node, nodes.Binary) and child is node.left and isinstance(child, nodes.Binary)
            pending.append((child, depth if leans else depth + 1))


@v_args(inline=True)
class _Build(Transformer[Token, Any]):
    """Makes nodes while the parser runs, so that no parse tree is kept. Methods are named for the grammar's rules."""

    def chain(self, *items: Any) -> Node:
        return fold(items)

    def word(self, token: Token) -> Node:
        return nodes.Constant(_offset(token), str(token))

    def number(self, token: Token) -> Node:
        text = token.replace("_", "").lower()
        try:
            if text[:2] in ("0x", "0o", "0b"):
                number: int | float = int(text, 0)
            else:
                number = parse_float(text) if any(mark in text for mark in ".e") else int(text)
        except ValueError:  # of more digits than Python takes for an integer
            number = math.inf
        if (number.bit_length() > 63) if isinstance(number, int) else number == math.inf:
            raise misplaced("number literal is too large", token)
        return nodes.Constant(_offset(token), number)

    def string(self, token: Token) -> Node:
        return nodes.Constant(_offset(token), _unescape(token))

    def raw_string(self, token: Token) -> Node:
        return nodes.Constant(_offset(token), str(token)[1:-1])

    def name(self, token: Token) -> Node:
        constants = {"true": True, "false": False, "nil": None}
        if token in constants:
            return nodes.Constant(_offset(token), constants[token])
        return nodes.Name(_offset(token), str(token))

    def pointer(self, token: Token) -> Node:
        return nodes.Pointer(_offset(token), str(token))

    def pointer_member(self, key: Node) -> Node:
        return nodes.Fetch(key.offset, nodes.Pointer(key.offset, "#"), key, optional=False)

    def member(self, container: Node, key: Node) -> Node:
        return nodes.Fetch(key.offset, container, key, optional=False)

    def optional_member(self, container: Node, key: Node) -> Node:
        return nodes.Fetch(key.offset, container, key, optional=True)

    def slice(self, sliced: Node, start: Node | None, stop: Node | None) -> Node:
        return nodes.Slice(sliced.offset, sliced, start, stop)

    def arguments(self, *arguments: Node | None) -> tuple[Node, ...]:
        return tuple(argument for argument in arguments if argument is not None)

    def call(self, callee: Node, arguments: tuple[Node, ...]) -> Node:
        return _call(callee, arguments)

    def piped_call(self, name: Token, arguments: tuple[Node, ...]) -> Node:
        hole = nodes.Hole(_offset(name), nodes.Constant(_offset(name), None))
        return _call(nodes.Name(_offset(name), str(name)), (hole, *arguments))

    def predicate_call(self, name: Token, array: Node, test: Node | None = None, extra: Node | None = None) -> Node:
        return _predicate(name, array, test, extra)

    def piped_predicate(self, name: Token, test: Node | None = None, extra: Node | None = None) -> Node:
        array = nodes.Hole(_offset(name), nodes.Constant(_offset(name), None))
        return _predicate(name, array, test, extra)

    def array(self, *children: Node | None) -> Node:
        elements = tuple(child for child in children if child is not None)
        return nodes.Array(elements[0].offset if elements else 0, elements)

    def map(self, *children: tuple[Node, Node] | None) -> Node:
        pairs = tuple(child for child in children if child is not None)
        return nodes.Map(pairs[0][0].offset if pairs else 0, pairs)

    def pair(self, key: Node, value: Node) -> tuple[Node, Node]:
        return key, value

    def conditional(self, condition: Node, then: Node, otherwise: Node) -> Node:
        return nodes.Conditional(condition.offset, condition, then, otherwise)

    def elvis(self, condition: Node, otherwise: Node) -> Node:
        return nodes.Conditional(condition.offset, condition, condition, otherwise)

    def let(self, name: Token, bound: Node, body: Node) -> Node:
        return nodes.Let(_offset(name), str(name), bound, body)

    def sequence(self, first: Node, rest: Node) -> Node:
        return nodes.Sequence(first.offset, first, rest)


def _call(callee: Node, arguments: tuple[Node, ...]) -> Node:
    # No variable can hide one of the language's own functions.
    if isinstance(callee, nodes.Name) and callee.name in BUILTINS:
        callee = nodes.Constant(callee.offset, BUILTINS[callee.name])
    return nodes.Call(callee.offset, callee, arguments)


def _predicate(name: Token, array: Node, test: Node | None, extra: Node | None) -> Node:
    if test is None and name not in OPTIONAL:
        raise misplaced(f"not enough arguments to call {name}", name)
    if extra is not None and name not in ("reduce", "sortBy"):
        raise misplaced(f"too many arguments to call {name}", name)
    return Predicate(_offset(name), str(name), array, test, extra)


def _offset(token: Token) -> int:
    return token.start_pos or 0


def _unescape(token: Token) -> str:
    def replace(escape: re.Match[str]) -> str:
        code = escape[1] or escape[2] or escape[3]
        if code or escape[4]:
            number = int(code, 16) if code else int(escape[4], 8)
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                raise misplaced("invalid escape in string", token)
            return chr(number)
        if escape[5] not in _SIMPLE_ESCAPES:
            raise misplaced(f"invalid escape \\{escape[5]} in string", token)
        return _SIMPLE_ESCAPES[escape[5]]

    return _ESCAPE.sub(replace, str(token)[1:-1])
