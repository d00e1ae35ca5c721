"""Documents that are too large to be gone through in one turn are known without going through them."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.large import LARGE, is_large


@pytest.mark.parametrize(
    "document",
    [
        "x" * LARGE,
        ["x"] * LARGE,
        {str(number): None for number in range(LARGE)},
        {"spec": {"templates": [{"dag": {"tasks": [{"name": "a", "template": "b"}] * 5000}}]}},
        {"parameters": ({"value": "x" * LARGE},)},
        {"x" * LARGE: None},
    ],
    ids=["a text", "a list", "a mapping", "many tasks", "a value", "a key"],
)
def test_what_is_large_is_known_wherever_it_is(document: Any) -> None:
    assert is_large(document)


@pytest.mark.parametrize("document", [None, 5, "x", [], {}, {"spec": {"templates": [{"name": "a", "steps": [[]]}]}}])
def test_what_is_small_is_not(document: Any) -> None:
    assert not is_large(document)
