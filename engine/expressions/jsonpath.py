"""JSONPath as Argo's `jsonpath` function has it (github.com/evilmonkeyinc/jsonpath).

`$.a.b`, `['a b']`, `[0]`, `[-1]`, `[0,2]`, `[1:3]`, `[::2]`, `*`, `..`, `.length`, filters `[?(@.n > 1)]` and scripts
`[(@.length-1)]`. A path that can only lead to one place gives what is there, and fails where nothing is; any other
gives a list, which may be empty. Filters and scripts are expressions in which `@` is the element and `$` the root.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.expressions.budget import bounded, spend
from engine.expressions.caching import kept
from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.gotext import go_string
from engine.expressions.values import is_number, parse_int, type_name

Evaluate = Callable[[str, Mapping[str, object]], object]
"""Evaluates an expression over variables: what filters and scripts are run by."""

_DOT: Final = re.compile(r"\.\.?(?:(\*)|([^.\[\]*]+))")
_SUBSCRIPT: Final = re.compile(
    r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(-?\d+)|([^'"\[\],:()?*\s][^'"\[\],:()]*))\s*"""
)
_RANGE: Final = re.compile(r"\s*+(-?\d*+)\s*+:\s*+(-?\d*+)\s*+(?::\s*+(-?\d*+)\s*+)?+", re.ASCII)
_STRINGS: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a path: ``select`` finds what it leads to from a value; ``single`` says that this is one place."""

    select: Callable[[Any, _Query], Iterator[Any]]
    single: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Query:
    root: object
    evaluate: Evaluate


def query(path: str, value: object, evaluate: Evaluate) -> object:
    """What the path leads to in a value; raises `Invalid` for a malformed path, or one that leads nowhere."""
    steps = _parse(path)
    context = _Query(value, evaluate)
    found = [value]
    single = True
    for step in steps:
        following: list[Any] = []
        for element in found:
            matches = list(step.select(element, context))
            if single and step.single and not matches:
                raise Invalid(f"jsonpath: {step.text} not found in {type_name(element)}")
            following += matches
            spend(1 + len(matches))
            bounded(len(following))
        single = single and step.single
        found = following
    return found[0] if single else found


@kept(maxsize=256)
def _parse(path: str) -> tuple[_Step, ...]:
    path = path.strip()
    if not path.startswith("$"):
        raise Invalid(f"jsonpath: expected $ at the start of {path[:80]!r}")
    steps: list[_Step] = []
    position = 1
    while position < len(path):
        if path.startswith("..[", position):
            steps.append(_Step(_descend, False, ".."))
            position += 2
        elif path[position] == "[":
            end = _closing(path, position)
            steps.append(_subscript(path[position + 1 : end].strip(), path))
            position = end + 1
        else:
            match = _DOT.match(path, position)
            if match is None:
                raise Invalid(f"jsonpath: cannot read {path[:80]!r} from {path[position:][:80]!r} on")
            if match[0].startswith(".."):
                steps.append(_Step(_descend, False, ".."))
            steps.append(_Step(_children, False, "*") if match[1] else _key(match[2].strip()))
            position = match.end()
    return tuple(steps)


def _closing(path: str, start: int) -> int:
    depth, quote = 0, ""
    position = start
    while position < len(path):
        character = path[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "[(":
            depth += 1
        elif character in ")]":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise Invalid(f"jsonpath: unclosed [ in {path[:80]!r}")


def _subscript(text: str, path: str) -> _Step:
    if text == "*":
        return _Step(_children, False, "*")
    if text.startswith("?"):
        return _filter(text[1:].strip())
    if text.startswith("("):
        return _script(text)
    if span := _RANGE.fullmatch(text):
        return _slice(*span.groups())
    keys: list[str | int] = []
    position = 0
    while match := _SUBSCRIPT.match(text, position):
        keys.append(_index(match[3]) if match[3] else _unescape(next(filter(None, match.group(1, 2, 4)), "")))
        position = match.end()
        if text[position : position + 1] != ",":
            break
        position += 1
    if not keys or position < len(text):
        raise Invalid(f"jsonpath: cannot read [{text[:80]}] in {path[:80]!r}")
    if len(keys) == 1:
        return _key(keys[0])
    return _Step(lambda value, context: (found for key in keys for found in _fetch(value, key)), False, f"[{text}]")


def _key(key: str | int) -> _Step:
    return _Step(lambda value, context: _fetch(value, key), True, repr(key))


def _fetch(value: Any, key: str | int) -> Iterator[Any]:
    if isinstance(key, int):
        if isinstance(value, list | str) and -len(value) <= key < len(value):
            yield value[key]
    elif isinstance(value, dict) and key in value:
        yield value[key]
    elif key == "length" and isinstance(value, dict | list | str):
        yield len(value)


def _index(text: str) -> int:
    try:
        return parse_int(text)
    except Invalid:
        raise Invalid(f"jsonpath: expected an index, got {text[:80]}") from None


def _children(value: Any, context: _Query) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (value[key] for key in sorted(value))
    elif isinstance(value, list):
        yield from value


def _descend(value: Any, context: _Query) -> Iterator[Any]:
    pending = [value]
    while pending:
        value = pending.pop()
        yield value
        spend()
        pending += reversed(list(_children(value, context)))


def _slice(start: str, stop: str, step: str | None) -> _Step:
    bounds = slice(_index(start) if start else None, _index(stop) if stop else None)
    stride = _index(step) if step else 1
    if stride == 0:
        raise Invalid("jsonpath: a step of 0 leads nowhere")

    def select(value: Any, context: _Query) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[bounds][::stride]

    return _Step(select, False, f"[{start}:{stop}]")


def _filter(text: str) -> _Step:
    expression = _expression(text)

    def select(value: Any, context: _Query) -> Iterator[Any]:
        for element in _children(value, context):
            try:
                result = context.evaluate(expression, {"current": element, "root": context.root})
            except (ExpressionError, Invalid):
                # Elements without the field that is compared are not what is looked for.
                continue
            if result not in (None, False, "", [], {}) or is_number(result):
                yield element

    return _Step(select, False, f"[?{text}]")


def _script(text: str) -> _Step:
    expression = _expression(text)

    def select(value: Any, context: _Query) -> Iterator[Any]:
        try:
            key = context.evaluate(expression, {"current": value, "root": context.root})
        except (ExpressionError, Invalid) as error:
            raise Invalid(f"jsonpath: {text}: {error}") from error
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        if not isinstance(key, str | int):
            raise Invalid(f"jsonpath: {text} gives {go_string(key)}, expected a key or an index")
        yield from _fetch(value, key)

    return _Step(select, True, f"[{text}]")


def _expression(text: str) -> str:
    """The filter as an expression: outside of strings, `@` is the variable `current` and `x.length` is `len(x)`."""
    parts: list[str] = []
    position = 0
    for string in _STRINGS.finditer(text):
        parts += (_rename(text[position : string.start()]), string[0])
        position = string.end()
    return "".join([*parts, _rename(text[position:])])


def _rename(code: str) -> str:
    code = re.sub(r"([@$](?:\.\w+)*?)\.length\b", r"len(\1)", code)
    return code.replace("@", "current").replace("$", "root")


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
