"""Fields that no type of Argo's or Kubernetes' has, as `argo submit` refuses them, and those of another shape.

It decodes with sigs.k8s.io/json's UnmarshalStrict (workflow/common/parse.go): names count to the letter, and any that
is unknown is refused. With ``--strict=false`` it is encoding/json that decodes, which takes a name in any capitals, and
drops what it does not know. A step is decoded by hand: its own fields are strict in either case, what is in them never.
None of them takes a list for a mapping, or either for a single value, or the other way round.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple

from engine.shape import WrongType, kind_of

ANY: Final = "?"
SCALARS: Final = frozenset({"", "integer", "number", "boolean", ANY})
"""Types of what has no fields that could be known, as `engine.manifests.schema` writes them."""

_STEP: Final = "WorkflowStep"
_SINGLE: Final = {"integer": "a whole number", "number": "a number", "boolean": "a boolean"}
_LONGEST: Final = 64
"""Characters of a name that a field may have been meant by."""

_Way = tuple["_Way", str] | None
"""How a value was come to: from where, and by which step."""


class UnknownField(NamedTuple):
    """A field that there is not: where it is, what may have been meant, and whether it is refused."""

    place: str
    guess: str
    refused: bool

    def __str__(self) -> str:
        return f"{self.place}: unknown field" + (f", is it {self.guess!r}?" if self.guess else "")


@functools.cache
def _types() -> dict[str, dict[str, str]]:
    """By type its fields, each with the type of its value; `engine.manifests.schema` says how that is written."""
    types: dict[str, dict[str, str]] = json.loads((files(__package__) / "fields.json").read_bytes())
    return types


def unknown_fields(document: dict[str, Any], *, strict: bool) -> Iterator[UnknownField]:
    """The fields of a Workflow, CronWorkflow or template that there are not.

    Its status is not looked at, nor a workflow that has begun: plugins may have given it fields of their own. Where
    Argo would take a name whatever its capitals, it is put right in the document. Raises `WrongType` where a list, a
    mapping or a single value stands in the place of another of these.
    """
    types = _types()
    kind = document["kind"]
    if kind not in types or (document.get("status") or {}).get("phase"):
        return
    found: list[tuple[Any, str, _Way, bool]] = [(document, kind, None, strict)]
    while found:
        value, kind, way, exact = found.pop()
        if value is None or kind == ANY:
            continue
        if wanted := _mismatch(value, kind):
            raise WrongType(f"{_place(way)}: expected {wanted}, got {kind_of(value)}")
        if kind.endswith(ANY):
            continue
        if isinstance(value, list):
            found += [(each, kind[2:], (way, f"[{index}]"), exact) for index, each in reversed([*enumerate(value)])]
        elif kind.startswith("*"):
            found += [(each, kind[1:], (way, f".{name}"), exact) for name, each in reversed(value.items())]
        elif isinstance(value, dict):
            fields = types[kind]
            within = []
            for name in [*value]:
                field = name if name in fields or exact or kind == _STEP else _same(name, fields, value)
                if field not in fields:
                    yield UnknownField(_place((way, f".{name}")), _guess(name, fields), exact or kind == _STEP)
                    continue
                if field != name:
                    value[field] = value.pop(name)
                if fields[field] not in SCALARS or isinstance(value[field], list | dict):
                    within.append((value[field], fields[field], (way, f".{field}"), exact and kind != _STEP))
            found += reversed(within)


def _mismatch(value: Any, kind: str) -> str:
    """What was expected instead, where that is of another shape; empty if it is not. Of single values any will do."""
    if kind.startswith("[]"):
        return "" if isinstance(value, list) else "a list"
    if kind not in SCALARS:
        return "" if isinstance(value, dict) else "a mapping"
    return _SINGLE.get(kind, "a string") if isinstance(value, list | dict) else ""


def _same(name: str, fields: Mapping[str, str], given: Mapping[str, Any]) -> str:
    """The field of that name but for its capitals, if it is not given besides."""
    lower = name.lower()
    return next((field for field in fields if field.lower() == lower and field not in given), name)


def _place(way: _Way) -> str:
    steps = []
    while way is not None:
        way, step = way
        steps.append(step)
    return "".join(reversed(steps)).lstrip(".")


def _guess(name: str, fields: Mapping[str, str]) -> str:
    """The field that is meant: one level further down, or spelt like it; empty if it looks like none."""
    for field, kind in fields.items():
        if name in _types().get(kind.removeprefix("[]"), ()):
            return f"{field}.{name}"
    by_lower = {field.lower(): field for field in fields}
    close = difflib.get_close_matches(name.lower(), by_lower, 1) if len(name) <= _LONGEST else []
    return by_lower[close[0]] if close else ""
