"""sprig's regular expressions, which are RE2's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import re2

from engine.expressions.budget import bounded
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.regex import find_all, matches

# `$1`, `${1}`, `$name` and `$$` in a replacement.
_REFERENCE: Final = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)


def _match(pattern: str, text: str) -> bool:
    try:
        return matches(text, pattern)
    except Invalid:
        return False


def _find(pattern: str, text: str) -> str:
    found = next(find_all(pattern, text), None)
    return found.group() if found else ""


def _find_all(pattern: str, text: str, count: int) -> list[Any]:
    found = [match.group() for match in find_all(pattern, text)]
    return found if count < 0 else found[:count]


def _replaced(pattern: str, text: str, replacement: Callable[[re2._Match[str]], str]) -> str:
    parts: list[str] = []
    position = size = 0
    for match in find_all(pattern, text):
        start, end = match.span()
        parts += (text[position:start], replacement(match))
        size += len(parts[-1])
        bounded(size + len(text))
        position = end
    return "".join((*parts, text[position:]))


def _expand(match: re2._Match[str], replacement: str) -> str:
    def group(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, replacement)


def _split(pattern: str, text: str, count: int) -> list[Any]:
    if count == 0:
        return []
    parts: list[str] = []
    position = 0
    for match in find_all(pattern, text):
        start, end = match.span()
        if 0 < count == len(parts) + 1:
            break
        if end == 0 or (start == end == len(text)):
            # Go does not split before the first character nor after the last.
            continue
        parts.append(text[position:start])
        position = end
    return [*parts, text[position:]]


FUNCTIONS: Final[Functions] = {
    "mustRegexMatch(string, string)": lambda pattern, text: matches(text, pattern),
    "regexFind|mustRegexFind(string, string)": _find,
    "regexFindAll|mustRegexFindAll(string, string, int)": _find_all,
    "regexMatch(string, string)": _match,
    "regexQuoteMeta(string)": lambda text: re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text),
    "regexReplaceAll|mustRegexReplaceAll(string, string, string)": lambda pattern, text, replacement: _replaced(
        pattern, text, lambda match: _expand(match, replacement)
    ),
    "regexReplaceAllLiteral|mustRegexReplaceAllLiteral(string, string, string)": lambda pattern, text, replacement: (
        _replaced(pattern, text, lambda match: replacement)
    ),
    "regexSplit|mustRegexSplit(string, string, int)": _split,
}
