"""Compiled expressions: what `{{=...}}` tags, `valueFrom.expression`, lifecycle hooks and retries evaluate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from engine.expressions import nodes
from engine.expressions.argo import FUNCTIONS
from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.evaluation import Run
from engine.expressions.parse import parse


class Program:
    """An expression, parsed once, to be run any number of times.

    ``identifiers`` are the variables it names, in order of appearance, as far as they can be read off the text:
    `inputs.parameters.x` gives `inputs`, `inputs.parameters` and `inputs.parameters.x`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = parse(text)
        self.identifiers: tuple[str, ...] = tuple(dict.fromkeys(_identifiers(self._tree, frozenset())))

    def run(self, env: Mapping[str, object], *, clock: Callable[[], float] = time.time) -> object:
        """The expression's value; raises `ExpressionError` with the place of what failed.

        ``env`` maps names to nested values (dict, list, str, int, float, bool, None); ``clock`` gives seconds since
        1970, and is what `now()` reads.
        """
        try:
            return self._tree.evaluate(Run(env, FUNCTIONS, clock))
        except Invalid as error:
            raise ExpressionError(str(error), self.text, error.offset) from error
        except RecursionError as error:
            raise ExpressionError("values are nested too deeply", self.text) from error


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Program:
    """The program of a text, parsed at most once while it is in use; raises `ExpressionError`."""
    return Program(text)


def evaluate(expression: str, env: Mapping[str, object], *, clock: Callable[[], float] = time.time) -> object:
    """Evaluates an expression over the variables of ``env``; raises `ExpressionError`. See `Program.run`."""
    return compile_expression(expression).run(env, clock=clock)


def _identifiers(node: nodes.Node, bound: frozenset[str]) -> Iterator[str]:
    match node:
        case nodes.Name():
            if node.name not in bound and node.name not in FUNCTIONS and node.name != "$env":
                yield node.name
        case nodes.Let():
            yield from _identifiers(node.bound, bound)
            yield from _identifiers(node.body, bound | {node.name})
        case _:
            for child in node.children():
                yield from _identifiers(child, bound)
            path = _path(node)
            if path is not None and path[0] not in bound and path[0] not in FUNCTIONS:
                yield ".".join(path)


def _path(node: nodes.Node) -> list[str] | None:
    match node:
        case nodes.Name():
            return [node.name]
        case nodes.Fetch(container=container, key=nodes.Constant(constant=str() as key)):
            path = _path(container)
            return None if path is None else [*path, key]
    return None
