"""What a plain YAML scalar means, by the rules of go-yaml v2, which sigs.k8s.io/yaml and so Kubernetes follow."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_FINITE: Final = frozenset(
    sign + word
    for sign, words in (("", (".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF")), ("+", (".inf", ".Inf", ".INF")))
    for word in words
) | {"-.inf", "-.Inf", "-.INF"}
_NUMERIC: Final = frozenset("+-.0123456789")
# Go's ParseInt with base 0: a leading 0 is octal.
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar. Timestamps stay strings, integers beyond 64 bits become floats.

    Raises ValueError for a number that is not finite: JSON, and with it Kubernetes, has none.
    """
    if text[:1] not in _NUMERIC:
        return _WORDS.get(text, text)
    if text in _NOT_FINITE:
        raise ValueError(f"expected a finite number, found {text}")
    digits = text.replace("_", "") if text[0] != "." else text
    if len(digits) <= 80 and _INTEGER.fullmatch(digits):
        return _integer(digits)
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            raise ValueError(f"expected a finite number, found {text[:40]}")
        # Kubernetes turns YAML into JSON first, in which Go writes 2.0 as 2.
        return int(number) if number.is_integer() and abs(number) < 1 << 63 else number
    return text


def _integer(digits: str) -> int | float:
    unsigned = digits.lstrip("+-")
    base = 10
    if len(unsigned) > 1 and unsigned[0] == "0":
        base = {"x": 16, "b": 2, "o": 8}.get(unsigned[1].lower(), 8)
    number = int(unsigned[2:] if base != 8 or unsigned[1] in "oO" else unsigned, base) if base != 10 else int(unsigned)
    if digits[0] == "-":
        number = -number
    return number if -(1 << 63) <= number < 1 << 64 else float(number)
