"""expr's conversions: between types, and to and from JSON and base64."""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.functions import Functions
from engine.expressions.gotext import from_json, go_json, go_string
from engine.expressions.values import is_number, parse_float, parse_int, truncate, type_name


def integer(value: Any) -> int:
    """expr's `int` and Argo's `asInt`: of a number, or of a string of digits."""
    if isinstance(value, str):
        return parse_int(value)
    if not is_number(value):
        raise Invalid(f"invalid operation: int({type_name(value)})")
    return truncate(value) if isinstance(value, float) else int(value)


def floating(value: Any) -> float:
    """expr's `float` and Argo's `asFloat`: of a number, or of a string that spells one."""
    if isinstance(value, str):
        return parse_float(value)
    if not is_number(value):
        raise Invalid(f"invalid operation: float({type_name(value)})")
    return float(value)


def encode64(text: str) -> str:
    """Base64 of the text's UTF-8."""
    return base64.b64encode(encoded(text)).decode()


def decode64(text: str) -> str:
    """The text that a base64 text holds; raises `Invalid` where it is none."""
    try:
        # Go's decoder skips line ends, and nothing else.
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError) as error:
        raise Invalid("illegal base64 data") from error


def encoded(text: str) -> bytes:
    """The text's UTF-8; raises `Invalid` for half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"invalid text: {error.reason}") from error


FUNCTIONS: Final[Functions] = {
    "float(any)": floating,
    "fromBase64(string)": decode64,
    "fromJSON(string)": from_json,
    "int(any)": integer,
    "string(any)": go_string,
    "toBase64(string)": encode64,
    "toJSON(any)": partial(go_json, indent=True),
    "type(any)": type_name,
}
