"""Functions that expressions can call: their arguments checked against annotations, as Go's compiler checks types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.times import Duration, Time, Zone
from engine.expressions.values import is_number, type_name

_KINDS: Final[Mapping[object, tuple[str, Callable[[object], bool]]]] = {
    "str": ("string", lambda value: isinstance(value, str)),
    "int": ("int", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": ("float", is_number),
    "bool": ("bool", lambda value: isinstance(value, bool)),
    "list[Any]": ("array", lambda value: isinstance(value, list)),
    "Mapping[Any, Any]": ("map", lambda value: isinstance(value, Mapping)),
    "Time": ("time.Time", lambda value: isinstance(value, Time)),
    "Duration": ("time.Duration", lambda value: isinstance(value, Duration)),
    "Zone": ("time.Location", lambda value: isinstance(value, Zone)),
    "Any": ("any", lambda value: True),
    inspect.Parameter.empty: ("any", lambda value: True),
}
"""What an annotation asks for: the name of the type in errors, and the check."""


class Function:
    """A Python function as an expression sees it. A first parameter named ``run`` is the evaluation it is part of."""

    __slots__ = ("_checks", "_implementation", "_least", "_most", "_rest", "_wants_run", "name")

    def __init__(self, name: str, implementation: Callable[..., object]) -> None:
        self.name = name
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
        for position, argument in enumerate(arguments):
            run.read(argument)
            check = self._checks[position] if position < len(self._checks) else self._rest
            if check is not None and not check[1](argument):
                raise Invalid(f"cannot use {type_name(argument)} as argument (type {check[0]}) to call {self.name}")
        return self._implementation(run, *arguments) if self._wants_run else self._implementation(*arguments)


def namespace(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Function]:
    """Functions by the names they have in expressions."""
    return {name: Function(name, implementation) for name, implementation in functions.items()}


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
