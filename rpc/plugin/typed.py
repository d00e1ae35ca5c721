"""Functions whose parameter is annotated with what their method is sent: they get that, and all others get dicts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import GenericAlias, SimpleNamespace, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from rpc import arguments
from rpc.arguments import ARGUMENTS, Sent
from rpc.methods import Method
from rpc.plugin.answers import BadRequest

_R = TypeVar("_R")

_OURS: Final = {name: value for name, value in vars(arguments).items() if isinstance(value, type)}
"""For annotations that are strings: what was imported for type checking only is not there when the program runs."""


def wanted(function: Callable[..., object], method: Method, *, listed: bool = False) -> Any:
    """The type in which `function` wants the arguments of `method`, or a list of those; None where it wants dicts.

    Raises `TypeError` where it wants those of another method, or a list where it gets none, or the reverse; and where
    it does not take one argument.
    """
    name = getattr(function, "__qualname__", repr(function))
    try:
        inspect.signature(function, follow_wrapped=False).bind(method)
    except TypeError as error:
        raise TypeError(f"{method}: expected a function of one argument, {name} is none: {error}") from None
    except ValueError:  # what is written in C need not say so
        pass
    sent = ARGUMENTS[method]
    annotation = _annotation(function)
    named = list(_arguments(annotation, listed=listed))
    found = next((each for each in named if issubclass(each, sent)), None)
    if found is not None:
        return GenericAlias(list, (found,)) if listed else found
    if named or any(_arguments(annotation, listed=not listed)):
        expected = f"list[{sent.__name__}]" if listed else sent.__name__
        raise TypeError(f"{method} sends {expected}, and {name} takes {inspect.formatannotation(annotation)}")
    return None


def converting(answer: Callable[[Any], _R], kind: Any) -> Callable[[Any], _R]:
    """The same function for arguments as they come. Raises `BadRequest` where they are not of the kind."""

    def convert(args: Any) -> _R:
        try:
            typed = msgspec.convert(args, kind)
        except msgspec.ValidationError as error:
            raise BadRequest(str(error)) from None
        return answer(typed)

    return convert


def _annotation(function: Callable[..., object]) -> Any:
    """Of the first parameter; None where there is none, or none that can be found out."""
    try:
        first, *_ = inspect.signature(function).parameters.values()
    except ValueError:  # it has no parameters, or is not written in Python
        return None
    inner = inspect.unwrap(function)
    while isinstance(inner, partial):
        inner = inner.func
    if not inspect.isroutine(inner):
        inner = type(inner).__call__
    there = {**_OURS, **getattr(inner, "__globals__", {})}
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"args": first.annotation}), there)["args"]
    except Exception:  # whatever comes of evaluating it: it is about something that is not there at run time
        return None


def _arguments(annotation: Any, *, listed: bool) -> Iterator[type[Sent]]:
    """The types of ours that are meant, or of those in lists, some of them perhaps in a union."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from _arguments(each, listed=listed)
    elif listed:
        if isinstance(origin, type) and issubclass(origin, Iterable):
            for each in get_args(annotation)[:1]:
                yield from _arguments(each, listed=False)
    elif isinstance(annotation, type) and issubclass(annotation, Sent):
        yield annotation
