"""docs/expressions.md names every function there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.expressions.argo import FUNCTIONS
from engine.expressions.builtins import BUILTINS
from engine.expressions.depends import RESULTS
from engine.expressions.members import METHODS
from engine.expressions.predicates import PREDICATES
from engine.expressions.sprig import SPRIG

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text()
LANGUAGE, SPRIG_PART = PAGE.split("### sprig")
SPRIG_PART = SPRIG_PART.split("### Limits")[0]


@pytest.mark.parametrize("name", [*BUILTINS, *PREDICATES, *(name for name in FUNCTIONS if name != "sprig"), *METHODS])
def test_a_function_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in LANGUAGE


@pytest.mark.parametrize("name", SPRIG)
def test_a_sprig_function_is_on_the_page(name: str) -> None:
    plain = name.removeprefix("must")
    assert f"`{name}`" in SPRIG_PART or f"`{plain[:1].lower()}{plain[1:]}`" in SPRIG_PART


def test_the_results_of_tasks_are_on_the_page() -> None:
    assert all(f"`{result}`" in PAGE for result in RESULTS)
