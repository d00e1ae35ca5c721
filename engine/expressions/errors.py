"""What the expression languages raise: one error, which says where in the text the trouble is."""

from __future__ import annotations


class ExpressionError(ValueError):
    """An expression that cannot be parsed, or whose evaluation failed.

    ``expression`` is the whole text; ``line`` and ``column`` count from 1, both 0 where no place is known.
    """

    def __init__(self, reason: str, expression: str = "", offset: int | None = None) -> None:
        self.reason = reason
        self.expression = expression
        self.line = self.column = 0
        if offset is not None:
            before = expression[:offset]
            self.line = before.count("\n") + 1
            self.column = offset - (before.rfind("\n") + 1) + 1
        super().__init__(f"{reason} ({self.line}:{self.column})" if self.line else reason)


class Invalid(Exception):
    """An operation on values that do not allow it, before it is known where in the text it stands.

    The innermost node that sees it sets ``offset``; the program turns it into an `ExpressionError`.
    """

    offset: int | None = None
