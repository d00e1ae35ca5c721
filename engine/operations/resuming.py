"""Suspended nodes that somebody ends: which they are, and what they are told (Argo's updateSuspendedNode)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.executors.executor import Result
from engine.model.node import RUNNING, SUCCEEDED, SUSPEND, Node
from engine.operations.errors import OperationError
from engine.operations.selecting import Selector


def answers(
    nodes: Iterable[Node],
    said: Mapping[str, Result],
    selector: str,
    phase: str,
    message: str = "",
    parameters: Mapping[str, str] | None = None,
) -> dict[str, Result]:
    """What the suspended ones among `nodes` that match are told, by their ids: that they end in `phase`, or go on.

    ``said`` is what nodes were told that no pass has taken up: it counts, and is part of what they are told now.
    ``parameters`` are values for outputs whose `valueFrom` is `supplied`. With a selector each node that matches must
    expect each of them, without one some node must. Raises `OperationError`, also where no node matches a selector, or
    one that is to succeed lacks a value.
    """
    suspended = [
        (node, before)
        for node in nodes
        if node.type == SUSPEND and node.phase == RUNNING and not ((before := said.get(node.id)) and before.ended)
    ]
    chosen = suspended
    if selector:
        wanted = Selector(selector)
        chosen = [(node, before) for node, before in suspended if wanted.matches(node)]
        if not chosen:
            names = ", ".join(node.display_name for node, _ in suspended[:10]) or "none"
            raise OperationError(f"no suspended node matches {selector!r}; suspended: {names}")
    given = parameters or {}
    for name in given:
        deaf = [node for node, before in chosen if name not in _expected(node, before)]
        if deaf and (selector or len(deaf) == len(chosen)):
            known = any(each["name"] == name for each in _parameters(deaf[0].outputs))
            problem = "was given output parameter {!r} already" if known else "is not expecting output parameter {!r}"
            raise OperationError(f"node {deaf[0].display_name!r} {problem.format(name)}")
    if given and not chosen:
        raise OperationError(f"no node is suspended that could be given {', '.join(map(repr, given))}")
    return {node.id: _answer(node, before, phase, message, given) for node, before in chosen}


def _parameters(outputs: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    return (outputs or {}).get("parameters") or ()


def _supplied(before: Result | None) -> Sequence[Mapping[str, Any]]:
    """What it was given that no pass has taken up."""
    return _parameters(before.outputs) if before is not None else ()


def _expected(node: Node, before: Result | None) -> dict[str, str | None]:
    """The output parameters that are yet to be supplied, with their defaults."""
    known = {each["name"] for each in _supplied(before)}
    return {
        each["name"]: source.get("default")
        for each in _parameters(node.outputs)
        if (source := each.get("valueFrom") or {}).get("supplied") is not None
        and each.get("value") is None
        and each["name"] not in known
    }


def _answer(node: Node, before: Result | None, phase: str, message: str, given: Mapping[str, str]) -> Result:
    expected = _expected(node, before)
    for name, default in expected.items() if phase == SUCCEEDED else ():
        if name not in given and default is None:
            raise OperationError(
                f"node {node.display_name!r}: raw output parameter {name!r} has not been set and does not have a"
                " default value"
            )
    supplied = [*_supplied(before), *({"name": name, "value": given[name]} for name in expected if name in given)]
    message = message or (before.message if before is not None else "")
    return Result(phase, message, {"parameters": supplied} if supplied else None)
