"""``fields`` keeps what it names, or leaves out exactly that, whatever the document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.serving.fields import fields_of

NAMES = st.sampled_from("abc")
DOCUMENTS = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(".".join), min_size=1, max_size=3)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What is at the ends of a document, by the names that lead there; lists are passed through."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, path)
    else:
        yield path, value


def named(path: tuple[str, ...], paths: list[str]) -> bool:
    """Whether one of the paths is this one, or leads to it."""
    return any(path[: len(each.split("."))] == tuple(each.split(".")) for each in paths)


@given(st.dictionaries(NAMES, DOCUMENTS), PATHS)
def test_what_is_named_is_left_out(document: dict[str, Any], paths: list[str]) -> None:
    found = fields_of("-" + ",".join(paths)).of(document)
    assert list(leaves(found)) == [(path, value) for path, value in leaves(document) if not named(path, paths)]


@given(st.dictionaries(NAMES, DOCUMENTS), PATHS)
def test_what_is_named_is_kept(document: dict[str, Any], paths: list[str]) -> None:
    """A value that ends before a path does is kept, too: there is nothing in it that was not asked for."""
    found = fields_of(",".join(paths)).of(document)
    kept = [
        (path, value)
        for path, value in leaves(document)
        if named(path, paths) or any(tuple(each.split("."))[: len(path)] == path for each in paths)
    ]
    assert list(leaves(found)) == kept


@given(st.dictionaries(NAMES, DOCUMENTS))
def test_without_any_all_is_kept(document: dict[str, Any]) -> None:
    for text in ("", "-", ",", "."):
        assert fields_of(text).of(document) == document


@given(PATHS, st.lists(NAMES, max_size=3), DOCUMENTS, st.booleans())
def test_a_part_is_as_it_is_in_the_whole(paths: list[str], path: list[str], part: Any, minus: bool) -> None:
    fields = fields_of(("-" if minus else "") + ",".join(paths))
    whole: Any = part
    for name in reversed(path):
        whole = {name: whole}
    found = fields.of(whole)
    for name in path:
        found = found.get(name, {}) if isinstance(found, dict) else found
    below = fields.below(*path)
    assert list(leaves({} if below.none else below.of(part))) == list(leaves(found))
