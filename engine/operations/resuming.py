"""Suspended nodes that somebody ends: which they are, and what they are told (Argo's updateSuspendedNode)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.executors.executor import Result
from engine.model.node import RUNNING, SUCCEEDED, SUSPEND, Node
from engine.operations.errors import OperationError
from engine.operations.selecting import Selector


def answers(
    nodes: Iterable[Node], selector: str, phase: str, message: str = "", parameters: Mapping[str, str] | None = None
) -> dict[str, Result]:
    """What the suspended ones among `nodes` that match are told, by their ids: that they end in `phase`, or go on.

    ``parameters`` are values for outputs whose `valueFrom` is `supplied`. With a selector each node that matches must
    expect each of them, without one some node must. Raises `OperationError`, also where no node matches a selector, or
    one that is to succeed lacks a value.
    """
    suspended = [node for node in nodes if node.type == SUSPEND and node.phase == RUNNING]
    chosen = suspended
    if selector:
        wanted = Selector(selector)
        chosen = [node for node in suspended if wanted.matches(node)]
        if not chosen:
            names = ", ".join(node.display_name for node in suspended[:10]) or "none"
            raise OperationError(f"no suspended node matches {selector!r}; suspended: {names}")
    given = parameters or {}
    for name in given:
        deaf = [node for node in chosen if name not in _expected(node)]
        if deaf and (selector or len(deaf) == len(chosen)):
            raise OperationError(f"node {deaf[0].display_name!r} is not expecting output parameter {name!r}")
    if given and not chosen:
        raise OperationError(f"no node is suspended that could be given {', '.join(map(repr, given))}")
    return {node.id: _answer(node, phase, message, given) for node in chosen}


def _expected(node: Node) -> dict[str, str | None]:
    """The output parameters that are yet to be supplied, with their defaults."""
    parameters = (node.outputs or {}).get("parameters") or ()
    return {
        each["name"]: source.get("default")
        for each in parameters
        if (source := each.get("valueFrom") or {}).get("supplied") is not None and each.get("value") is None
    }


def _answer(node: Node, phase: str, message: str, given: Mapping[str, str]) -> Result:
    expected = _expected(node)
    for name, default in expected.items() if phase == SUCCEEDED else ():
        if name not in given and default is None:
            raise OperationError(
                f"node {node.display_name!r}: raw output parameter {name!r} has not been set and does not have a"
                " default value"
            )
    supplied = [{"name": name, "value": given[name]} for name in expected if name in given]
    return Result(phase, message, {"parameters": supplied} if supplied else None)
