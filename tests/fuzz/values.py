"""JSON values that like edges, and documents and texts that are damaged a little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import yaml

Path = tuple[str | int, ...]

_SCALARS: Final[list[Any]] = [
    None, None, True, False, 0, 1, -1, 5, 2**31, 2**63, 2**64 - 1, -(2**63), 1.5, 1e300, -0.0, "", "x", "a b", "5m",
    "-1", "1e9", "0", "true", "null", "{}", "[", "{{", "}}", "{{x}}", "{{extra}}", "{{workflow.name}}", "{{item}}",
    "{{=1+}}", "{{=1/0}}", "{{=item}}", "{{inputs.parameters.x}}", "\0", "\n", "é", "\U0001f600", "*", "a.b", "a/b",
    "Succeeded", "Failed", "Running", "Pending", "Error", "Skipped", "Omitted", "Done", "Stop", "Terminate",
    "2026-01-01T00:00:00Z", "2026-01-01", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "leaf", "main", "nowhere",
    "work", "default", "9" * 400, "http://h:99999", "1s" * 40,
    "./..", "/", "' OR '1'=='1", "unix:///x", "http://h:1", "http://[::1", "Workflow",
]  # fmt: skip
_WIDE: Final = 21_000
_DEEP: Final = 205


def value(dice: Random, depth: int = 0) -> Any:
    """Any value, most of them small; now and then one that is wide or deep."""
    kind = dice.random()
    if kind < 0.6 or depth > 3:
        return dice.choice(_SCALARS)
    if kind < 0.78:
        return [value(dice, depth + 1) for _ in range(dice.randint(0, 3))]
    if kind < 0.98:
        return {_key(dice): value(dice, depth + 1) for _ in range(dice.randint(0, 3))}
    if kind < 0.982:
        return [dice.choice(([], {}, "", 1, None))] * _WIDE
    if kind < 0.984:
        return {str(number): "x" for number in range(_WIDE)}
    if kind < 0.99:
        return dice.choice(("x", "{", "[", "1", "{{", "é", " ", '"', "\\")) * 100_000
    nested: Any = dice.choice(_SCALARS)
    for _ in range(_DEEP):
        nested = [nested] if dice.random() < 0.5 else {"a": nested}
    return nested


_KEYS: Final = ["name", "value", "template", "phase", "a", "x", "", "a.b", "nodes", "parameters", "type", "valueFrom"]


def _key(dice: Random) -> str:
    return dice.choice(_KEYS)


def encoded(document: Any) -> bytes:
    """The document as JSON, however deep it is."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def encoded_as_yaml(documents: list[Any]) -> bytes:
    """The documents as YAML; those too deep for its writer as JSON, which is YAML as well."""
    try:
        text: str = yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    except RecursionError:
        return b"\n---\n".join(map(encoded, documents))
    return text.encode()


def places(document: Any, path: Path = ()) -> Iterator[Path]:
    """The path of everything inside a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document if type(document) is list else ())
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def replaced(document: Any, path: Path, by: Any) -> Any:
    """The document with something else at one place; nothing is changed in place."""
    if not path:
        return by
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(document[path[0]], path[1:], by)
    return copy


def damaged(dice: Random, document: Any) -> Any:
    """The document with one or more of its places replaced, taken away, doubled or exchanged."""
    while True:
        paths = list(places(document))
        if not paths:
            return value(dice)
        path = dice.choice(paths)
        change = dice.random()
        if change < 0.6:
            document = replaced(document, path, value(dice))
        elif change < 0.8:
            document = replaced(document, path, at(document, dice.choice(paths)))
        else:
            inner = at(document, path[:-1])
            key = path[-1]
            if isinstance(inner, dict):
                less: Any = {name: each for name, each in inner.items() if name != key}
            elif dice.random() < 0.5:
                less = [each for number, each in enumerate(inner) if number != key]
            else:
                less = [*inner, inner[int(key)]]
            document = replaced(document, path[:-1], less)
        if dice.random() < 0.6:
            return document


def at(document: Any, path: Path) -> Any:
    """What is at a place of the document."""
    for step in path:
        document = document[step]
    return document


def damaged_text(dice: Random, text: bytes) -> bytes:
    """The text with a bit, some bytes or a piece of it changed."""
    if not text:
        return text
    here, other = dice.randrange(len(text)), dice.randrange(len(text))
    match dice.randrange(5):
        case 0:
            return text[:here] + bytes([text[here] ^ 1 << dice.randrange(8)]) + text[here + 1 :]
        case 1:
            return text[:here] + text[here + dice.randint(1, 4) :]
        case 2:
            return text[:here]
        case 3:
            return text[: max(here, other)] + text[min(here, other) :]
        case _:
            return text[:here] + dice.choice(_TOKENS) + text[here:]


_TOKENS: Final = [
    b"{", b"}", b"[", b"]", b":", b",", b'"', b"'", b"\n", b"  ", b"\t", b"#", b"\\", b"\xff", b"\0", b"&a ", b"*a",
    b"<<: ", b"!!", b"|", b"> ", b"- ", b"? ", b"---\n", b"=", b"{{", b"}}", b"null", b"1e999",
]  # fmt: skip
