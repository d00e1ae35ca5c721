"""Bounds on a text before it is parsed: what recurses along its brackets has stack enough, and what reads it an end."""

from __future__ import annotations

import re
from typing import Final

from engine.expressions.errors import Invalid

MAX_DEPTH: Final = 100

MAX_LENGTH: Final = 64 * 1024
"""Characters in an expression, quoted ones aside where values were filled into it."""

_QUOTED: Final = re.compile(r"""\\.|['"](?:\\.|[^'"\\])*+(?:['"]|\Z)""", re.DOTALL)


def check_nesting(text: str, *, filled_in: bool = False) -> None:
    """Raises `Invalid` where more than `MAX_DEPTH` brackets are open at once, quoted ones included, or it is too long.

    ``filled_in`` says that quotes may hold any value, such as the result of a step: those do not count.
    """
    if len(text) > MAX_LENGTH and len(_QUOTED.sub("", text) if filled_in else text) > MAX_LENGTH:
        raise Invalid(f"expression is longer than {MAX_LENGTH} characters")
    depth = 0
    for bracket in re.finditer(r"[(\[{]|[)\]}]", text):
        if bracket[0] in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Invalid("nested too deeply")
        else:
            depth -= 1
