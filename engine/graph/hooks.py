"""Hooks of steps and tasks: the lifecycle hooks that a node's state sets off, and the exit handler that runs after it.

A hook's own outcome changes nothing (only the workflow's exit handler does: Argo's exit_handler.go), but its node is
done only when its hooks are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engine.expressions import ExpressionError
from engine.graph.expansion import ExpansionError, holds, hook_call
from engine.graph.graph import Invoking
from engine.graph.invocation import HookedParent, Invocation
from engine.graph.outputs import spokesman, step_variables
from engine.model.node import Node
from engine.substitution.scope import Scope
from engine.templates.template import Hook


class Owner(Protocol):
    """Whose node has the hooks."""

    def hooks_done(self) -> None:
        """The node ended, and so did all its hooks. Said once."""
        ...

    def hook_failed(self, message: str, *, exiting: bool) -> None:
        """A hook cannot be called."""
        ...


class Hooks:
    """The hooks of one node, `subject`, which is there once they `begin`. Hooks that fire are numbered as they do."""

    def __init__(
        self,
        calls: Invoking,
        owner: Owner,
        boundary: Invocation,
        scope: Scope,
        prefix: str,
        lifecycle: Mapping[str, Hook],
        exit_hook: Hook | None,
        others: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """``others`` are variables that its conditions may read besides."""
        self.graph = calls.graph
        self._calls = calls
        self._others = others
        self.owner = owner
        self.boundary = boundary
        self.scope = scope
        own = scope.parent if prefix.startswith("tasks.") else None
        self._known = scope if own is None else own
        """What tags in conditions stand for: those of a step are filled in with the step, those of a task with the
        template in which it stands, which knows no tasks (executeStepGroup and executeDAGTask)."""
        self.prefix = prefix
        self.subject = ""
        self._lifecycle = dict(lifecycle)
        self._exit = exit_hook
        self._seen: tuple[int, dict[str, Any]] | None = None
        self._fired = 0
        self._pending = 0
        self._ended = False

    def begin(self, subject: str) -> None:
        """The node is there: from now on its state may set hooks off."""
        self.subject = subject
        if self._lifecycle:
            self.graph.turns.watch(self)

    def look(self) -> None:
        """Fire the lifecycle hooks whose expressions hold now; they are asked again when what they can see changes."""
        node = self.graph.store.get(self.subject)
        if node is not None and self.graph.restoring:
            self._recall(node)
            return
        if node is None or self._seen == (seen := (self.graph.outputs.version, self._state(node))):
            return
        if not self.graph.is_open(self.boundary):
            self.graph.turns.unwatch(self)
            return
        self._seen = seen
        for name, hook in list(self._lifecycle.items()):
            if self._fire(f"hooks.{name}", hook, exiting=False):
                del self._lifecycle[name]

    def _recall(self, node: Node) -> None:
        """Fire those hooks that had fired before this walk began."""
        for name, hook in list(self._lifecycle.items()):
            if self.graph.knows(f"{node.name}.hooks.{name}"):
                del self._lifecycle[name]
                self._fire(f"hooks.{name}", hook, exiting=False)
        if self.graph.exact:
            self._seen = self.graph.outputs.version, self._state(node)

    def end(self) -> None:
        """The node ended: hooks that did not fire by now never will, but for the exit handler."""
        self.look()
        self._ended = True
        self.graph.turns.unwatch(self)
        self._advance()

    def _advance(self) -> None:
        if not self._ended or self._pending or not self.graph.is_open(self.boundary):
            return
        hook, self._exit = self._exit, None
        node = self.graph.store[self.subject]
        if hook is not None and node.completed and self.graph.closing.shutdown != "Terminate":
            self._fire("onExit", hook, exiting=True)
        if not self._pending:
            self._ended = False
            self.owner.hooks_done()

    def _fire(self, suffix: str, hook: Hook, *, exiting: bool) -> bool:
        """Make the hook's call if its expression holds; whether this hook is settled."""
        node = self.graph.store[self.subject]
        name = f"{node.name}.{suffix}"
        known = self.graph.knows(name)
        if not known and self.graph.replaying:
            return True
        existing = self.graph.store.adopt(name)
        state = self._state(node)
        scope = Scope(self.scope, state)
        try:
            needs_condition = hook.expression or not exiting
            if not known and needs_condition and not holds(hook, scope, self._known):
                return False
            left = step_variables(self.prefix, spokesman(node, self.graph.store))
            call = hook_call(hook, Scope(self.scope, {**left, **state}), self.graph.arguments if exiting else {})
        except (ExpressionError, ExpansionError) as error:
            self.owner.hook_failed(str(error), exiting=exiting)
            return True
        self._fired += 1
        self._pending += 1
        context = self.boundary.resolved.context
        invocation = Invocation(self, self._fired, name, call, context, self.boundary, exiting, "hooked")
        self._calls.invoke(invocation, existing)
        return True

    def _state(self, node: Node) -> dict[str, Any]:
        """What the conditions of hooks may read of the node. A step's status goes by what the node is called, which
        for the turn of a loop is not the step's name (executeStepGroup in steps.go)."""
        named = f"steps.{node.display_name}" if self.prefix.startswith("steps.") else self.prefix
        return {**self._others(), f"{named}.status": node.phase}

    # As the parent of the hooks' own invocations

    def child_created(self, key: int, node_id: str) -> None:
        self.graph.store.link(self.subject, node_id)

    def child_done(self, key: int, node: Node) -> None:
        self._pending -= 1
        self._advance()

    def child_raised(self, key: int, node: Node) -> None:
        self.owner.hook_failed(node.message, exiting=node.name == f"{self.graph.store[self.subject].name}.onExit")
        self.child_done(key, node)

    def child_lost(self, key: int, node: Node) -> None:
        """A hook that is a daemon was done when it came up."""


class HookedCall:
    """A call with hooks, between its parent and its invocation: done when all of them are."""

    def __init__(
        self,
        hooks: tuple[Mapping[str, Hook], Hook | None],
        parent: HookedParent,
        key: int,
        prefix: str,
        scope: Scope,
        boundary: Invocation,
        calls: Invoking,
        others: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.parent = parent
        self.key = key
        self.outcome: Node | None = None
        self.hooks = Hooks(calls, self, boundary, scope, prefix, *hooks, others=others)

    def child_created(self, key: int, node_id: str) -> None:
        self.hooks.begin(node_id)
        self.parent.child_created(self.key, node_id)

    def child_done(self, key: int, node: Node) -> None:
        self.outcome = node
        self.hooks.end()

    def child_raised(self, key: int, node: Node) -> None:
        if self.parent.child_blamed(self.key, node):
            self.child_done(key, node)
        else:
            self.hooks.graph.turns.unwatch(self.hooks)

    def child_lost(self, key: int, node: Node) -> None:
        self.parent.child_lost(self.key, node)

    def hooks_done(self) -> None:
        assert self.outcome is not None
        self.parent.child_done(self.key, self.hooks.graph.store[self.outcome.id])

    def hook_failed(self, message: str, *, exiting: bool) -> None:
        self.parent.child_hook_failed(self.key, message, exiting=exiting)
