"""sprig's functions on strings."""

from __future__ import annotations

import re
from typing import Any, Final

from engine.expressions.budget import bounded, spend
from engine.expressions.builtins import text as texts
from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.gotext import go_quote, go_string


def _strings(value: Any) -> list[str]:
    """Every element as a string, nil left out; a single value counts as a list of one."""
    if isinstance(value, list):
        return [go_string(element) for element in value if element is not None]
    return [] if value is None else [go_string(value)]


def _title(text: str) -> str:
    spend(len(text))
    return re.sub(r"(?<!\w)\w", lambda letter: letter[0].upper(), text)


def _untitle(text: str) -> str:
    spend(len(text))
    return re.sub(r"(?<!\S)\w", lambda letter: letter[0].lower(), text)


def _substring(start: int, end: int, text: str) -> str:
    if start < 0:
        return text[:end]
    if end < 0 or end > len(text):
        return text[start:]
    return text[start:end]


def _truncate(length: int, text: str) -> str:
    if length < 0:
        return text[length:] if len(text) + length > 0 else text
    return text[:length]


def _abbreviate(width: int, text: str) -> str:
    return text if width < 4 or len(text) <= width else f"{text[: width - 3]}..."


def _abbreviate_both(offset: int, width: int, text: str) -> str:
    if width < 4 or (offset > 0 and width < 7) or len(text) <= width:
        return text
    offset = min(offset, len(text))
    if len(text) - offset <= width - 3:
        offset = len(text) - (width - 3)
    if offset <= 4:
        return f"{text[: width - 3]}..."
    if offset + width - 3 < len(text):
        return f"...{_abbreviate(width - 3, text[offset:])}"
    return f"...{text[len(text) - (width - 3) :]}"


def _indent(spaces: int, text: str) -> str:
    if spaces < 0:
        raise Invalid("negative repeat count")
    bounded(spaces * (text.count("\n") + 1) + len(text))
    pad = " " * spaces
    return pad + text.replace("\n", f"\n{pad}")


def _words(text: str) -> list[str]:
    spend(len(text))
    text = re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return [word.lower() for word in re.split(r"[\s_\-.]+", text) if word]


def _numbered(parts: list[Any]) -> dict[str, Any]:
    return {f"_{index}": part for index, part in enumerate(parts)}


def _sort_alpha(value: Any) -> list[Any]:
    return sorted(_strings(value)) if isinstance(value, list) else [go_string(value)]


def _fail(message: str) -> str:
    raise Invalid(message)


FUNCTIONS: Final[Functions] = {
    "abbrev(int, string)": _abbreviate,
    "abbrevboth(int, int, string)": _abbreviate_both,
    "camelcase(string)": lambda text: "".join(word.capitalize() for word in _words(text)),
    "cat(any...)": lambda *values: " ".join(_strings(list(values))),
    "contains(string, string)": lambda part, text: part in text,
    "fail(string)": _fail,
    "hasPrefix(string, string)": lambda prefix, text: text.startswith(prefix),
    "hasSuffix(string, string)": lambda suffix, text: text.endswith(suffix),
    "hello()": lambda: "Hello!",
    "indent(int, string)": _indent,
    "initials(string)": lambda text: "".join(word[0] for word in text.split()),
    "join(string, any)": lambda separator, value: texts.join(_strings(value), separator),
    "kebabcase(string)": lambda text: "-".join(_words(text)),
    "lower(string)": str.lower,
    "nindent(int, string)": lambda spaces, text: f"\n{_indent(spaces, text)}",
    "nospace(string)": lambda text: "".join(text.split()),
    "plural(string, string, int)": lambda one, many, count: one if count == 1 else many,
    "quote(any...)": lambda *values: " ".join(map(go_quote, _strings(list(values)))),
    "repeat(int, string)": lambda count, text: texts.repeated(text, count),
    "replace(string, string, string)": lambda old, new, text: texts.replace(text, old, new),
    "snakecase(string)": lambda text: "_".join(_words(text)),
    "sortAlpha(any)": _sort_alpha,
    "split(string, string)": lambda separator, text: _numbered(texts.split(text, separator)),
    "splitList(string, string)": lambda separator, text: texts.split(text, separator),
    "splitn(string, int, string)": lambda separator, count, text: _numbered(texts.split(text, separator, count)),
    "squote(any...)": lambda *values: " ".join(f"'{text}'" for text in _strings(list(values))),
    "substr(int, int, string)": _substring,
    "swapcase(string)": str.swapcase,
    "title(string)": _title,
    "toString(any)": go_string,
    "toStrings(any)": _strings,
    "trim(string)": texts.trim,
    "trimAll|trimall(string, string)": lambda characters, text: texts.trim(text, characters),
    "trimPrefix(string, string)": lambda prefix, text: text.removeprefix(prefix),
    "trimSuffix(string, string)": lambda suffix, text: text.removesuffix(suffix),
    "trunc(int, string)": _truncate,
    "untitle(string)": _untitle,
    "upper(string)": str.upper,
}
