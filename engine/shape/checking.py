"""Documents compared with their shapes; what is wrong is said in the words of a manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
import orjson

from engine.shape.specs import Template
from engine.shape.states import Manifest, NodeStatus, Outputs


class WrongType(ValueError):
    """A field of the wrong type; the message says where it is, what was expected and what was found."""


_YEARS: Final = range(1970, 9000)

_FREE: Final = "[...]"
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_LONGEST: Final = 64
"""Characters of a key that are told."""

_PLACED: Final = re.compile(r"(?P<text>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
_MISMATCH: Final = re.compile(r"Expected `(?P<wanted>.*)`, got `(?P<found>.*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>.*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>.*)`")
_NAMES: Final = {
    "object": "a mapping",
    "array": "a list",
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "a boolean",
    "null": "nothing",
}


_TYPES: Final[dict[type, str]] = {dict: "object", list: "array", type(None): "null"}

T = TypeVar("T")


def kind_of(value: object) -> str:
    """What a value is, in the words of a manifest."""
    kind = type(value)
    return _NAMES.get(_TYPES.get(kind, kind.__name__), kind.__name__)


def check_shape(document: Mapping[str, Any]) -> None:
    """Raise `WrongType` for the first field that is of another type than Argo's; nodes are left to others."""
    try:
        status = document.get("status")
        orjson.dumps({**document, "status": {**status, "nodes": {}}} if isinstance(status, dict) else document)
    except TypeError as error:  # a lone surrogate, an integer of more than 64 bits, a key that is no string
        raise WrongType(f"not a JSON document: {error}") from None
    whole = _convert(document, Manifest)
    if whole.metadata is not None:
        _check_time("metadata.creationTimestamp", whole.metadata.creation_timestamp)
    if whole.status is not None:
        _check_time("status.startedAt", whole.status.started_at)
        _check_time("status.finishedAt", whole.status.finished_at)


def check_template(document: Mapping[str, Any]) -> None:
    """Raise `WrongType` for a template whose filled-in tags have made of it what it may not be."""
    _convert(document, Template)


def check_node(key: str, document: Any) -> None:
    """Raise `WrongType` for a node that could not be gone on from."""
    try:
        orjson.dumps(document)
    except TypeError as error:
        raise WrongType(f"not a JSON document: {error}") from None
    node = _convert(document, NodeStatus)
    if node.id != key:
        raise WrongType(f"id: expected {key!r}, got {node.id!r}")
    _check_time("startedAt", node.started_at)
    _check_time("finishedAt", node.finished_at)


def check_outputs(outputs: Mapping[str, Any]) -> None:
    """Raise `WrongType` for outputs that those who come after could not read."""
    _convert(outputs, Outputs)


def _convert(document: Any, shape: type[T]) -> T:
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise WrongType(explain(_keyed(str(error), document, shape))) from None
    except ValueError as error:  # a text that is none
        raise WrongType(str(error)) from None


def _keyed(text: str, document: Any, shape: type[Any]) -> str:
    """msgspec's message with the key of a mapping in it, where it says `[...]`: found by halves of it."""
    before, free, behind = text.partition(_FREE)
    steps = [int(index) if index else name for name, index in _STEP.findall(before.rpartition("`")[2])]
    mapping = document
    for step in steps:
        mapping = mapping[step]
    keys = [*mapping] if free else []
    while len(keys) > 1:
        half = keys[: len(keys) // 2]
        try:
            msgspec.convert(_put(document, steps, {key: mapping[key] for key in half}), shape)
        except msgspec.ValidationError as error:
            keys = half if str(error) == text else keys[len(half) :]
        else:
            keys = keys[len(half) :]
    return f"{before}.{str(keys[0])[:_LONGEST]}{behind}" if keys else text


def _put(document: Any, steps: Sequence[str | int], value: Any) -> Any:
    """A copy of the document with another value there."""
    if not steps:
        return value
    step, *further = steps
    copy = document.copy()
    copy[step] = _put(document[step], further, value)
    return copy


def _check_time(place: str, time: datetime | None) -> None:
    if time is not None and (time.year not in _YEARS or time.tzinfo is None):
        raise WrongType(f"{place}: expected a time of our age with its zone, got {time.isoformat()}")


def explain(text: str) -> str:
    """msgspec's message in the words of a manifest: ``spec.templates[0].steps: expected a list, got a string``."""
    placed = _PLACED.fullmatch(text)
    assert placed is not None
    reason = placed["text"]
    if mismatch := _MISMATCH.fullmatch(reason):
        wanted = [_NAMES.get(each, each) for each in mismatch["wanted"].split(" | ") if each != "null"]
        reason = f"expected {' or '.join(wanted)}, got {_NAMES.get(mismatch['found'], mismatch['found'])}"
    elif reason.startswith("Expected "):  # a bound, or a pattern
        reason = "e" + re.sub(r"`(\w+)`", lambda each: _NAMES.get(each[1], each[1]), reason[1:])
    elif missing := _MISSING.fullmatch(reason):
        reason = f"expected a {missing['field']}, got none"
    elif unknown := _UNKNOWN.fullmatch(reason):
        reason = f"{'a step' if '.steps[' in (placed['place'] or '') else 'this'} has no field {unknown['field']!r}"
    return f"{placed['place']}: {reason}" if placed["place"] else reason
