"""How far a node is, as Argo writes it: ``3/10`` is 3 done of 10 (its ``Progress``, in progress.go)."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

_NUMBERS: Final = re.compile("[0-9]{1,18}/[0-9]{1,18}")
"""Whole ones, each of which fits into 64 bits."""

Progress = Annotated[str, Meta(extra_json_schema={"pattern": f"^{_NUMBERS.pattern}$"})]

EXPECTED: Final = "two whole numbers such as '3/10', the first no more than the second, which is above 0"


def is_progress(text: object) -> bool:
    """Whether it is that, and no more is done than there is to do."""
    if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
        return False
    done, total = map(int, text.split("/"))
    return done <= total > 0
