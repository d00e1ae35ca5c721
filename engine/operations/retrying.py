"""A finished workflow that is begun again where it failed (Argo's FormulateRetryWorkflow).

Failed leaves are deleted with everything that came after them, and what they are part of is reopened; what succeeded is
kept. What is left is a workflow as it would be found after a restart of the controller, and goes on like one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from engine.model.clock import timestamp
from engine.model.node import (
    CONTAINER,
    OMITTED,
    RETRY,
    RUNNING,
    SKIPPED,
    SKIPPED_TYPE,
    STEP_GROUP,
    SUCCEEDED,
    TASK_GROUP,
    Node,
)
from engine.model.status import begun_again
from engine.model.workflow import Workflow
from engine.operations.amending import with_parameters, with_spec
from engine.operations.errors import OperationError
from engine.operations.selecting import Selector
from engine.templates.kinds import EXECUTABLE, STARTED

_GROUPS: Final = frozenset({TASK_GROUP, STEP_GROUP})
_INSIDE: Final = ("", ".", "[", "(")
"""What may follow a node's name in the names of nodes inside it."""
_ORIGINS: Final = EXECUTABLE | {SKIPPED_TYPE}
"""Types of nodes that fail by themselves. Argo leaves out suspends and those in Error before they began, and with
nothing else to begin again its workflow fails at once."""


class Retried(NamedTuple):
    """A workflow that is to be begun again, and the leaves that it no longer has."""

    document: dict[str, Any]
    nodes: dict[str, Node]
    dropped: list[Node]


def retried(
    workflow: Workflow,
    now: float,
    *,
    restart_successful: bool = False,
    selector: str = "",
    parameters: Mapping[str, str] | None = None,
) -> Retried:
    """What becomes of a finished workflow that is retried at `now` (seconds since the epoch).

    With ``restart_successful`` the nodes that match ``selector`` are begun again, too, whatever their phase.
    ``parameters`` are other values for the workflow's arguments; the turns of loops that are reopened are made anew
    then. Raises `OperationError` where the workflow is not finished, or nothing of it would be begun again.
    """
    wanted = _wanted(workflow, restart_successful, selector)
    tree = _Tree(workflow, wanted, now)
    for node_id in tree.origins():
        tree.begin_again(node_id)
    tree.reopen_blameless()
    tree.decide_again()
    if parameters:
        tree.empty_groups()
    kept = tree.kept()
    root = kept.get(workflow.name)
    if root is not None and root.unsuccessful:
        raise OperationError(
            f"{workflow.key}: nothing to retry: each failure was handled by a node that succeeded after it;"
            " say which nodes to restart"
        )
    document = with_parameters(begun_again(workflow.document, now), parameters or {})
    document = with_spec(document, shutdown=None)
    if document["spec"].get("activeDeadlineSeconds") == 0:
        document = with_spec(document, activeDeadlineSeconds=None)  # that is how it was terminated once
    dropped = [node for key, node in workflow.nodes.items() if key not in kept and tree.was_started(node)]
    return Retried(document, kept, dropped)


def _wanted(workflow: Workflow, restart_successful: bool, selector: str) -> set[str]:
    """The nodes that are to be restarted whatever their phase."""
    if not workflow.finished:
        raise OperationError(f"{workflow.key}: cannot retry a workflow in phase {workflow.phase or 'Pending'}")
    if restart_successful != bool(selector):
        missing, given = "node field selector", "restart-successful"
        if selector:
            missing, given = given, missing
        raise OperationError(f"{workflow.key}: {given} says nothing without {missing}")
    if not selector:
        if workflow.phase == SUCCEEDED:
            raise OperationError(
                f"{workflow.key}: to retry a succeeded workflow, set the options restart-successful and node field"
                " selector"
            )
        return set()
    matching = Selector(selector)
    wanted = {key for key, node in workflow.nodes.items() if matching.matches(node)}
    if not wanted:
        raise OperationError(f"{workflow.key}: no node matches {selector!r}")
    return wanted


