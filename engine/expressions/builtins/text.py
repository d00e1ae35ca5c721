"""expr's functions on strings."""

from __future__ import annotations

from typing import Any, Final

from engine.expressions.budget import bounded, spend
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.values import type_name

SPACE: Final = "\t\n\v\f\r \x85\xa0"
"""What Go's strings.TrimSpace takes off, within Latin-1."""


def repeated(text: str, count: int) -> str:
    """The text `count` times over."""
    if count < 0:
        raise Invalid("negative repeat count")
    bounded(len(text) * count)
    return text * count


def split(text: str, separator: str, limit: int = -1) -> list[Any]:
    """Go's strings.SplitN: an empty separator splits into characters, `limit` bounds the number of parts."""
    if limit == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
    return list(text.split(separator, limit - 1 if limit > 0 else -1))


def _split_after(text: str, separator: str, limit: int = -1) -> list[Any]:
    parts = split(text, separator, limit)
    return [*(part + separator for part in parts[:-1]), *parts[-1:]]


def join(parts: list[Any], separator: str = "") -> str:
    """The strings of a list with a separator between them."""
    for part in parts:
        if not isinstance(part, str):
            raise Invalid(f"cannot join {type_name(part)}")
    bounded(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """Replaces the first `count` occurrences, or all; an empty `old` matches around each character."""
    bounded(len(text) + text.count(old) * len(new))
    return text.replace(old, new, count)


def trim(text: str, characters: str = SPACE) -> str:
    """The text without those of the characters that it begins or ends with."""
    spend(len(text) * len(characters) >> 10)
    return text.strip(characters)


FUNCTIONS: Final[Functions] = {
    "hasPrefix(string, string)": str.startswith,
    "hasSuffix(string, string)": str.endswith,
    "indexOf(string, string)": str.find,
    "join(array, string?)": join,
    "lastIndexOf(string, string)": str.rfind,
    "lower(string)": str.lower,
    "repeat(string, int)": repeated,
    "replace(string, string, string, int?)": replace,
    "split(string, string, int?)": split,
    "splitAfter(string, string, int?)": _split_after,
    "trim(string, string?)": trim,
    "trimPrefix(string, string)": str.removeprefix,
    "trimSuffix(string, string)": str.removesuffix,
    "upper(string)": str.upper,
}
