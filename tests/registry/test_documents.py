"""YAML as Kubernetes reads it, and what is refused of it."""

from __future__ import annotations

import contextlib
import math
import tracemalloc
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from registry.documents import MAX_DEPTH, BadDocument, check_yaml, read_json, read_yaml


def read(text: str) -> Any:
    [document] = read_yaml(text.encode(), "text")
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("On", True),
        ("y", True),
        ("NO", False),
        ("off", False),
        ("n", False),
        ("~", None),
        ("Null", None),
        ("", None),
        ("yEs", "yEs"),
        ("'yes'", "yes"),
        ("!!str yes", "yes"),
        ("42", 42),
        ("-1_000", -1000),
        ("+7", 7),
        ("0x1F", 31),
        ("0b101", 5),
        ("0o17", 15),
        ("017", 15),
        ("-017", -15),
        ("08", 8),
        ("9223372036854775807", 9223372036854775807),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("1" * 100, float("1" * 100)),
        ("1.5", 1.5),
        ("1.", 1),
        (".5", 0.5),
        ("-1e3", -1000),
        ("1e", "1e"),
        ("1.2.3", "1.2.3"),
        ("10:30", "10:30"),
        ("2024-02-29", "2024-02-29"),
        ("2024-02-29T12:34:56Z", "2024-02-29T12:34:56Z"),
        ("!!int 5", 5),
        ("!!float 5", 5),
        ("!!timestamp 2024-02-29", "2024-02-29"),
        ("! 5", "5"),
        ("=", "="),
        ("\n-", [None]),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        (">-\n  one\n  line\n", "one line"),
    ],
)
def test_scalars_mean_what_they_mean_to_kubernetes(text: str, value: object) -> None:
    assert read(f"a: {text}") == {"a": value}
    assert type(read(f"a: {text}")["a"]) is type(value)


def test_keys_are_strings_as_in_json() -> None:
    assert read("1: a\non: b\n2.5: c\n'd': e\n") == {"1": "a", "true": "b", "2.5": "c", "d": "e"}


def test_merge_keys_give_way_to_keys_that_are_there() -> None:
    text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\nuse:\n  <<: [*base, *more]\n  a: 9\n"
    assert read(text)["use"] == {"a": 9, "b": 2, "c": 4}
    assert read("base: &x {a: 1}\nuse: {<<: *x}\n")["use"] == {"a": 1}
    assert read("'<<': text\n") == {"<<": "text"}


def test_an_alias_is_a_copy() -> None:
    document = read("one: &x {a: [1]}\ntwo: *x\nthree: &y word\nfour: *y\n")
    assert document == {"one": {"a": [1]}, "two": {"a": [1]}, "three": "word", "four": "word"}
    document["one"]["a"].append(2)
    assert document["two"] == {"a": [1]}


def test_anchors_end_with_their_document() -> None:
    with pytest.raises(BadDocument, match=r"alias \*x"):
        list(read_yaml(b"a: &x 1\n---\na: *x\n", "text"))


