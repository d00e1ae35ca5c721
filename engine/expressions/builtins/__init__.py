"""expr's own functions, but for those that take a predicate (see predicates.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.expressions.builtins import arrays, conversions, dates, numbers, text
from engine.expressions.functions import Function, namespace

_MODULES: Final = (text, numbers, arrays, conversions, dates)

BUILTINS: Final[Mapping[str, Function]] = namespace(*(module.FUNCTIONS for module in _MODULES))
