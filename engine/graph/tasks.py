"""What the tasks of a DAG leave for those after them, and for its outputs."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from engine.graph.ancestry import Ancestry
from engine.graph.nodes import NodeStore
from engine.graph.outputs import default_variables, loop_variables, spokesman, step_variables
from engine.model.node import OMITTED, SKIPPED, TASK_GROUP, Node
from engine.model.pace import Pieces
from engine.substitution.scope import Scope
from engine.templates.template import InvalidTemplate, Mentions, Step, Template


class Finished:
    """Those ``tasks`` of `template` that are done, which have their ``nodes``; ``parents`` are those in front of each
    task, and ``own`` are the variables of the DAG itself."""

    def __init__(
        self,
        store: NodeStore,
        template: Template,
        own: Scope,
        tasks: Mapping[str, Step],
        nodes: Mapping[str, str],
        parents: Mapping[str, Sequence[str]],
    ) -> None:
        self._store = store
        self._template = template
        self._own = own
        self._nodes = nodes
        self._parents = parents
        self._tasks = tasks
        self._ancestry: Ancestry | None = None
        self._known: dict[str, dict[str, Any]] = {}

    def read_ancestors(self, name: str, scope: Scope) -> Pieces:
        """The variables of those ancestors, near or far, that the task mentions. An expression finds `tasks` as soon as
        there is any ancestor, so that what it guards may be missing from them. Raises `OutputError`."""
        mentions = self._tasks[name].mentions
        for ancestor in mentions.among(self._nodes):
            if self._ancestry is None:
                self._ancestry = Ancestry(self._parents)
            if self._ancestry.is_ancestor(ancestor, name):
                scope.update((yield from self._variables(ancestor)))
        if mentions.expressed and not scope and self._parents[name]:
            scope.update((yield from self._variables(self._parents[name][0])))

    def read_all(self, mentions: Mentions, scope: Scope) -> Pieces:
        """The variables of all that are mentioned, likewise."""
        named = mentions.among(self._nodes)
        for name in named if named or not mentions.expressed else list(self._nodes)[:1]:
            scope.update((yield from self._variables(name)))

    def _variables(self, name: str) -> Generator[None, None, dict[str, Any]]:
        """What a finished task defines. A loop's lists are long, and many tasks may read them."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = yield from self._collect(name)
        return known

    def _collect(self, name: str) -> Generator[None, None, dict[str, Any]]:
        store, prefix = self._store, f"tasks.{name}"
        node = store[self._nodes[name]]
        variables = step_variables(prefix, spokesman(node, store))
        if node.phase in (SKIPPED, OMITTED):
            try:
                called = self._template.context.resolve(self._tasks[name].document)
            except InvalidTemplate:
                return variables
            variables.update(default_variables(prefix, called, self._own, artifacts=False))
        if node.type == TASK_GROUP:
            turns = list[tuple[int, int, Node]]()
            for child in node.children or ():
                turn = store[child]
                if turn.name.startswith(f"{node.name}("):
                    turns.append((_turn(len(node.name) + 1, turn), len(turns), turn))
                yield
            turns.sort()  # one that was retried may come last
            if turns:
                results = name in self._template.mentions.results
                variables.update((yield from loop_variables(prefix, [turn for *_, turn in turns], results=results)))
        return variables


def _turn(start: int, node: Node) -> int:
    """The number of a loop's turn, which stands at `start` in its node's name (Argo's loopNodes)."""
    number = node.name[start:].partition(":")[0]
    return int(number) if number.isdecimal() else 0
