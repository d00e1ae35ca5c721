"""docs/expressions.md names every function there is."""

from __future__ import annotations

from pathlib import Path

from engine.expressions.argo import FUNCTIONS
from engine.expressions.builtins import BUILTINS
from engine.expressions.depends import RESULTS
from engine.expressions.members import METHODS
from engine.expressions.predicates import PREDICATES
from engine.expressions.sprig import SPRIG

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text()
LANGUAGE, SPRIG_PART = PAGE.split("### sprig")
SPRIG_PART = SPRIG_PART.split("### Limits")[0]


def test_every_function_is_on_the_page() -> None:
    functions = {*BUILTINS, *PREDICATES, *FUNCTIONS, *METHODS} - {"sprig"}
    assert [name for name in functions if f"`{name}`" not in LANGUAGE] == []


def test_every_sprig_function_is_on_the_page() -> None:
    plain = {name: name.removeprefix("must") for name in SPRIG}
    missing = [name for name in SPRIG if f"`{name}`" not in SPRIG_PART]
    assert [name for name in missing if f"`{plain[name][:1].lower()}{plain[name][1:]}`" not in SPRIG_PART] == []


def test_the_results_of_tasks_are_on_the_page() -> None:
    assert all(f"`{result}`" in PAGE for result in RESULTS)
