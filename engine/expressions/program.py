"""Compiled expressions: what `{{=...}}` tags, `valueFrom.expression`, lifecycle hooks and retries evaluate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from engine.expressions import nodes
from engine.expressions.argo import FUNCTIONS
from engine.expressions.budget import budgeted
from engine.expressions.caching import kept
from engine.expressions.errors import ExpressionError, Invalid
from engine.expressions.evaluation import Run
from engine.expressions.parse import parse


class Program:
    """An expression, parsed once, to be run any number of times.

    ``identifiers`` are the variables it cannot do without, in the order in which expr walks its text: for
    `inputs.parameters.x` they are `inputs`, `inputs.parameters` and `inputs.parameters.x`. Those of them that `??` or
    `?.` guards may be missing (Argo's getIdentifiers). ``leaves`` are the variables it reads, guarded or not, as far as
    they can be told from the text: of `tasks[x].status` all that is known is `tasks`. ``sees_all`` says that it names
    `$env`, the variables as a whole.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = parse(text)
        self.identifiers, self.leaves = _names(self._tree)
        self.sees_all = any(leaf.partition(".")[0] == "$env" for leaf in self.leaves)

    def run(self, env: Mapping[str, object], *, clock: Callable[[], float] = time.time) -> object:
        """The expression's value; raises `ExpressionError` with the place of what failed.

        ``env`` maps names to nested values (dict, list, str, int, float, bool, None); ``clock`` gives seconds since
        1970, and is what `now()` reads.
        """
        try:
            with budgeted() as budget:
                return self._tree.evaluate(Run(env, FUNCTIONS, clock, budget))
        except Invalid as error:
            raise ExpressionError(str(error), self.text, error.offset) from error
        except RecursionError as error:
            raise ExpressionError("values are nested too deeply", self.text) from error


@kept(maxsize=1024)
def compile_expression(text: str) -> Program:
    """The program of a text, parsed at most once while it is in use; raises `ExpressionError`."""
    return Program(text)


def evaluate(expression: str, env: Mapping[str, object], *, clock: Callable[[], float] = time.time) -> object:
    """Evaluates an expression over the variables of ``env``; raises `ExpressionError`. See `Program.run`."""
    return compile_expression(expression).run(env, clock=clock)


def _names(tree: nodes.Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a tree cannot do without, and what it reads. Walks without recursion, as sums lean far.

    ``guarded`` holds for all on the left of a `??`, for the container of a `?.` only itself (Argo's guardVisitor):
    their members may be missing, the variables that these begin with may not. A part of a path is no leaf.
    """
    identifiers: dict[str, None] = {}
    leaves: dict[str, None] = {}
    pending: list[tuple[nodes.Node | str, bool, bool, bool]] = [(tree, False, False, False)]
    while pending:
        node, guarded, spared, part = pending.pop()
        match node:
            case str():
                identifiers[node] = None
            case nodes.Name(name=name):
                identifiers[name] = None
                if not part and name not in FUNCTIONS:
                    leaves[name] = None
            case nodes.Binary(operator="??"):
                pending += ((node.right, guarded, False, False), (node.left, True, False, False))
            case nodes.Fetch():
                path, optional = _path(node)
                if path and not part and path[0] not in FUNCTIONS:
                    leaves[".".join(path)] = None
                if path and not (optional or guarded or spared):
                    pending.append((".".join(path), False, False, False))
                pending.append((node.key, guarded, False, False))
                pending.append((node.container, guarded, node.optional, bool(path)))
            case _:
                pending += ((child, guarded, False, False) for child in reversed(list(node.children())))
    return tuple(identifiers), tuple(leaves)


def _path(node: nodes.Node) -> tuple[list[str], bool]:
    """The names that lead to a member, such as `["inputs", "parameters", "x"]`, none where one is computed; and whether
    there is a `?.` among them."""
    path: list[str] = []
    optional = False
    while isinstance(node, nodes.Fetch) and isinstance(node.key, nodes.Constant) and isinstance(node.key.constant, str):
        path.append(node.key.constant)
        optional = optional or node.optional
        node = node.container
    return ([node.name, *reversed(path)] if isinstance(node, nodes.Name) else []), optional
