"""The precedence of expr's operators: a flat list of operands and operators becomes a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lark import Token

from engine.expressions import nodes
from engine.expressions.errors import Invalid
from engine.expressions.nesting import MAX_DEPTH
from engine.expressions.nodes import Node

# expr's table; `??` binds tightest of all, and everything but `**` associates to the left.
_PRECEDENCE: Final = {
    "|": 0,
    **dict.fromkeys(("or", "||"), 10),
    **dict.fromkeys(("and", "&&"), 15),
    **dict.fromkeys(("==", "!=", "<", ">", ">=", "<=", "in", "matches", "contains", "startsWith", "endsWith"), 20),
    "..": 25,
    **dict.fromkeys("+-", 30),
    **dict.fromkeys("*/%", 60),
    **dict.fromkeys(("**", "^"), 100),
    "??": 500,
}
_PREFIX: Final = {"not": 50, "!": 50, "-": 90, "+": 90}
_ALIASES: Final = {"or": "||", "and": "&&", "^": "**"}
_COMPARISONS: Final = frozenset({"<", ">", "<=", ">="})


def misplaced(reason: str, token: Token) -> Invalid:
    """An error that stands where a token does."""
    error = Invalid(reason)
    error.offset = token.start_pos
    return error


def fold(items: Sequence[Any]) -> Node:
    """The tree of a chain of operators and operands, as expr's own parser climbs precedences.

    ``items`` alternates between nodes and tokens, an operand being a node behind any number of prefix tokens; after a
    pipe comes the call that it feeds. Raises `Invalid`.
    """
    return _Operators(items).fold(0)


class _Operators:
    """A position in such a list."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items
        self.position = 0
        self.depth = 0

    def peek(self) -> Token | None:
        item = self.items[self.position] if self.position < len(self.items) else None
        return item if isinstance(item, Token) else None

    def operand(self) -> Node:
        item = self.items[self.position]
        self.position += 1
        if isinstance(item, Token):
            return nodes.Unary((item.start_pos or 0), str(item), self.fold(_PREFIX[item]))
        assert isinstance(item, Node)
        return item

    def fold(self, least: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Invalid("expression is nested too deeply")
        left = self.operand()
        previous = ""
        while (token := self.peek()) is not None:
            negated = token.startswith("not")
            operator = token.split()[-1]
            precedence = _PRECEDENCE[operator]
            if precedence < least:
                break
            if previous == "??" and operator not in ("??", "|"):
                raise misplaced(f"operator {operator} and ?? cannot be mixed, put one in parentheses", token)
            self.position += 1
            left = self.piped(left) if operator == "|" else self.binary(token, operator, left)
            if negated:
                left = nodes.Unary((token.start_pos or 0), "not", left)
            previous = operator
        self.depth -= 1
        return left

    def piped(self, left: Node) -> Node:
        item = self.items[self.position]
        self.position += 1
        assert isinstance(item, Node)
        hole: Node = item
        while not isinstance(hole, nodes.Hole):
            hole = next(hole.children()) if not isinstance(hole, nodes.Call) else hole.arguments[0]
        hole.content = left
        return item

    def binary(self, token: Token, operator: str, left: Node) -> Node:
        precedence = _PRECEDENCE[operator]
        right = self.fold(precedence if operator in ("**", "^") else precedence + 1)
        result: Node = nodes.Binary((token.start_pos or 0), _ALIASES.get(operator, operator), left, right)
        # `a < b < c` means `a < b && b < c`.
        while operator in _COMPARISONS and (follower := self.peek()) is not None and follower in _COMPARISONS:
            self.position += 1
            third = self.fold(precedence + 1)
            link = nodes.Binary((follower.start_pos or 0), str(follower), right, third)
            result = nodes.Binary((follower.start_pos or 0), "&&", result, link)
            right = third
        return result