class _Tree:
    """The nodes of a workflow, and which of them are deleted or reopened. What is deleted is so with all below it."""

    def __init__(self, workflow: Workflow, wanted: set[str], now: float) -> None:
        self._nodes = workflow.nodes
        self._root = workflow.name
        self._wanted = wanted
        self._now = timestamp(now)
        self._parents: dict[str, list[str]] = {}
        for key, node in self._nodes.items():
            for child in node.children or ():
                self._parents.setdefault(child, []).append(key)
        self._handled = self._find_handled()
        self._superseded = self._find_superseded()
        exit_handler = f"{workflow.name}.onExit"
        self._deleted = {
            key
            for key, node in self._nodes.items()
            if node.name.startswith(exit_handler) and node.name[len(exit_handler) :][:1] in _INSIDE
        }
        """At first the workflow's exit handler: that runs again, whatever became of it."""
        self._reopened: set[str] = set()

    def _find_handled(self) -> set[str]:
        """The nodes below which one succeeded that is not to be restarted. That a hook succeeded handles nothing."""
        found: set[str] = set()
        stack = [key for key, node in self._nodes.items() if node.phase == SUCCEEDED and key not in self._wanted]
        while stack:
            key = stack.pop()
            if _is(self._nodes[key], "hooked"):
                continue
            for parent in self._parents.get(key, ()):
                if parent not in found:
                    found.add(parent)
                    stack.append(parent)
        return found

    def _find_superseded(self) -> set[str]:
        """The attempts of retried steps and DAGs that another one followed, with all inside them. They are over: of
        what is reopened Argo goes on with the last attempt, and leaves the others Running for ever."""
        found: set[str] = set()
        for node in self._nodes.values():
            if node.type == RETRY:
                attempts = [key for key in node.children or () if _is(self._nodes[key], "retried")]
                self._add([key for key in attempts[:-1] if not self.was_started(self._nodes[key])], found)
        return found

    def _add(self, keys: list[str], found: set[str]) -> None:
        """Add nodes, and all below them, to those that were found."""
        stack = [*keys]
        while stack:
            key = stack.pop()
            if key not in found:
                found.add(key)
                stack.extend(self._nodes[key].children or ())

    # Which nodes to begin with

    def origins(self) -> list[str]:
        """The nodes that are to be restarted, and those that failed by themselves, the nearer to the root first."""
        order: dict[str, None] = {self._root: None} if self._root in self._nodes else {}
        queue = list(order)
        for key in queue:
            new = [child for child in self._nodes[key].children or () if child not in order]
            order.update(dict.fromkeys(new))
            queue.extend(new)
        order.update(dict.fromkeys(self._nodes))  # what nothing leads to comes last
        return [key for key in order if key not in self._superseded and (key in self._wanted or self._has_failed(key))]

    def _has_failed(self, key: str) -> bool:
        node = self._nodes[key]
        by_itself = node.type in _ORIGINS or self.was_started(node)
        return node.unsuccessful and by_itself and self._speaker(key) not in self._handled

    def was_started(self, node: Node) -> bool:
        """Whether an executor may have been given the node: a leaf, or a task's group that has no turns but is one."""
        if node.type != TASK_GROUP:
            return node.type in STARTED
        below = (self._nodes[child] for child in node.children or () if child in self._nodes)
        return not any(each.boundary_id == node.id or each.name.startswith(f"{node.name}(") for each in below)

    def _speaker(self, key: str) -> str:
        """By which node it is told whether the failure was handled: of an attempt by the one that is retried."""
        if _is(self._nodes[key], "retried"):
            return next((each for each in self._parents.get(key, ()) if self._nodes[each].type == RETRY), key)
        return key

    # What becomes of them

    def begin_again(self, key: str) -> None:
        """Delete a node and what came after it, and reopen what it is part of. A container's pod runs as a whole."""
        node = self._nodes[key]
        if node.type == CONTAINER and node.boundary_id in self._nodes:
            key = node.boundary_id
        if key not in self._deleted:
            self._add([key], self._deleted)
            self._reopen_around(key)

    def reopen_blameless(self) -> None:
        """Reopen what failed although nothing in it did: its outputs, say, are looked at again."""
        blamed = {key for key, node in self._nodes.items() if node.unsuccessful}
        blamed = {outer for key in blamed for outer in (self._nodes[key].boundary_id, *self._parents.get(key, ()))}
        blamed |= self._deleted
        for key, node in self._nodes.items():
            by_others = node.unsuccessful and node.type not in _ORIGINS and not self.was_started(node)
            if by_others and key not in blamed and key not in self._superseded:
                self._reopened.add(key)
                self._reopen_around(key)

    def decide_again(self) -> None:
        """Delete what was omitted in what is reopened, unless something went on from there."""
        for key, node in self._nodes.items():
            if node.phase == OMITTED and node.boundary_id in self._reopened and key not in self._handled:
                self._add([key], self._deleted)

    def empty_groups(self) -> None:
        """Delete what is below the groups that are reopened: with other arguments loops may have other turns."""
        for key in self._reopened - self._deleted:
            if self._nodes[key].type in _GROUPS:
                self._add([*(self._nodes[key].children or ())], self._deleted)

    def _reopen_around(self, key: str) -> None:
        """Reopen all that a node is part of; the node whose hook it is stays as it is, but for what that is part of."""
        stack, seen = [key], set[str]()
        while stack:
            key = stack.pop()
            if key in seen:
                continue
            seen.add(key)
            outer = [each for each in self._around(key) if each not in self._reopened]
            self._reopened.update(outer)
            stack.extend(outer)
            if _is(self._nodes[key], "hooked"):
                stack.extend(self._parents.get(key, ()))

    def _around(self, key: str) -> Iterator[str]:
        """What a node is part of: the steps or the DAG around it, its group, the node of which it is an attempt."""
        node = self._nodes[key]
        if node.boundary_id in self._nodes:
            yield node.boundary_id
        for parent in self._parents.get(key, ()) if not _is(node, "hooked") else ():
            above = self._nodes[parent]
            if (above.type == RETRY or above.type in _GROUPS) and node.name.startswith(above.name):
                yield parent

    # What is left

    def kept(self) -> dict[str, Node]:
        """The nodes that stay, the reopened ones as if they had just begun."""
        return {key: self._kept(key, node) for key, node in self._nodes.items() if key not in self._deleted}

    def _kept(self, key: str, node: Node) -> Node:
        reopened = key in self._reopened
        children = [child for child in node.children or () if child not in self._deleted]
        outbound = tuple(each for each in node.outbound_nodes if each not in self._deleted)
        if not reopened and len(children) == len(node.children or ()) and len(outbound) == len(node.outbound_nodes):
            return node
        node = copy.copy(node)
        node.children, node.outbound_nodes = children or None, outbound
        if reopened:
            node.phase = SKIPPED if node.phase == SKIPPED else RUNNING
            node.message, node.started_at, node.finished_at = "", self._now, None
        return node


def _is(node: Node, flag: str) -> bool:
    return bool((node.node_flag or {}).get(flag))
