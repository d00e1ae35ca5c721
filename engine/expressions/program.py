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
    `inputs.parameters.x` gives `inputs`, `inputs.parameters` and `inputs.parameters.x`, of which ``leaves`` has the
    last. ``sees_all`` says that the expression names `$env`, the variables as a whole.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = parse(text)
        named = dict.fromkeys(_identifiers(self._tree))
        self.sees_all = "$env" in named
        self.identifiers: tuple[str, ...] = tuple(name for name in named if not name.startswith("$env"))
        stems = {name.rpartition(".")[0] for name in self.identifiers}
        self.leaves: tuple[str, ...] = tuple(name for name in self.identifiers if name not in stems)

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


def _identifiers(tree: nodes.Node) -> Iterator[str]:
    """The variables that a tree names, each behind what it is a part of. Walks without recursion, as sums lean far."""
    pending: list[tuple[nodes.Node | str, frozenset[str]]] = [(tree, frozenset())]
    while pending:
        node, bound = pending.pop()
        match node:
            case str():
                yield node
            case nodes.Name(name=name):
                if name not in bound and name not in FUNCTIONS:
                    yield name
            case nodes.Let():
                pending += ((node.body, bound | {node.name}), (node.bound, bound))
            case _:
                path = _path(node)
                if path and path[0] not in bound and path[0] not in FUNCTIONS:
                    pending.append((".".join(path), bound))
                pending += ((child, bound) for child in reversed(list(node.children())))


def _path(node: nodes.Node) -> list[str]:
    """The names that lead to a member, such as `["inputs", "parameters", "x"]`; empty where one is computed."""
    path: list[str] = []
    while isinstance(node, nodes.Fetch) and isinstance(node.key, nodes.Constant) and isinstance(node.key.constant, str):
        path.append(node.key.constant)
        node = node.container
    return [node.name, *reversed(path)] if isinstance(node, nodes.Name) else []
