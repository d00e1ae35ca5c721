"""sprig's functions on strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.expressions.budget import bounded, spend
from engine.expressions.builtins import text as texts
from engine.expressions.errors import Invalid
from engine.expressions.functions import on_text, text_last
from engine.expressions.gotext import go_quote, go_string


def strings_of(value: Any) -> list[str]:
    """Every element as a string, nil left out; a single value counts as a list of one."""
    if isinstance(value, list):
        return [go_string(element) for element in value if element is not None]
    return [] if value is None else [go_string(value)]


def _trim(text: str) -> str:
    return texts.trim(text)


def _title(text: str) -> str:
    spend(len(text))
    return re.sub(r"(?<!\w)\w", lambda letter: letter[0].upper(), text)


def _untitle(text: str) -> str:
    spend(len(text))
    return re.sub(r"(?<!\S)\w", lambda letter: letter[0].lower(), text)


def _nospace(text: str) -> str:
    return "".join(text.split())


def _initials(text: str) -> str:
    return "".join(word[0] for word in text.split())


def _repeat(count: int, text: str) -> str:
    return texts.repeated(text, count)


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


def _quote(*values: Any) -> str:
    return " ".join(go_quote(go_string(value)) for value in values if value is not None)


def _squote(*values: Any) -> str:
    return " ".join(f"'{go_string(value)}'" for value in values if value is not None)


def _cat(*values: Any) -> str:
    return " ".join(go_string(value) for value in values if value is not None)


def _indent(spaces: int, text: str) -> str:
    if spaces < 0:
        raise Invalid("negative repeat count")
    bounded(spaces * (text.count("\n") + 1) + len(text))
    pad = " " * spaces
    return pad + text.replace("\n", f"\n{pad}")


def _nindent(spaces: int, text: str) -> str:
    return f"\n{_indent(spaces, text)}"


def _replace(old: str, new: str, text: str) -> str:
    return texts.replace(text, old, new)


def _plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def _words(text: str) -> list[str]:
    spend(len(text))
    text = re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])|(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return [word.lower() for word in re.split(r"[\s_\-.]+", text) if word]


def _snakecase(text: str) -> str:
    return "_".join(_words(text))


def _kebabcase(text: str) -> str:
    return "-".join(_words(text))


def _camelcase(text: str) -> str:
    return "".join(word.capitalize() for word in _words(text))


def _numbered(parts: list[Any]) -> dict[str, Any]:
    return {f"_{index}": part for index, part in enumerate(parts)}


def _split(separator: str, text: str) -> dict[str, Any]:
    return _numbered(texts.split(text, separator))


def _splitn(separator: str, count: int, text: str) -> dict[str, Any]:
    return _numbered(texts.split(text, separator, count))


def _split_list(separator: str, text: str) -> list[Any]:
    return texts.split(text, separator)


def _join(separator: str, value: Any) -> str:
    parts = strings_of(value)
    bounded(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _sort_alpha(value: Any) -> list[Any]:
    return sorted(strings_of(value)) if isinstance(value, list) else [go_string(value)]


def _to_strings(value: Any) -> list[Any]:
    return list(strings_of(value))


def _fail(message: str) -> str:
    raise Invalid(message)


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "abbrev": _abbreviate,
    "abbrevboth": _abbreviate_both,
    "camelcase": _camelcase,
    "cat": _cat,
    "contains": text_last(str.__contains__),
    "fail": _fail,
    "hasPrefix": text_last(str.startswith),
    "hasSuffix": text_last(str.endswith),
    "hello": lambda: "Hello!",
    "indent": _indent,
    "initials": _initials,
    "join": _join,
    "kebabcase": _kebabcase,
    "lower": on_text(str.lower),
    "nindent": _nindent,
    "nospace": _nospace,
    "plural": _plural,
    "quote": _quote,
    "repeat": _repeat,
    "replace": _replace,
    "snakecase": _snakecase,
    "sortAlpha": _sort_alpha,
    "split": _split,
    "splitList": _split_list,
    "splitn": _splitn,
    "squote": _squote,
    "substr": _substring,
    "swapcase": on_text(str.swapcase),
    "title": _title,
    "toString": lambda value: go_string(value),
    "toStrings": _to_strings,
    "trim": _trim,
    "trimAll": text_last(texts.trim),
    "trimPrefix": text_last(str.removeprefix),
    "trimSuffix": text_last(str.removesuffix),
    "trimall": text_last(texts.trim),
    "trunc": _truncate,
    "untitle": _untitle,
    "upper": on_text(str.upper),
}
