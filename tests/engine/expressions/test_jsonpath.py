"""Argo's `jsonpath` function."""

from __future__ import annotations

import pytest

from engine.expressions import ExpressionError, evaluate

TEXT = """{"store": {"book": [
  {"title": "a", "price": 8.95, "tags": ["x"]},
  {"title": "b", "price": 12.5, "isbn": "1-2"},
  {"title": "it's", "price": 22}
], "bike price": 19.95}, "limit": 10, "length": 3}"""


def result(path: str) -> object:
    return evaluate("jsonpath(text, path)", {"text": TEXT, "path": path})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.limit", 10.0),
        ("$.store['bike price']", 19.95),
        ('$["store"]["book"][0]["title"]', "a"),
        ("$.store.book[-1].title", "it's"),
        ("$.store.book[*].title", ["a", "b", "it's"]),
        ("$.store.book.*.price", [8.95, 12.5, 22.0]),
        ("$.store.book[0,2].title", ["a", "it's"]),
        ("$.store.book[0]['title','price']", ["a", 8.95]),
        ("$.store.book[1:].title", ["b", "it's"]),
        ("$.store.book[:2].title", ["a", "b"]),
        ("$.store.book[::2].title", ["a", "it's"]),
        ("$.store.book[-2:].title", ["b", "it's"]),
        ("$..title", ["a", "b", "it's"]),
        ("$..book[0].title", ["a"]),
        ("$..tags[*]", ["x"]),
        ("$.store.book.length", 3),
        ("$.length", 3.0),
        ("$.store.book[(@.length-1)].title", "it's"),
        ("$.store.book[?(@.price > 10)].title", ["b", "it's"]),
        ("$.store.book[?(@.isbn)].title", ["b"]),
        ("$.store.book[?(@.title == 'it\\'s')].price", [22.0]),
        ("$.store.book[?(@.price > $.limit && @.price < 20)].title", ["b"]),
        ("$.store.book[?(@.price > 99)]", []),
        ("$.store.book[*].isbn", ["1-2"]),
    ],
)
def test_paths(path: str, value: object) -> None:
    assert result(path) == value


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("store", "expected $"),
        ("$.nothing", "'nothing' not found in map"),
        ("$.limit.deeper", "'deeper' not found in float"),
        ("$.store.book[9]", "9 not found in array"),
        ("$.store[", "unclosed ["),
        ("$.store.book[::0]", "step of 0"),
        ("$.store.book[a b", "unclosed ["),
        ("$.store.book['a' 'b']", "cannot read"),
        ("$.store.book[(@.title)]", "(@.title)"),
        ("$.store.book[?(]", "unclosed ["),
        ("$.store.", "cannot read"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        result(path)
    assert reason in str(caught.value)


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ExpressionError, match="json"):
        evaluate("jsonpath('{', '$')", {})


def test_filters_use_up_the_budget_of_their_expression() -> None:
    env = {"text": str(list(range(1000)))}
    with pytest.raises(ExpressionError, match="budget exceeded"):
        evaluate("map(1..1000, jsonpath(text, '$[?(@ > 3 && @ > 4)]'))", env)
