"""YAML and JSON texts as plain documents, with everything bounded: size, depth, aliases, numbers.

YAML is built from libyaml's events, so that limits hold while a text is read and not after it has filled the memory;
it takes a fraction of the time of PyYAML's own constructor, too.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import yaml

from registry.scalars import resolve
from rpc.logs import get_logger

MAX_ALIASED: Final = 32 * 1024 * 1024
"""What the aliases of one text may stand for, in characters, a node counting for `NODE` of them."""

NODE: Final = 64

MAX_DEPTH: Final = 200
"""Levels of mappings and lists."""

_TAG: Final = "tag:yaml.org,2002:"
_STRING_TAGS: Final = frozenset({"!", f"{_TAG}str", f"{_TAG}timestamp"})
_PLAIN_TAGS: Final[dict[str, tuple[type, ...]]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}

_log = get_logger(__name__)


class BadDocument(ValueError):
    """A text that is no document; ``line`` and ``column`` count from 1, both 0 where no place is known."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column


def read_yaml(data: bytes, source: str) -> Iterator[Any]:
    """The documents of a YAML text: dict, list, str, int, float, bool and None. Raises `BadDocument`.

    ``source`` is what warnings call it.
    """
    with _explained(data):
        yield from _Builder(yaml.CSafeLoader(data), source).documents()


def check_yaml(text: str) -> None:
    """Reads the first document of a YAML text, whatever its tags and keys may mean; raises `BadDocument`."""
    data = text.encode(errors="replace")
    anchors, depth = set(), 0
    with _explained(data):
        next_event = yaml.CSafeLoader(data).get_event
        while not isinstance(event := next_event(), yaml.DocumentEndEvent | yaml.StreamEndEvent):
            if isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
                raise _bad(f"alias *{event.anchor} stands for nothing that comes before it", event)
            if isinstance(event, yaml.NodeEvent):
                anchors.add(event.anchor)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise _bad(f"nested more than {MAX_DEPTH} levels deep", event)


@contextmanager
def _explained(data: bytes) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "cannot be parsed"
        raise BadDocument(reason, *((mark.line + 1, mark.column + 1) if mark else ())) from error
    except yaml.reader.ReaderError as error:
        before = data[: error.position].decode(errors="replace")
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise BadDocument(error.reason, *place) from error


class _Frame:
    """A mapping or a list that is being filled.

    ``key`` is the key whose value comes next, None where a key does. ``lenient`` says that of two equal keys the later
    counts; ``weight`` is what the document weighed before it, ``height`` how many levels are inside.
    """

    __slots__ = ("anchor", "height", "is_list", "key", "lenient", "merged", "value", "weight")

    def __init__(self, value: Any, anchor: str | None, lenient: bool, weight: int) -> None:
        self.value = value
        self.is_list = type(value) is list
        self.anchor = anchor
        self.lenient = lenient
        self.weight = weight
        self.height = 1
        self.key: str | _Merge | None = None
        self.merged: list[dict[str, Any]] = []


class _Merge:
    """The key `<<`: what follows is a mapping, or a list of mappings, whose keys are taken over."""


_MERGE: Final = _Merge()


