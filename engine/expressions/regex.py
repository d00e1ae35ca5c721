"""Regular expressions as Go has them: RE2, whose time is linear in the text, so no pattern can hang the engine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import re2

from engine.expressions.errors import Invalid

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re2._Regexp[str]:
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0]
        raise Invalid(f"error parsing regexp: {reason.decode(errors='replace')}") from error


def find_all(pattern: str, text: str) -> Iterator[re2._Match[str]]:
    """The matches of a pattern, from left to right; raises `Invalid` for a pattern that RE2 refuses."""
    try:
        yield from _compile(pattern).finditer(text)
    except UnicodeEncodeError as error:
        # Half of a surrogate pair, which Go's strings cannot hold.
        raise Invalid(f"invalid text: {error.reason}") from error


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern occurs in the text; raises `Invalid` for a pattern that RE2 refuses."""
    return next(find_all(pattern, text), None) is not None
