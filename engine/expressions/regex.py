"""Regular expressions as Go has them: RE2, whose time is linear in the text, so no pattern can hang the engine."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import re2

from engine.expressions.errors import Invalid

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> re2._Regexp[str]:
    """A compiled pattern; raises `Invalid` for one that RE2 refuses."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else error
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise Invalid(f"error parsing regexp: {text}") from error


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern occurs in the text."""
    try:
        return compile_pattern(pattern).search(text) is not None
    except UnicodeEncodeError as error:
        raise Invalid(f"invalid text: {error}") from error
