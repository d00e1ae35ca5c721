"""A DAG task's `depends`: which results of which tasks let it run (Argo's enhanced depends logic, ancestry.go)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.nesting import check_nesting

RESULTS: Final = ("Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed")
"""What may be asked of a task. The last two are for tasks that loop: any of its iterations, all of them."""

DEFAULT_RESULTS: Final = ("Succeeded", "Skipped", "Daemoned")
"""What a bare task name asks for: any of these."""

Lookup = Callable[[str, str], bool]
"""Whether a task, by name, has come to a result, one of `RESULTS`."""


@dataclass(frozen=True, slots=True)
class _Any:
    terms: tuple[_Term, ...]

    def evaluate(self, lookup: Lookup) -> bool:
        return any(term.evaluate(lookup) for term in self.terms)


@dataclass(frozen=True, slots=True)
class _All:
    terms: tuple[_Term, ...]

    def evaluate(self, lookup: Lookup) -> bool:
        return all(term.evaluate(lookup) for term in self.terms)


@dataclass(frozen=True, slots=True)
class _Not:
    term: _Term

    def evaluate(self, lookup: Lookup) -> bool:
        return not self.term.evaluate(lookup)


@dataclass(frozen=True, slots=True)
class _Result:
    task: str
    results: tuple[str, ...]

    def evaluate(self, lookup: Lookup) -> bool:
        return any(lookup(self.task, result) for result in self.results)


_Term = _Any | _All | _Not | _Result


@dataclass(frozen=True, slots=True)
class Depends:
    """A parsed `depends`. ``tasks`` are the names in it, each once, in order of appearance; ``looped`` those that are
    asked for AnySucceeded or AllFailed, which only a task with a loop can answer."""

    tasks: tuple[str, ...]
    looped: tuple[str, ...]
    _term: _Term

    def evaluate(self, lookup: Lookup) -> bool:
        """Whether the task may run, given what has come of the others."""
        return self._term.evaluate(lookup)


def parse_depends(text: str, continue_on: Mapping[str, Collection[str]] | None = None) -> Depends:
    """Parses `A && (B.Failed || !C.Succeeded)`; raises `ExpressionError` with the place of the first mistake.

    A bare name means Succeeded, Skipped or Daemoned. ``continue_on`` adds results to that for tasks whose `continueOn`
    says so: `{"A": ("Errored", "Failed")}`.
    """
    build = _Build(continue_on or {})
    try:
        check_nesting(text)
        term: _Term = build.transform(_parser().parse(text))
    except Invalid as error:
        raise ExpressionError(str(error), text, error.offset) from None
    except VisitError as error:
        raise ExpressionError(str(error.orig_exc), text, getattr(error.orig_exc, "offset", None)) from None
    except UnexpectedInput as error:
        raise ExpressionError(*_explain(error, text)) from None
    return Depends(tuple(build.tasks), tuple(build.looped), term)


@cache
def _parser() -> Lark:
    return Lark(Path(__file__).with_name("depends.lark").read_text(), parser="lalr")


def _explain(error: UnexpectedInput, text: str) -> tuple[str, str, int]:
    match error:
        case UnexpectedToken(token=token) if token.type != "$END":
            return f"unexpected {str(token)!r}", text, token.start_pos or 0
        case UnexpectedCharacters():
            return f"unexpected {error.char!r}", text, error.pos_in_stream or 0
        case _:
            return "unexpected end of the expression", text, len(text)


class _Build(Transformer[Token, _Term]):
    """Makes terms, and notes the tasks they name."""

    def __init__(self, continue_on: Mapping[str, Collection[str]]) -> None:
        super().__init__()
        self.continue_on = continue_on
        self.tasks: dict[str, None] = {}
        self.looped: dict[str, None] = {}

    def start(self, children: list[_Term]) -> _Term:
        return children[0]

    def disjunction(self, children: list[_Term]) -> _Term:
        return _Any(tuple(children))

    def conjunction(self, children: list[_Term]) -> _Term:
        return _All(tuple(children))

    def task(self, children: list[Token]) -> _Result:
        name = str(children[0])
        self.tasks[name] = None
        return _Result(name, (*DEFAULT_RESULTS, *self.continue_on.get(name, ())))

    def result(self, children: list[Token]) -> _Result:
        name, _, result = children[0].partition(".")
        if result not in RESULTS:
            error = Invalid(f"task result '{result}' for task '{name}' is invalid")
            error.offset = children[0].start_pos
            raise error
        self.tasks[name] = None
        if result in ("AnySucceeded", "AllFailed"):
            self.looped[name] = None
        return _Result(name, (result,))

    def negation(self, children: list[_Term]) -> _Term:
        term = children[0]
        return term.term if isinstance(term, _Not) else _Not(term)
