"""A looped task: a TaskGroup node whose children are its turns (executeDAGTask in Argo's dag.go)."""

from __future__ import annotations

from collections.abc import Sequence

from engine.graph.graph import Invoking
from engine.graph.hooks import Hooks
from engine.graph.invocation import HookedParent, Invocation
from engine.model.node import SUCCEEDED, Node
from engine.substitution.scope import Scope
from engine.templates.template import Step


class TaskGroup:
    """The turns of one looped task: the children of its TaskGroup node.

    Lifecycle hooks are the group's; an exit handler runs for every turn and for the group, too, as in Argo.
    """

    def __init__(
        self,
        calls: Invoking,
        parent: HookedParent,
        key: int,
        boundary: Invocation,
        task: Step,
        group: str,
        scope: Scope,
    ) -> None:
        self.graph = calls.graph
        self.parent = parent
        self.key = key
        self.group = group
        self.pending = 0
        self.failure = (-1, SUCCEEDED)
        """The last turn, in the order of the items, that failed, and its phase, which is that of the group."""
        self.hooks: Hooks | None = None
        if task.hooks or task.exit_hook is not None:
            prefix = f"tasks.{task.name}"
            self.hooks = Hooks(calls, self, boundary, scope, prefix, task.hooks, task.exit_hook)
            self.hooks.begin(group)

    def child_created(self, key: int, node_id: str) -> None:
        self.graph.store.link(self.group, node_id)

    def children_created(self, key: int, node_ids: Sequence[str]) -> None:
        self.graph.store.link_all(self.group, node_ids)

    def child_done(self, key: int, node: Node) -> None:
        self.pending -= 1
        self._note_failure(key, node)
        if self.pending:
            return
        if not self.graph.store[self.group].fulfilled:
            self.graph.close_node(self.group, self.failure[1], "")
        if self.hooks is not None:
            self.hooks.end()
        else:
            self.hooks_done()

    def _note_failure(self, key: int, node: Node) -> None:
        if node.unsuccessful and key > self.failure[0]:
            self.failure = (key, node.phase)

    def child_raised(self, key: int, node: Node) -> None:
        self.child_blamed(key, node)
        self.child_done(key, self.graph.store[node.id])

    def child_blamed(self, key: int, node: Node) -> bool:
        return self.parent.child_blamed(self.key, node)

    def child_lost(self, key: int, node: Node) -> None:
        self._note_failure(key, node)

    def child_hook_failed(self, key: int, message: str, *, exiting: bool) -> None:
        if not exiting:
            self.hook_failed(message, exiting=exiting)

    def hook_failed(self, message: str, *, exiting: bool) -> None:
        self.parent.child_hook_failed(self.key, message, exiting=exiting)

    def hooks_done(self) -> None:
        self.parent.child_done(self.key, self.graph.store[self.group])
