"""The functions that Argo adds to the expression language: `asInt`, `asFloat`, `toJson`, `jsonpath` and `sprig.*`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.expressions.builtins.conversions import floating, integer
from engine.expressions.evaluation import Run
from engine.expressions.functions import namespace
from engine.expressions.gotext import from_json, go_json
from engine.expressions.jsonpath import query
from engine.expressions.parse import parse
from engine.expressions.sprig import SPRIG


def _jsonpath(run: Run, text: str, path: str) -> object:
    def evaluate(expression: str, env: Mapping[str, object]) -> object:
        # Filters use up the budget of the expression they are part of, and have no functions but the language's own.
        return parse(expression).evaluate(Run(env, {}, run.clock, run.budget))

    return query(path, from_json(text), evaluate)


FUNCTIONS: Final[Mapping[str, object]] = {
    **namespace(
        {
            "asInt(any)": integer,
            "asFloat(any)": floating,
            "toJson(any)": go_json,
            "jsonpath(run, string, string)": _jsonpath,
        }
    ),
    "sprig": SPRIG,
}
"""What every expression finds beside its variables; a variable of the same name is hidden, as in Argo."""
