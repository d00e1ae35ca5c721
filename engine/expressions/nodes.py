"""The syntax tree of an expression; each node knows how to evaluate itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from engine.expressions.errors import Invalid
from engine.expressions.evaluation import Run
from engine.expressions.functions import Function
from engine.expressions.gotext import go_string
from engine.expressions.members import Method, fetch
from engine.expressions.operations import BINARY, boolean, negate
from engine.expressions.values import is_number, truncate, type_name


@dataclass(slots=True, eq=False)
class Node:
    """A part of an expression; ``offset`` is where it stands in the text, in characters."""

    offset: int

    def evaluate(self, run: Run) -> Any:
        """The node's value; raises `Invalid` with the place of the innermost node concerned."""
        try:
            run.step()
            return self.value(run)
        except Invalid as error:
            if error.offset is None:
                error.offset = self.offset
            raise

    def value(self, run: Run) -> Any:
        raise NotImplementedError

    def children(self) -> Iterator[Node]:
        """The nodes directly below this one."""
        for field in fields(self):
            child = getattr(self, field.name)
            if isinstance(child, Node):
                yield child
            elif isinstance(child, tuple):
                for element in child:
                    yield from (element,) if isinstance(element, Node) else element


@dataclass(slots=True, eq=False)
class Constant(Node):
    constant: object

    def value(self, run: Run) -> Any:
        return self.constant


@dataclass(slots=True, eq=False)
class Name(Node):
    name: str

    def value(self, run: Run) -> Any:
        for names in (run.local, run.functions, run.env):
            if self.name in names:
                return names[self.name]
        if self.name == "$env":
            return run.env
        raise Invalid(f"unknown name {self.name}")


@dataclass(slots=True, eq=False)
class Pointer(Node):
    """`#`, `#acc` and `#index`: what the predicate around it is applied to."""

    name: str

    def value(self, run: Run) -> Any:
        if self.name not in run.local:
            raise Invalid(f"{self.name} outside of a predicate")
        return run.local[self.name]


_SHORT: Final = object()
"""What the rest of a chain sees where `?.` has met nil: the whole chain is nil then."""


@dataclass(slots=True, eq=False)
class Fetch(Node):
    """`a.b`, `a[b]`, and with ``optional`` `a?.b` and `a?.[b]`."""

    container: Node
    key: Node
    optional: bool

    def value(self, run: Run) -> Any:
        found = self.reach(run)
        return None if found is _SHORT else found

    def reach(self, run: Run) -> Any:
        container = self.container
        found = container.reach(run) if isinstance(container, Fetch) else container.evaluate(run)
        if found is _SHORT or (found is None and self.optional):
            return _SHORT
        return fetch(found, self.key.evaluate(run))


@dataclass(slots=True, eq=False)
class Slice(Node):
    sliced: Node
    start: Node | None
    stop: Node | None

    def value(self, run: Run) -> Any:
        value = self.sliced.evaluate(run)
        if not isinstance(value, str | list):
            raise Invalid(f"cannot slice {type_name(value)}")
        start, stop = self._bound(self.start, run), self._bound(self.stop, run)
        return run.made(value[slice(start, stop)])

    def _bound(self, node: Node | None, run: Run) -> int | None:
        if node is None:
            return None
        bound = node.evaluate(run)
        if not is_number(bound):
            raise Invalid(f"cannot slice by {type_name(bound)}")
        return truncate(float(bound))


@dataclass(slots=True, eq=False)
class Call(Node):
    callee: Node
    arguments: tuple[Node, ...]

    def value(self, run: Run) -> Any:
        function = self.callee.evaluate(run)
        arguments = [argument.evaluate(run) for argument in self.arguments]
        if not isinstance(function, Function | Method):
            name = f" {self.callee.name}" if isinstance(self.callee, Name) else ""
            raise Invalid(f"{type_name(function)}{name} is not callable")
        return run.made(function(arguments, run))


