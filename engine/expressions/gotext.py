"""How Go writes values as text: `%v`, `%q`, and the JSON of json.Marshal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from engine.expressions.budget import budgeted, spend, visit
from engine.expressions.errors import Invalid
from engine.expressions.times import RFC3339_NANO, Duration, Time, Zone
from engine.expressions.values import type_name


def go_float(value: float) -> str:
    """The shortest text that gives the float back, with an exponent below 1e-4 and from 1e6 on: Go's `%v`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    number = Decimal(repr(value)).normalize()
    if -4 <= number.adjusted() < 6:
        return f"{number:f}"
    mantissa, _, exponent = f"{number:e}".partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:]:0>2}"


def go_string(value: object) -> str:
    """Go's `%v`: what `string()` gives and sprig's functions on strings make of other values."""
    if not isinstance(value, list | Mapping):
        return _text(value)
    with budgeted():
        return _text(value)


def _text(value: object) -> str:
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return go_float(value)
        case str():
            spend(len(value) >> 3)
            return value
        case list():
            visit(value)
            return f"[{' '.join(map(_text, value))}]"
        case Mapping():
            visit(value)
            return f"map[{' '.join(f'{key}:{_text(value[key])}' for key in sorted(value, key=str))}]"
        case _:
            return str(value)


def _json_float(value: float) -> str:
    """A float as encoding/json writes it: all its digits between 1e-6 and 1e21, with an exponent outside."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return f"{Decimal(repr(value)):f}".removesuffix(".0")
    mantissa, _, exponent = f"{Decimal(repr(value)).normalize():e}".partition("e")
    return f"{mantissa}e{exponent}"


def _plain(value: object) -> object:
    """A copy of a value that orjson writes as Go would: whole floats as integers, times as text."""
    match value:
        case float():
            if not math.isfinite(value):
                raise Invalid(f"json: unsupported value: {go_string(value)}")
            return int(value) if value.is_integer() and abs(value) < 2**53 else orjson.Fragment(_json_float(value))
        case list():
            visit(value)
            return [_plain(element) for element in value]
        case Mapping():
            visit(value)
            return {str(key): _plain(element) for key, element in value.items()}
        case str():
            spend(len(value) >> 3)
            return value
        case None | bool() | int():
            return value
        case Time():
            return value.format(RFC3339_NANO)
        case Duration():
            return value.nanoseconds
        case Zone():
            return {}
        case _:
            raise Invalid(f"json: unsupported type: {type_name(value)}")


def html_safe(text: str) -> str:
    """A JSON text as Go's json.Marshal writes it: what HTML or JavaScript gives a meaning to is escaped."""
    for character in "<>&\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def go_json(value: object, *, indent: bool = False, html: bool = True) -> str:
    """The JSON text that Go's json.Marshal writes: sorted keys, `<`, `>` and `&` escaped unless `html` is False."""
    option = orjson.OPT_SORT_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        if isinstance(value, list | Mapping):
            with budgeted():
                text = orjson.dumps(_plain(value), option=option).decode()
        else:
            text = orjson.dumps(_plain(value), option=option).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise Invalid(f"json: {error}") from error
    return html_safe(text) if html else text


def from_json(text: str) -> object:
    """A JSON text as a value. Its numbers are floats, as they are where Go decodes into `any`."""
    try:
        return _floats(orjson.loads(text))
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise Invalid(f"json: {error}") from error


def _floats(value: Any) -> Any:
    match value:
        case bool() | None | str() | float():
            return value
        case int():
            return float(value)
        case list():
            visit(value)
            return [_floats(element) for element in value]
        case _:
            visit(value)
            return {key: _floats(element) for key, element in value.items()}


_QUOTED: Final = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}


def go_quote(text: str) -> str:
    """Go's `%q`: the text as a Go string literal."""

    spend(len(text))

    def character(each: str) -> str:
        if each in '"\\':
            return f"\\{each}"
        if each in _QUOTED:
            return _QUOTED[each]
        if each.isprintable():
            return each
        code = ord(each)
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return '"' + "".join(map(character, text)) + '"'
