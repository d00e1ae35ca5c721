"""What was made of a text is kept for the next who asks; of a long text it is not, so that memory has a bound."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

_Made = TypeVar("_Made")

LONGEST: Final = 4096
"""Characters of a text that is remembered."""


def kept(maxsize: int) -> Callable[[Callable[[str], _Made]], Callable[[str], _Made]]:
    """Remembers what a function gives for the last `maxsize` texts that are not long."""

    def decorate(make: Callable[[str], _Made]) -> Callable[[str], _Made]:
        remembered = lru_cache(maxsize)(make)

        @wraps(make)
        def made(text: str) -> _Made:
            return remembered(text) if len(text) <= LONGEST else make(text)

        return made

    return decorate
