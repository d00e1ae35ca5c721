"""A bound on parentheses, so that what recurses along them cannot run out of stack."""

from __future__ import annotations

from typing import Final

from engine.expressions.errors import Invalid

MAX_DEPTH: Final = 100


def check_nesting(text: str) -> None:
    """Raises `Invalid` where more than `MAX_DEPTH` brackets are open at once, quoted ones included."""
    depth = 0
    for character in text:
        if character in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Invalid("nested too deeply")
        elif character in ")]}":
            depth -= 1
