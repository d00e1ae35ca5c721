"""Regular expressions as Go has them: RE2, whose time is linear in the text, so no pattern can hang the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import re2

from engine.expressions.budget import spend
from engine.expressions.caching import kept
from engine.expressions.errors import Invalid

MAX_SECONDS: Final = 5.0
"""What finding all matches of one pattern in one text may take of the processor."""

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


@kept(maxsize=64)
def _compile(pattern: str) -> re2._Regexp[str]:
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0]
        raise Invalid(f"error parsing regexp: {reason.decode(errors='replace')}") from error


def find_all(pattern: str, text: str) -> Iterator[re2._Match[str]]:
    """The matches of a pattern, from left to right; raises `Invalid` for a pattern that RE2 refuses.

    Linear is what one search takes: at worst its program in all its states at each character. The next begins where
    the match ended, and may look at all the rest again, which is paid for and has an end in time, too.
    """
    end = time.thread_time() + MAX_SECONDS
    try:
        program = _compile(pattern)
        spend(program.programsize * len(text) >> 6)
        for match in program.finditer(text):
            spend(1 + (len(text) - match.end() >> 10))
            if time.thread_time() > end:
                raise Invalid("regular expression takes too long")
            yield match
    except UnicodeEncodeError as error:
        # Half of a surrogate pair, which Go's strings cannot hold.
        raise Invalid(f"invalid text: {error.reason}") from error


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern occurs in the text; raises `Invalid` for a pattern that RE2 refuses."""
    return next(find_all(pattern, text), None) is not None


def searching(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern occurs in a text, to be asked of many; raises `Invalid` for one that RE2 refuses."""
    program = _compile(pattern)
    return lambda text: program.search(text) is not None
