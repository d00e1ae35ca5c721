"""expr's own functions, but for those that take a predicate (see predicates.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.expressions.builtins import arrays, conversions, dates, numbers, text
from engine.expressions.functions import Function, namespace

BUILTINS: Final[Mapping[str, Function]] = namespace(
    {**text.FUNCTIONS, **numbers.FUNCTIONS, **arrays.FUNCTIONS, **conversions.FUNCTIONS, **dates.FUNCTIONS}
)
