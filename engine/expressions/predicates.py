"""The functions that take a predicate: `filter(xs, # > 1)`, `map(xs, {.name})`, `reduce(1..9, #acc + #)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.expressions.builtins.arrays import sort_by
from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.nodes import Node
from engine.expressions.operations import add, boolean
from engine.expressions.values import is_number, sort_key, type_name


@dataclass(slots=True, eq=False)
class Predicate(Node):
    """A call of such a function. ``extra`` is `reduce`'s initial value and `sortBy`'s order."""

    name: str
    array: Node
    predicate: Node | None
    extra: Node | None

    def value(self, run: Run) -> Any:
        array = self.array.evaluate(run)
        if not isinstance(array, list):
            raise Invalid(f"builtin {self.name} takes only array (got {type_name(array)})")
        return run.made(PREDICATES[self.name](self, array, run))

    def results(self, array: list[Any], run: Run) -> Iterator[Any]:
        """The predicate's value for each element in turn, or the element itself where there is no predicate."""
        predicate = self.predicate
        if predicate is None:
            yield from array
            return
        outer = run.local
        local = dict(outer)
        for index, element in enumerate(array):
            # Nested predicates and `let` leave `run.local` as they found it, so this dict is ours throughout.
            local["#"], local["#index"] = element, index
            run.local = local
            result = predicate.evaluate(run)
            run.local = outer
            yield result

    def tests(self, array: list[Any], run: Run) -> Iterator[bool]:
        """Like `results`, where each must be a bool."""
        return (boolean(result, self.name) for result in self.results(array, run))


def _sum(call: Predicate, array: list[Any], run: Run) -> object:
    total: object = 0
    for value in call.results(array, run):
        if not is_number(value):
            raise Invalid(f"invalid argument for sum (type {type_name(value)})")
        total = add(total, value)
    return total


def _find(call: Predicate, array: list[Any], run: Run) -> Iterator[int]:
    return (index for index, passed in enumerate(call.tests(array, run)) if passed)


def _find_last(call: Predicate, array: list[Any], run: Run) -> int | None:
    index = next(_find(call, array[::-1], run), None)
    return None if index is None else len(array) - 1 - index


def _group_by(call: Predicate, array: list[Any], run: Run) -> object:
    groups: dict[object, list[Any]] = {}
    for element, key in zip(array, call.results(array, run), strict=True):
        if isinstance(key, list | dict):
            raise Invalid(f"cannot group by {type_name(key)}")
        groups.setdefault(key, []).append(element)
    return groups


def _sort_by(call: Predicate, array: list[Any], run: Run) -> object:
    keys = [sort_key(key) for key in call.results(array, run)]
    order = call.extra.evaluate(run) if call.extra is not None else "asc"
    return sort_by(array, keys, order)


def _reduce(call: Predicate, array: list[Any], run: Run) -> object:
    assert call.predicate is not None
    if call.extra is not None:
        accumulator = call.extra.evaluate(run)
        rest = list(enumerate(array))
    elif array:
        accumulator = array[0]
        rest = list(enumerate(array))[1:]
    else:
        raise Invalid("reduce of empty array with no initial value")
    outer = run.local
    for index, element in rest:
        run.local = {**outer, "#": element, "#index": index, "#acc": accumulator}
        accumulator = call.predicate.evaluate(run)
    run.local = outer
    return accumulator


PREDICATES: Final[dict[str, Callable[[Predicate, list[Any], Run], object]]] = {
    "all": lambda call, array, run: all(call.tests(array, run)),
    "none": lambda call, array, run: not any(call.tests(array, run)),
    "any": lambda call, array, run: any(call.tests(array, run)),
    "one": lambda call, array, run: sum(call.tests(array, run)) == 1,
    "count": lambda call, array, run: sum(call.tests(array, run)),
    "filter": lambda call, array, run: [array[index] for index in _find(call, array, run)],
    "map": lambda call, array, run: list(call.results(array, run)),
    "sum": _sum,
    "find": lambda call, array, run: next((array[index] for index in _find(call, array, run)), None),
    "findIndex": lambda call, array, run: next(_find(call, array, run), None),
    "findLast": lambda call, array, run: None if (at := _find_last(call, array, run)) is None else array[at],
    "findLastIndex": _find_last,
    "groupBy": _group_by,
    "sortBy": _sort_by,
    "reduce": _reduce,
}

OPTIONAL: Final = frozenset({"count", "sum"})
"""Those that do without a predicate."""