@pytest.mark.parametrize(
    ("text", "reason", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "key 'a' is given twice", 3, 1),
        ("spec:\n  1: a\n  '1': b\n", "key '1' is given twice", 3, 3),
        ("? [a]\n: b\n", "expected a string as a key, found a collection", 1, 3),
        ("? {a: b}\n: c\n", "expected a string as a key, found a collection", 1, 3),
        ("~: a\n", "expected a string as a key", 1, 1),
        ("a: &x [1]\n*x : b\n", "expected a string as a key", 2, 1),
        ("a: .inf\n", "expected a finite number", 1, 4),
        ("a: 1e999\n", "expected a finite number", 1, 4),
        ("a: !!int text\n", "cannot read 'text' as !!int", 1, 4),
        ("a: !!bool 1\n", "cannot read '1' as !!bool", 1, 4),
        ("a: !!python/object:os.system x\n", "unsupported tag tag:yaml.org,2002:python/object:os.system", 1, 4),
        ("a: !mine x\n", "unsupported tag !mine", 1, 4),
        ("a: !mine [x]\n", "unsupported tag !mine", 1, 4),
        ("a: !!binary aGk=\n", "unsupported tag", 1, 4),
        ("a: &x [*x]\n", "alias *x stands for nothing", 1, 8),
        ("<<: text\n", "expected a mapping, or a list of them, to merge", 1, 5),
        ("a: b: c\n", "mapping values are not allowed", 1, 5),
        ('a: "open\n', "found unexpected end of stream", 2, 1),
    ],
)
def test_what_is_refused_is_placed(text: str, reason: str, line: int, column: int) -> None:
    with pytest.raises(BadDocument) as caught:
        read(text)
    assert reason in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    ['{"metadata": {"labels": {"a": 1}, "labels": {"b": 2}}}', "metadata:\n  labels: {a: 1}\n  labels: {b: 2}\n"],
)
def test_within_metadata_the_last_of_two_keys_counts(text: str, caplog: pytest.LogCaptureFixture) -> None:
    for reader in (read_json, read_yaml) if text.startswith("{") else (read_yaml,):
        assert list(reader(text.encode(), "here.yaml")) == [{"metadata": {"labels": {"b": 2}}}]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    told = [vars(record) for record in caplog.records]
    assert all(each["key"] == "labels" and each["place"].startswith("here.yaml") for each in told)


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb(12, 9), "aliases stand for too much"),
        (f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 1000)}]", "aliases stand for too much"),
        (
            f"a: &a {dict.fromkeys(map(str, range(1000)), 0)}\n" + "".join(f"k{n}: {{<<: *a}}\n" for n in range(600)),
            "aliases",
        ),
        ("[" * 100_000, f"nested more than {MAX_DEPTH} levels deep"),
        ("{a: " * 100_000, f"nested more than {MAX_DEPTH} levels deep"),
        ("- " * 100_000 + "x", f"nested more than {MAX_DEPTH} levels deep"),
        (
            "a0: &a0 []\n" + "".join(f"a{n}: &a{n} {'[' * 99}*a{n - 1}{']' * 99}\n" for n in range(1, 50)),
            f"nested more than {MAX_DEPTH} levels deep",
        ),
    ],
    ids=["laughs", "long text", "merges", "lists", "mappings", "block lists", "aliases of aliases"],
)
def test_bombs_are_refused_in_bounded_memory(text: str, reason: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadDocument, match=reason):
            read(text)
        assert tracemalloc.get_traced_memory()[1] < 256 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 50_000, "- " * 50_000, "a: [b", "a: *b", "\0"])
def test_a_text_that_is_only_checked_is_bounded_too(text: str) -> None:
    with pytest.raises(BadDocument):
        check_yaml(text)


def test_a_text_that_is_only_checked_may_mean_anything() -> None:
    check_yaml("a: &a !Any {1: [], 1: &b [], 2: *b}\n--- [")


def test_long_integers_of_json_are_read_in_linear_time() -> None:
    assert next(read_json(b"[" + b"1" * 300 + b"]", "")) == [float("1" * 300)]
    with pytest.raises(BadDocument, match="expected a finite number"):
        next(read_json(b"[" + b"1" * 5000 + b"]", ""))


def test_depth_and_aliases_within_the_limits_are_fine() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert len(read(bomb(3, 9))["a2"]) == 9


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_document_is_read_back(document: object) -> None:
    data = orjson.dumps(document)
    assert list(read_json(data, "text")) == [document]


class Dumper(yaml.CSafeDumper):
    """Quotes every string: what PyYAML takes for a plain one, `y` or `1e5`, is none to Kubernetes."""


Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@given(JSON)
def test_any_yaml_document_is_read_back(document: object) -> None:
    text = yaml.dump(document, Dumper=Dumper, allow_unicode=True, sort_keys=False)
    [result] = read_yaml(text.encode(), "text")
    assert same(result, document)


def same(read_back: Any, written: Any) -> bool:
    """Equal; but a float that YAML writes as `1.0e+300` may not be told from an integer, nor `-0.0` from `0`."""
    if isinstance(written, dict):
        return list(read_back) == list(written) and all(same(read_back[key], written[key]) for key in written)
    if isinstance(written, list):
        return len(read_back) == len(written) and all(map(same, read_back, written))
    if isinstance(written, float):
        return math.isclose(read_back, written)
    return type(read_back) is type(written) and bool(read_back == written)


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{},&*!|>'\"#%@`?~ \n\t0123.", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for reader in (read_yaml, read_json):
        with contextlib.suppress(BadDocument):
            list(reader(data, "text"))


def test_long_documents_are_read() -> None:
    tasks = "".join(f"- {{name: t{n}, template: leaf, depends: t{max(0, n - 1)}}}\n" for n in range(10_000))
    document = read(f"tasks:\n{tasks}")
    assert len(document["tasks"]) == 10_000
    assert document["tasks"][-1] == {"name": "t9999", "template": "leaf", "depends": "t9998"}


def test_json_may_begin_with_a_byte_order_mark() -> None:
    assert [*read_json(b'\xef\xbb\xbf{"a": 1}', "here")] == [{"a": 1}]
