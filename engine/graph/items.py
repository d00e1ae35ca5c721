"""Loops: what `withItems`, `withParam` and `withSequence` expand to, and how Argo names the result."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from engine.variables import json_map, text_of

MAX_ITEMS: Final = 1_000_000
"""What one loop may expand to; a `withSequence` from a mistyped parameter must not take the machine with it."""

# Go's fmt verbs for an integer that mean the same to Python.
_FORMAT: Final = re.compile(r"%[-+ 0#]*\d*[dxXoc]")


class LoopError(Exception):
    """A loop that cannot be expanded; the message is the node's."""


class Item(NamedTuple):
    """One turn of a loop: the suffix of its node's name, and the variables `item` and `item.<key>`."""

    suffix: str
    values: dict[str, Any]


def items(loop: Mapping[str, Any], needed: Collection[str] = ()) -> Iterator[Item]:
    """The turns of a loop whose tags are already substituted; every item must have the `needed` keys.

    Raises `LoopError` at once, not in the middle of the turns.
    """
    if loop.get("withItems") is not None:
        values: Iterable[Any] = loop["withItems"]
    elif loop.get("withParam") is not None:
        values = _param(loop["withParam"])
    else:
        values = _sequence(loop["withSequence"])
    if needed:
        values = list(values)
        for index, value in enumerate(values):
            for key in needed:
                if not isinstance(value, dict) or key not in value:
                    raise LoopError(f"failed to resolve {{{{item.{key}}}}}: item {index} has no {key!r}")
    return (_item(index, value) for index, value in enumerate(values))


def _item(index: int, value: Any) -> Item:
    if isinstance(value, dict):
        texts = {key: text_of(field) for key, field in value.items()}
        label = ",".join(sorted(f"{key}:{text}" for key, text in texts.items()))
        fields: dict[str, Any] = {f"item.{key}": text for key, text in texts.items()}
        return Item(f"({index}:{label})", {"item": json_map(value), **fields})
    if isinstance(value, list):
        label = "[" + " ".join(text_of(entry) for entry in value) + "]"
        return Item(f"({index}:{label})", {"item": orjson.dumps(value).decode()})
    text = text_of(value)
    return Item(f"({index}:{text})", {"item": text})


def _param(text: Any) -> list[Any]:
    try:
        values = text if isinstance(text, list) else orjson.loads(text)
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, list):
        raise LoopError(f"withParam value could not be parsed as a JSON list: {str(text).strip()}")
    return values


def _sequence(sequence: Mapping[str, Any]) -> Iterator[str]:
    start = _integer(sequence, "start") or 0
    count = _integer(sequence, "count")
    if count is not None:
        if count <= 0:
            return iter(())
        end = start + count - 1
    else:
        last = _integer(sequence, "end")
        if last is None:
            raise LoopError("must have a count or an end in withSequence")
        end = last
    # An end below the start counts down (Argo's expandSequence).
    numbers = range(start, end + 1) if start <= end else range(start, end - 1, -1)
    if len(numbers) > MAX_ITEMS:
        raise LoopError(f"withSequence expands to {len(numbers)} items, {MAX_ITEMS} are allowed")
    form = sequence.get("format") or "%d"
    if len(_FORMAT.findall(form)) != 1 or form.replace("%%", "").count("%") != 1:
        raise LoopError(f"withSequence format {form!r}: expected one verb for an integer, such as %02d")
    return (form % number for number in numbers)


def _integer(sequence: Mapping[str, Any], field: str) -> int | None:
    value = sequence.get(field)
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise LoopError(f"withSequence {field}: expected an integer, got {value!r}") from error
