"""Loops: what `withItems`, `withParam` and `withSequence` expand to, and how Argo names the result."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, Final

import msgspec
import orjson

from engine.expressions.errors import Invalid
from engine.expressions.gotext import go_json
from engine.model.pace import FEW
from engine.substitution.variables import compact_json, text_of

MAX_ITEMS: Final = 1_000_000
"""What one loop may expand to; a `withSequence` from a mistyped parameter must not take the machine with it."""

_FORMAT: Final = re.compile(r"(?<!%)(?:%%)*?%([-+ 0#]*)(\d{0,3})([dvxXobc])")
"""Go's verbs for an integer, `%v` being `%d`."""
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}")

_UNBRACKETED: Final = str.maketrans("", "", "()")

_elements: Final = msgspec.json.Decoder(list[msgspec.Raw])
_list: Final = msgspec.json.Decoder(list[msgspec.Raw] | None)
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class LoopError(Exception):
    """A loop that cannot be expanded; the message is the node's."""


class Item(msgspec.Struct, gc=False):
    """One turn of a loop: the suffix of its node's name, and the variables `item` and `item.<key>`."""

    suffix: str
    values: dict[str, Any]


class Turns:
    """The turns of a loop, as often as they are gone through, each from the JSON of its item."""

    __slots__ = ("_values",)

    def __init__(self, values: Callable[[], Iterator[bytes]]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Item]:
        return map(_item, count(), self._values())

    def suffixes(self) -> Iterator[str]:
        """What each adds to its node's name."""
        return map(_suffix_of, count(), self._values())


def items(
    loop: Mapping[str, Any], needed: Collection[str] = (), room: int = MAX_ITEMS
) -> Generator[None, None, Turns | None]:
    """The turns of a loop whose tags are already substituted; every item must have the `needed` keys.

    There may be `MAX_ITEMS` of them, and no more than there is ``room`` for in the workflow.

    None where there is nothing to loop over: an empty list written out, or a `withParam` that turned out as an empty
    text, makes a plain step of it (Argo's ShouldExpand). Raises `LoopError` at once, not in the middle of the turns.
    """
    values: Callable[[], Iterator[bytes]]
    if loop.get("withItems"):
        _count("withItems", len(loop["withItems"]), room)
        values = partial(_listed, loop["withItems"])
    elif loop.get("withParam"):
        values = partial(map, bytes, _param(text_of(loop["withParam"]), room))
    elif loop.get("withSequence") is not None:
        numbers, written = _numbers(loop["withSequence"])
        _count("withSequence", len(numbers), room)
        values = partial(_sequence, numbers, written)
    else:
        return None
    if needed:
        for index, value in enumerate(values()):
            known = _fields.decode(value) if value.startswith(b"{") else {}
            for key in needed:
                if key not in known:
                    raise LoopError(f"failed to resolve {{{{item.{key}}}}}: item {index} has no {key!r}")
            if not index % FEW:
                yield
    return Turns(values)


def _count(kind: str, found: int, room: int) -> None:
    if found > MAX_ITEMS:
        raise LoopError(f"{kind} expands to {found} items, {MAX_ITEMS} are allowed")
    if found > room:
        raise LoopError(f"{kind} expands to {found} items, and the workflow has room for {room} more nodes")


def _item(index: int, raw: bytes) -> Item:
    """One turn, from its JSON: what is not a text keeps the digits it was written with (Argo's Item)."""
    plain = raw[1:-1] if raw[:1] == b'"' else raw
    if plain.isalnum() and (raw[:1] == b'"' or raw.isdigit()):  # most are no more than a word or a number
        text = plain.decode()
        return Item(f"({index}:{text})", {"item": text})
    match raw[:1]:
        case b"{":
            fields = {key: bytes(field) for key, field in sorted(_fields.decode(raw).items())}
            label = ",".join(sorted(f"{key}:{_label(field)}" for key, field in fields.items()))
            whole = b",".join(orjson.dumps(key) + b":" + field for key, field in fields.items())
            values = {f"item.{key}": _text(field) for key, field in fields.items()}
            return Item(_suffix(index, label), {"item": compact_json(b"{" + whole + b"}"), **values})
        case b"[":
            label = " ".join(_label(bytes(element)) for element in _elements.decode(raw))
            return Item(_suffix(index, f"[{label}]"), {"item": compact_json(raw)})
        case b"n":  # to Argo a list of nothing
            return Item(_suffix(index, "[]"), {"item": "null"})
        case _:
            return Item(_suffix(index, _label(raw)), {"item": _text(raw)})


