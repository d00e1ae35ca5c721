"""Functions that expressions can call: their arguments checked against annotations, as Go's compiler checks types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.times import Duration, Time, Zone
from engine.expressions.values import is_number, type_name

NIL_MAP: Final[Mapping[Any, Any]] = MappingProxyType({})
"""Go's nil map: nothing is in it, and nothing can be put into it."""

_KINDS: Final[Mapping[object, tuple[str, Callable[[object], bool], object]]] = {
    "str": ("string", lambda value: isinstance(value, str), ""),
    "int": ("int", lambda value: isinstance(value, int) and not isinstance(value, bool), 0),
    "float": ("float", is_number, 0.0),
    "bool": ("bool", lambda value: isinstance(value, bool), False),
    "list[Any]": ("array", lambda value: isinstance(value, list), None),
    "Mapping[Any, Any]": ("map", lambda value: isinstance(value, Mapping), NIL_MAP),
    "Time": ("time.Time", lambda value: isinstance(value, Time), Time.zero()),
    "Duration": ("time.Duration", lambda value: isinstance(value, Duration), Duration(0)),
    "Zone": ("time.Location", lambda value: isinstance(value, Zone), None),
    "Any": ("any", lambda value: True, None),
    inspect.Parameter.empty: ("any", lambda value: True, None),
}
"""What an annotation asks for: the name of the type in errors, the check, and the zero value, which nil may stand for.
sprig takes lists as `any`, so nil is no list to it."""


class Function:
    """A Python function as an expression sees it. A first parameter named ``run`` is the evaluation it is part of.

    With ``zeros``, nil is passed as the zero value of the parameter's type: so expr calls functions that are variables
    to it, as Argo's `sprig.*` are, but not its own.
    """

    __slots__ = ("_checks", "_implementation", "_least", "_most", "_rest", "_wants_run", "_zeros", "name")

    def __init__(self, name: str, implementation: Callable[..., object], *, zeros: bool = False) -> None:
        self.name = name
        self._zeros = zeros
        self._implementation = implementation
        parameters = list(inspect.signature(implementation).parameters.values())
        self._wants_run = bool(parameters) and parameters[0].name == "run"
        if self._wants_run:
            parameters = parameters[1:]
        positional = [parameter for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
        variadic = [parameter for parameter in parameters if parameter.kind is parameter.VAR_POSITIONAL]
        self._checks = [_KINDS[parameter.annotation] for parameter in positional]
        self._rest = _KINDS[variadic[0].annotation] if variadic else None
        self._least = sum(parameter.default is parameter.empty for parameter in positional)
        self._most = None if variadic else len(positional)

    def __call__(self, arguments: Sequence[object], run: Run) -> object:
        """Calls it; raises `Invalid` for a wrong number or type of arguments, or as the function itself does."""
        count = len(arguments)
        if count < self._least or (self._most is not None and count > self._most):
            few = "not enough" if count < self._least else "too many"
            raise Invalid(f"{few} arguments to call {self.name}")
        passed = list(arguments)
        for position, argument in enumerate(arguments):
            run.read(argument)
            check = self._checks[position] if position < len(self._checks) else self._rest
            if check is None:
                continue
            if argument is None and self._zeros:
                passed[position] = argument = check[2]
            if not check[1](argument):
                raise Invalid(f"cannot use {type_name(argument)} as argument (type {check[0]}) to call {self.name}")
        return self._implementation(run, *passed) if self._wants_run else self._implementation(*passed)


def namespace(functions: Mapping[str, Callable[..., Any]], *, zeros: bool = False) -> dict[str, Function]:
    """Functions by the names they have in expressions; see `Function`."""
    return {name: Function(name, implementation, zeros=zeros) for name, implementation in functions.items()}


def on_text(method: Callable[[str], object]) -> Callable[[str], object]:
    """A method of `str` that takes no arguments, as a function."""

    def function(text: str) -> object:
        return method(text)

    return function


def on_texts(method: Callable[[str, str], object]) -> Callable[[str, str], object]:
    """A method of `str` that takes another, as a function of the text first: `hasPrefix(text, prefix)`."""

    def function(text: str, other: str) -> object:
        return method(text, other)

    return function


def text_last(method: Callable[[str, str], object]) -> Callable[[str, str], object]:
    """A method of `str` that takes another, as a function of the text last: `sprig.hasPrefix(prefix, text)`."""

    def function(other: str, text: str) -> object:
        return method(text, other)

    return function