class _Builder:
    """Builds documents from events, with a stack of its own in place of recursion.

    ``weight`` is the size of the document so far, aliases written out; ``aliased`` what of all documents aliases are.
    """

    def __init__(self, loader: yaml.CSafeLoader, source: str) -> None:
        self.source = source
        self.next_event = loader.get_event
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        self.weight = self.aliased = 0
        self.root: Any = None

    def documents(self) -> Iterator[Any]:
        while not isinstance(event := self.next_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                yield self._document()

    def _document(self) -> Any:
        self.anchors, self.weight = {}, 0
        while True:
            event: Any = self.next_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                value = self._scalar(event)
                self._add(value, event)
                if event.anchor is not None:
                    self.anchors[event.anchor] = (value, len(event.value) + NODE, 0)
            elif kind is yaml.MappingStartEvent:
                self._open({}, event)
            elif kind is yaml.SequenceStartEvent:
                self._open([], event)
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentEndEvent:
                return self.root
            else:
                self._close(event)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        self.weight += len(text) + NODE
        if event.tag is None:
            if not event.implicit[0]:
                return text
            if text == "<<" and self._wants_key():
                return _MERGE
        elif event.tag in _STRING_TAGS:
            return text
        try:
            value = resolve(text)
        except ValueError as error:
            raise _bad(str(error), event) from error
        if event.tag is not None:
            if event.tag not in _PLAIN_TAGS:
                raise _bad(f"unsupported tag {event.tag}", event)
            if type(value) not in _PLAIN_TAGS[event.tag]:
                raise _bad(f"cannot read {text!r} as {event.tag.replace(_TAG, '!!')}", event)
        return value

    def _wants_key(self) -> bool:
        return bool(self.stack) and not self.stack[-1].is_list and self.stack[-1].key is None

    def _open(self, value: Any, event: Any) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise _bad(f"nested more than {MAX_DEPTH} levels deep", event)
        if self._wants_key():
            raise _bad("expected a string as a key, found a collection", event)
        if event.tag is not None and not event.tag.startswith(_TAG):
            raise _bad(f"unsupported tag {event.tag}", event)
        parent = self.stack[-1] if self.stack else None
        # Controllers write annotations, and people paste them: a public Argo example has `annotations` twice, and
        # Argo takes the last. Anywhere else, two values for one key mean that somebody reads the wrong one.
        lenient = parent is not None and (parent.lenient or parent.key == "metadata")
        self.stack.append(_Frame(value, event.anchor, lenient, self.weight))
        self.weight += NODE

    def _close(self, event: Any) -> None:
        frame = self.stack.pop()
        if frame.merged:
            for mapping in frame.merged:
                for key, value in mapping.items():
                    frame.value.setdefault(key, value)
        self._add(frame.value, event, frame.height)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (frame.value, self.weight - frame.weight, frame.height)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self.anchors:
            raise _bad(f"alias *{event.anchor} stands for nothing that comes before it", event)
        value, weight, height = self.anchors[event.anchor]
        self.weight += weight
        self.aliased += weight
        if self.aliased > MAX_ALIASED:
            raise _bad("aliases stand for too much", event)
        if len(self.stack) + height > MAX_DEPTH:
            raise _bad(f"nested more than {MAX_DEPTH} levels deep", event)
        # A copy, so that nobody who changes one place changes another.
        self._add(_copy(value), event, height)

    def _add(self, value: Any, event: Any, height: int = 0) -> None:
        if not self.stack:
            self.root = value
            return
        frame = self.stack[-1]
        frame.height = max(frame.height, height + 1)
        if frame.is_list:
            frame.value.append(value)
        elif frame.key is None:
            frame.key = self._key(value, frame, event)
        elif frame.key is _MERGE:
            frame.key = None
            for mapping in value if isinstance(value, list) else [value]:
                if not isinstance(mapping, dict):
                    raise _bad("expected a mapping, or a list of them, to merge", event)
                frame.merged.append(mapping)
        else:
            frame.value[frame.key] = value
            frame.key = None

    def _key(self, value: Any, frame: _Frame, event: Any) -> Any:
        if type(value) is not str:
            if value is _MERGE:
                return value
            if value is None or isinstance(value, dict | list):
                raise _bad("expected a string as a key, found nothing or a collection", event)
            # As Kubernetes does: `1: a` and `on: b` have the keys "1" and "true".
            value = json.dumps(value)
        if value in frame.value:
            if not frame.lenient:
                raise _bad(f"key {value[:80]!r} is given twice", event)
            place = f"{self.source}:{event.start_mark.line + 1}"
            _log.warning("key is given twice, the last counts", key=value, place=place)
        return value


def _bad(reason: str, event: Any) -> BadDocument:
    mark = event.start_mark
    return BadDocument(reason, mark.line + 1, mark.column + 1)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(element) for key, element in value.items()}
    return [_copy(element) for element in value] if isinstance(value, list) else value


class _Repeated(dict[str, Any]):
    """A JSON object with a key given twice, to be refused once it is known where it stands."""

    repeated = ""


def read_json(data: bytes, source: str) -> Iterator[Any]:
    """The document of a JSON text; the arguments and errors are those of `read_yaml`."""
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_not_finite)
    except json.JSONDecodeError as error:
        raise BadDocument(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise BadDocument(f"nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:
        raise BadDocument(" ".join(str(error).split())) from error
    yield _checked(value, source)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    marked = _Repeated(result)
    marked.repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return marked


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 20 else float(digits)  # the latter in time that is linear in the digits


def _not_finite(text: str) -> float:
    raise BadDocument(f"expected a finite number, found {text}")


def _checked(value: Any, source: str, depth: int = 0, *, lenient: bool = False) -> Any:
    """The value itself, with what no document may have put right in it: another one would be as large."""
    match value:
        case dict() | list() if depth >= MAX_DEPTH:
            raise BadDocument(f"nested more than {MAX_DEPTH} levels deep")
        case dict():
            if isinstance(value, _Repeated):
                if not lenient:
                    raise BadDocument(f"key {value.repeated[:80]!r} is given twice")
                _log.warning("key is given twice, the last counts", key=value.repeated, place=source)
                value = dict(value)
            for key, element in value.items():
                if type(element) is not str:
                    value[key] = _checked(element, source, depth + 1, lenient=lenient or key == "metadata")
            return value
        case list():
            for index, element in enumerate(value):
                if type(element) is not str:
                    value[index] = _checked(element, source, depth + 1, lenient=lenient)
            return value
        case bool() | str() | None:
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 64 else float(value)
        case _ if not math.isfinite(value):
            raise BadDocument("expected a finite number, found one beyond the range of 64 bits")
        case _:
            return value