@dataclass(slots=True, eq=False)
class Unary(Node):
    operator: str
    operand: Node

    def value(self, run: Run) -> Any:
        value = self.operand.evaluate(run)
        match self.operator:
            case "-":
                return negate(value)
            case "+":
                if not is_number(value):
                    raise Invalid(f"invalid operation: + {type_name(value)}")
                return value
            case _:
                return not boolean(value, self.operator)


@dataclass(slots=True, eq=False)
class Binary(Node):
    """An operator between two operands. Long sums lean to the left, so the left side is walked without recursion."""

    operator: str
    left: Node
    right: Node

    def value(self, run: Run) -> Any:
        spine = [self]
        left = self.left
        while isinstance(left, Binary):
            spine.append(left)
            left = left.left
        result = left.evaluate(run)
        for node in reversed(spine):
            try:
                result = node.apply(result, run)
            except Invalid as error:
                if error.offset is None:
                    error.offset = node.offset
                raise
        return result

    def apply(self, left: Any, run: Run) -> object:
        run.step()
        match self.operator:
            case "&&":
                return boolean(left, "&&") and boolean(self.right.evaluate(run), "&&")
            case "||":
                return boolean(left, "||") or boolean(self.right.evaluate(run), "||")
            case "??":
                return self.right.evaluate(run) if left is None else left
        right = self.right.evaluate(run)
        if self.operator in ("==", "!="):
            self.check_types(left, right, run)
        run.read(left)
        run.read(right)
        return run.made(BINARY[self.operator](left, right))

    def check_types(self, left: object, right: object, run: Run) -> None:
        """Refuses `item == 1`: expr knows the types of literals and of variables, and so that this is never true."""
        kinds = []
        for node, value in ((self.left, left), (self.right, right)):
            known = isinstance(node, Constant) or (isinstance(node, Name) and node.name in run.env)
            if not known or value is None or (isinstance(node, Name) and node.name in run.local):
                return
            kinds.append("number" if is_number(value) else type_name(value))
        if kinds[0] != kinds[1]:
            types = f"{type_name(left)} and {type_name(right)}"
            raise Invalid(f"invalid operation: {self.operator} (mismatched types {types})")


@dataclass(slots=True, eq=False)
class Conditional(Node):
    condition: Node
    then: Node
    otherwise: Node

    def value(self, run: Run) -> Any:
        chosen = self.then if boolean(self.condition.evaluate(run), "?:") else self.otherwise
        return chosen.evaluate(run)


@dataclass(slots=True, eq=False)
class Array(Node):
    elements: tuple[Node, ...]

    def value(self, run: Run) -> Any:
        return run.made([element.evaluate(run) for element in self.elements])


@dataclass(slots=True, eq=False)
class Map(Node):
    pairs: tuple[tuple[Node, Node], ...]

    def value(self, run: Run) -> Any:
        result = {}
        for key, value in self.pairs:
            name = key.evaluate(run)
            if not isinstance(name, str | int | float | bool):
                raise Invalid(f"a map key must be a string, not {type_name(name)}")
            result[name if isinstance(name, str) else go_string(name)] = value.evaluate(run)
        return run.made(result)


@dataclass(slots=True, eq=False)
class Let(Node):
    name: str
    bound: Node
    body: Node

    def value(self, run: Run) -> Any:
        value = self.bound.evaluate(run)
        outer = run.local
        run.local = {**outer, self.name: value}
        result = self.body.evaluate(run)
        run.local = outer
        return result


@dataclass(slots=True, eq=False)
class Sequence(Node):
    """`a; b`: the value of the last."""

    first: Node
    rest: Node

    def value(self, run: Run) -> Any:
        self.first.evaluate(run)
        return self.rest.evaluate(run)


@dataclass(slots=True, eq=False)
class Hole(Node):
    """The first argument of a function after a pipe; the parser puts what stands before the pipe into it."""

    content: Node

    def value(self, run: Run) -> Any:
        return self.content.evaluate(run)
