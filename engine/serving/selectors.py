"""Label and field selectors, in the notation of Kubernetes (apimachinery's `labels.Parse`, `fields.ParseSelector`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from engine.serving.errors import invalid

_KEY: Final = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_IN: Final = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*(?:,|$)")
_EQUAL: Final = re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*({_VALUE})\s*(?:,|$)")
_COMPARED: Final = re.compile(rf"\s*({_KEY})\s*([<>])\s*(-?[0-9]{{1,19}})\s*(?:,|$)")
_EXISTS: Final = re.compile(rf"\s*(!?)\s*({_KEY})\s*(?:,|$)")
_ONE_KEY: Final = re.compile(_KEY)
_ONE_VALUE: Final = re.compile(_VALUE)
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")

LONGEST: Final = 16 * 1024
"""Characters of a selector; a URL is not longer with most proxies."""


class Requirement(NamedTuple):
    """One of the conditions that are joined by commas. ``operator`` is one of ``in notin exists ! < >``."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """As Kubernetes has it: `notin` and ``!=`` hold also where there is no such label."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value not in self.values
        if self.operator in ("exists", "!"):
            return (value is not None) == (self.operator == "exists")
        if value is None or not _WHOLE.fullmatch(value):
            return False
        (bound,) = self.values
        return int(value) > int(bound) if self.operator == ">" else int(value) < int(bound)


Selector = Callable[[Mapping[str, str]], bool]
"""Whether these labels, or fields, are selected."""


def check_labels(field: str, labels: Mapping[str, str | None]) -> None:
    """Raise `ApiError` for labels that no selector could name, and Kubernetes refuses."""
    _check_keys(field, labels)
    for key, value in labels.items():
        if not _ONE_VALUE.fullmatch(value or ""):
            raise invalid(
                f"{field}.{key}: expected at most 63 letters, digits, '-', '_' and '.', of which the first and the last"
                f" are a letter or digit, got {value!r}"
            )


def check_annotations(field: str, annotations: Iterable[str]) -> None:
    """Raise `ApiError` for annotations that Kubernetes refuses: their keys are those of labels, in any case."""
    _check_keys(field, map(str.lower, annotations))


def _check_keys(field: str, keys: Iterable[str]) -> None:
    for key in keys:
        if not _ONE_KEY.fullmatch(key):
            raise invalid(f"{field}: expected keys such as example.com/name, of at most 63 characters, got {key!r}")


def label_selector(text: str) -> Selector:
    """What a ``labelSelector`` says; all where it is empty. Raises `ApiError`."""
    requirements = label_requirements(text)
    return lambda labels: all(each.matches(labels) for each in requirements)


def label_requirements(text: str) -> list[Requirement]:
    """The conditions of a ``labelSelector``, all of which are to hold. Raises `ApiError`."""
    if len(text) > LONGEST:
        raise invalid(f"labelSelector: expected at most {LONGEST:,} characters, got {len(text):,}")
    requirements, at = list[Requirement](), 0
    while text[at:].strip():
        if found := _IN.match(text, at):
            values = [each.strip() for each in found[3].split(",")]
            wrong = [each for each in values if not _ONE_VALUE.fullmatch(each)]
            if wrong:
                raise invalid(f"labelSelector: expected values of labels in {found[0].strip()!r}, got {wrong[0]!r}")
            requirements.append(Requirement(found[1], found[2], frozenset(values)))
        elif found := _EQUAL.match(text, at):
            operator = "notin" if found[2] == "!=" else "in"
            requirements.append(Requirement(found[1], operator, frozenset({found[3]})))
        elif found := _COMPARED.match(text, at):
            requirements.append(Requirement(found[1], found[2], frozenset({found[3]})))
        elif found := _EXISTS.match(text, at):
            requirements.append(Requirement(found[2], found[1] or "exists"))
        else:
            raise invalid(
                f"labelSelector: expected KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A,B), KEY or !KEY, "
                f"got {text[at:].strip()!r}"
            )
        at = found.end()
        if text[:at].rstrip().endswith(",") and not text[at:].strip():
            raise invalid(f"labelSelector: expected a condition after the last comma, got {text!r}")
    return requirements


class FieldRequirement(NamedTuple):
    """A field that is to have a value, or any other."""

    field: str
    operator: str
    value: str


def field_requirements(
    text: str, known: Collection[str], operators: Collection[str] = ("=", "==", "!=")
) -> list[FieldRequirement]:
    """The conditions of a ``fieldSelector``. Raises `ApiError`, also for a field that is not `known`."""
    if len(text) > LONGEST:
        raise invalid(f"fieldSelector: expected at most {LONGEST:,} characters, got {len(text):,}")
    found = list[FieldRequirement]()
    by_length = sorted(operators, key=len, reverse=True)
    split = re.compile(rf"([^=!<>]+?)\s*({'|'.join(map(re.escape, by_length))})(.*)", re.DOTALL)
    for part in filter(None, map(str.strip, text.split(","))):  # an empty one says nothing, to Kubernetes either
        match = split.fullmatch(part)
        if match is None:
            raise invalid(f"fieldSelector: expected FIELD=VALUE or FIELD!=VALUE, got {part!r}")
        field, operator, value = match[1].strip(), match[2], match[3].strip()
        if field not in known:
            raise invalid(f"fieldSelector: field label not supported: {field}; expected {', '.join(sorted(known))}")
        found.append(FieldRequirement(field, operator, value))
    return found


def field_selector(text: str, known: Collection[str]) -> Selector:
    """What a ``fieldSelector`` says of the fields that are `known`; all where it is empty. Raises `ApiError`."""
    requirements = field_requirements(text, known)
    return lambda fields: all(
        (fields.get(each.field, "") == each.value) != (each.operator == "!=") for each in requirements
    )
