"""Functions that expressions can call: declared in tables, their arguments checked as Go's compiler checks types."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.times import Duration, Time, Zone
from engine.expressions.values import is_number, type_name

NIL_MAP: Final[Mapping[Any, Any]] = MappingProxyType({})
"""Go's nil map: nothing is in it, and nothing can be put into it."""

_KINDS: Final[Mapping[str, tuple[Callable[[object], bool], object]]] = {
    "any": (lambda value: True, None),
    "string": (lambda value: isinstance(value, str), ""),
    "int": (lambda value: isinstance(value, int) and not isinstance(value, bool), 0),
    "float": (is_number, 0.0),
    "bool": (lambda value: isinstance(value, bool), False),
    "array": (lambda value: isinstance(value, list), None),
    "map": (lambda value: isinstance(value, Mapping), NIL_MAP),
    "time.Time": (lambda value: isinstance(value, Time), Time.zero()),
    "time.Duration": (lambda value: isinstance(value, Duration), Duration(0)),
    "time.Location": (lambda value: isinstance(value, Zone), None),
}
"""What a parameter may be declared as: the check, and the zero value, which nil may stand for. sprig takes lists as
`any`, so nil is no list to it."""

_DECLARATION: Final = re.compile(r"([\w|]+)\((.*)\)")

Functions = Mapping[str, Callable[..., object]]
"""A table of functions, each under its declaration: its name or names in expressions, and its parameters, as in
`replace(string, string, string, int?)` or `max|biggest(any, any...)`. One with a `?` may be left out, one with `...` be
given any number of times. A first parameter ``run`` is no argument but the evaluation that the call is part of."""


class Function:
    """A Python function as an expression sees it; the parameters are as in `Functions`.

    With ``zeros``, nil is passed as the zero value of the parameter's kind: so expr calls functions that are variables
    to it, as Argo's `sprig.*` are, but not its own.
    """

    __slots__ = ("_implementation", "_kinds", "_least", "_rest", "_wants_run", "_zeros", "name")

    def __init__(
        self, name: str, parameters: Sequence[str], implementation: Callable[..., object], *, zeros: bool
    ) -> None:
        self.name = name
        self._zeros = zeros
        self._implementation = implementation
        self._wants_run = "run" in parameters
        declared = [parameter for parameter in parameters if parameter != "run"]
        self._least = sum(parameter[-1] not in "?." for parameter in declared)
        self._rest = declared.pop().removesuffix("...") if declared and declared[-1].endswith("...") else None
        self._kinds = [parameter.removesuffix("?") for parameter in declared]

    def __call__(self, arguments: Sequence[object], run: Run) -> object:
        """Calls it; raises `Invalid` for a wrong number or type of arguments, or as the function itself does."""
        count = len(arguments)
        if count < self._least or (self._rest is None and count > len(self._kinds)):
            few = "not enough" if count < self._least else "too many"
            raise Invalid(f"{few} arguments to call {self.name}")
        passed = list(arguments)
        for position, argument in enumerate(arguments):
            run.read(argument)
            kind = self._kinds[position] if position < len(self._kinds) else self._rest
            assert kind is not None
            fits, zero = _KINDS[kind]
            if argument is None and self._zeros:
                passed[position] = argument = zero
            if not fits(argument):
                raise Invalid(f"cannot use {type_name(argument)} as argument (type {kind}) to call {self.name}")
        return self._implementation(run, *passed) if self._wants_run else self._implementation(*passed)


def namespace(*tables: Functions, zeros: bool = False) -> dict[str, Function]:
    """The functions of these tables by the names they have in expressions; see `Function`."""
    found = {}
    for declaration, implementation in (row for table in tables for row in table.items()):
        declared = _DECLARATION.fullmatch(declaration)
        assert declared is not None, declaration
        parameters = declared[2].split(", ") if declared[2] else []
        for name in declared[1].split("|"):
            found[name] = Function(name, parameters, implementation, zeros=zeros)
    return found