def _suffix_of(index: int, raw: bytes) -> str:
    plain = raw[1:-1]
    return f"({index}:{plain.decode()})" if raw[:1] == b'"' and plain.isalnum() else _item(index, raw).suffix


def _text(raw: bytes) -> str:
    found: str = orjson.loads(raw) if raw[:1] == b'"' else _label(raw)
    return found


def _label(raw: bytes) -> str:
    """A JSON text as Go's `%v` writes it in the name of a node (Argo's Item.String): without spaces, and what stands
    in quotes without those around it, but with its backslashes."""
    text = raw.decode()
    if raw[:1] in b'"[{' and not text[1:-1].isalnum():
        text = compact_json(raw)
        for character in "<>&":
            text = text.replace(f"\\u{ord(character):04x}", character)
    return text[1:-1] if raw[:1] == b'"' else text


def _suffix(index: int, label: str) -> str:
    """What a turn adds to its node's name, in which parentheses mean something."""
    return f"({index}:{label.translate(_UNBRACKETED) if '(' in label or ')' in label else label})"


def _listed(values: list[Any]) -> Iterator[bytes]:
    try:
        for value in values:
            yield go_json(value).encode()
    except Invalid as error:
        raise LoopError(f"withItems: {error}") from error


def _param(text: str, room: int) -> list[msgspec.Raw]:
    """The elements of a JSON list, each as it is written there: no number is beyond a RawMessage of Go's."""
    try:
        found = _list.decode(text) or []  # null is to Go a list of nothing
        _count("withParam", len(found), room)
        return found
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        pass
    raise LoopError(f"withParam value could not be parsed as a JSON list: {text.strip()}")


def _sequence(numbers: range, written: Callable[[int], str]) -> Iterator[bytes]:
    return (orjson.dumps(written(number)) for number in numbers)


def _numbers(sequence: Mapping[str, Any]) -> tuple[range, Callable[[int], str]]:
    start = _integer(sequence, "start") or 0
    end = _integer(sequence, "end")
    if end is None:
        total = _integer(sequence, "count")
        if total is None:
            raise LoopError("neither end nor count was specified in withSequence")
        if total == 0:
            return range(0), str
        end = start + total - 1
    # An end below the start counts down (Argo's expandSequence).
    numbers = range(start, end + 1) if start <= end else range(start, end - 1, -1)
    return numbers, _formatter(sequence.get("format") or "%d", numbers)


def _formatter(form: str, numbers: range) -> Callable[[int], str]:
    """The format as Go's Sprintf understands it, for the verbs that write an integer."""
    verb = _FORMAT.search(form)
    if verb is None or form.replace("%%", "").count("%") != 1:
        raise LoopError(f"withSequence format {form!r}: expected one verb for an integer, such as %02d")
    flags, width, kind = verb[1], verb[2], verb[3].replace("v", "d")
    if kind == "c" and not 0 <= min(numbers) <= max(numbers) <= sys.maxunicode:
        raise LoopError(f"withSequence format {form!r}: not all of {numbers[0]} to {numbers[-1]} are characters")
    sign = "+" if "+" in flags else " " if " " in flags else ""
    align = "<" if "-" in flags else "" if "0" in flags and kind != "c" else ">"
    alternate = "#" if "#" in flags and kind != "c" else ""
    zero = "0" if align == "" else ""
    spec = f"{align}{sign if kind != 'c' else ''}{alternate}{zero}{width}{kind}"
    before, after = (part.replace("%%", "%") for part in (form[: verb.start(1) - 1], form[verb.end() :]))
    return lambda number: f"{before}{number:{spec}}{after}"


def _integer(sequence: Mapping[str, Any], field: str) -> int | None:
    value = sequence.get(field)
    if value is None:
        return None
    if not _INTEGER.fullmatch(str(value)):
        raise LoopError(f"withSequence {field}: expected an integer, got {value!r}")
    return int(value)
