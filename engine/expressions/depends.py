"""A DAG task's `depends`: which results of which tasks let it run (Argo's enhanced depends logic, ancestry.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.nesting import MAX_LENGTH, check_nesting

RESULTS: Final = ("Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed")
"""What may be asked of a task. The last two are for tasks that loop: any of its iterations, all of them."""

DEFAULT_RESULTS: Final = ("Succeeded", "Skipped", "Daemoned")
"""What a bare task name asks for: any of these."""

_ALL: Final = re.compile(r"\s*+{task}\s*+(?:&&\s*+{task}\s*+)*+".replace("{task}", "[a-zA-Z0-9][-a-zA-Z0-9]*+"))
"""What most write: bare names of tasks that all have to be done."""

Lookup = Callable[[str, str], bool]
"""Whether a task, by name, has come to a result, one of `RESULTS`."""

ContinueOn = Mapping[str, Collection[str]]
"""Results, beside the default ones, that a bare task name asks for."""


@dataclass(frozen=True, slots=True)
class _Any:
    terms: tuple[_Term, ...]

    def evaluate(self, lookup: Lookup, continue_on: ContinueOn) -> bool:
        return any(term.evaluate(lookup, continue_on) for term in self.terms)


@dataclass(frozen=True, slots=True)
class _All:
    terms: tuple[_Term, ...]

    def evaluate(self, lookup: Lookup, continue_on: ContinueOn) -> bool:
        return all(term.evaluate(lookup, continue_on) for term in self.terms)


@dataclass(frozen=True, slots=True)
class _Not:
    term: _Term

    def evaluate(self, lookup: Lookup, continue_on: ContinueOn) -> bool:
        return not self.term.evaluate(lookup, continue_on)


@dataclass(frozen=True, slots=True)
class _Task:
    """A task by its bare name, or one result of it."""

    name: str
    result: str | None

    def evaluate(self, lookup: Lookup, continue_on: ContinueOn) -> bool:
        if self.result is not None:
            return lookup(self.name, self.result)
        if lookup(self.name, DEFAULT_RESULTS[0]):
            return True
        results = (*DEFAULT_RESULTS[1:], *continue_on.get(self.name, ()))
        return any(lookup(self.name, result) for result in results)


_Term = _Any | _All | _Not | _Task


@dataclass(frozen=True, slots=True)
class Depends:
    """A parsed `depends`. ``tasks`` are the names in it, each once, in order of appearance."""

    tasks: tuple[str, ...]
    _term: _Term
    _continue_on: ContinueOn

    def evaluate(self, lookup: Lookup) -> bool:
        """Whether the task may run, given what has come of the others."""
        return self._term.evaluate(lookup, self._continue_on)


def parse_depends(text: str, continue_on: ContinueOn | None = None) -> Depends:
    """Parses `A && (B.Failed || !C.Succeeded)`; raises `ExpressionError` with the place of the first mistake.

    A bare name means Succeeded, Skipped or Daemoned. ``continue_on`` adds results to that for tasks whose `continueOn`
    says so: `{"A": ("Errored", "Failed")}`.
    """
    if len(text) <= MAX_LENGTH and _ALL.fullmatch(text):
        return all_of([task.strip() for task in text.split("&&")], continue_on)
    try:
        check_nesting(text)
        term: Any = _parser().parse(text)
    except VisitError as error:
        raise ExpressionError(str(error.orig_exc), text, getattr(error.orig_exc, "offset", None)) from None
    except UnexpectedInput as error:
        raise ExpressionError(*_explain(error, text)) from None
    except Invalid as error:
        raise ExpressionError(str(error), text, error.offset) from None
    return Depends(tuple(dict.fromkeys(task.name for task in _tasks(term))), term, continue_on or {})


def all_of(tasks: Collection[str], continue_on: ContinueOn | None = None) -> Depends:
    """What `A && B && C` asks for."""
    terms = tuple(_Task(task, None) for task in tasks)
    return Depends(tuple(dict.fromkeys(tasks)), _All(terms) if len(terms) != 1 else terms[0], continue_on or {})


@cache
def _parser() -> Lark:
    return Lark.open("depends.lark", rel_to=__file__, parser="lalr", transformer=_Build())


def _explain(error: UnexpectedInput, text: str) -> tuple[str, str, int]:
    match error:
        case UnexpectedToken(token=token) if token.type != "$END":
            return f"unexpected {str(token)!r}", text, token.start_pos or 0
        case UnexpectedCharacters():
            return f"unexpected {error.char!r}", text, error.pos_in_stream or 0
        case _:
            return "unexpected end of the expression", text, len(text)


def _tasks(term: _Term) -> Iterator[_Task]:
    match term:
        case _Task():
            yield term
        case _Not():
            yield from _tasks(term.term)
        case _:
            for part in term.terms:
                yield from _tasks(part)


@v_args(inline=True)
class _Build(Transformer[Token, _Term]):
    """Makes terms while the parser runs."""

    def disjunction(self, *terms: _Term) -> _Term:
        return _Any(terms)

    def conjunction(self, *terms: _Term) -> _Term:
        return _All(terms)

    def negation(self, term: _Term) -> _Term:
        return term.term if isinstance(term, _Not) else _Not(term)

    def task(self, token: Token) -> _Term:
        return _Task(str(token), None)

    def result(self, token: Token) -> _Term:
        name, _, result = token.partition(".")
        if result not in RESULTS:
            error = Invalid(f"task result '{result}' for task '{name}' is invalid")
            error.offset = token.start_pos
            raise error
        return _Task(name, result)
