"""A step or task with hooks: the exit handler that runs after it, and the lifecycle hooks that its state sets off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from engine.expressions import ExpressionError, evaluate
from engine.graph.invocation import Invocation, Parent
from engine.graph.outputs import OutputError, resolve_artifact, step_variables
from engine.node import ERROR, Node
from engine.scope import Scope
from engine.substitution import SubstitutionError, environment
from engine.template import Step, call_text

if TYPE_CHECKING:
    from engine.graph.graph import Graph

MAIN = 0


class HookedCall:
    """The call itself is child 0; every hook that fires is a further child. Done when all of them are.

    A hook's own outcome changes nothing: only the workflow's exit handler does (Argo's exit_handler.go).
    """

    def __init__(
        self,
        graph: Graph,
        parent: Parent,
        key: int,
        name: str,
        document: Mapping[str, Any],
        step: Step,
        boundary: Invocation,
        scope: Scope,
        namespace: str,
        existing: Node | None,
    ) -> None:
        self.graph = graph
        self.parent = parent
        self.key = key
        self.scope = scope
        self.prefix = f"{namespace}.{step.name}"
        self.boundary = boundary
        self.main = Invocation(self, MAIN, name, document, boundary.resolved.context, boundary)
        self.existing = existing
        self.exit_hook = step.hooks.get("exit")
        self.lifecycle = {name: hook for name, hook in step.hooks.items() if name != "exit"}
        self.outcome: Node | None = None
        self.fired = 0
        self.pending = 0

    def start(self) -> None:
        """Make the call; lifecycle hooks are looked at whenever the graph has moved."""
        if self.lifecycle:
            self.graph.watched.append(self)
        self.graph.invoke(self.main, self.existing)

    def child_created(self, key: int, node_id: str) -> None:
        if key == MAIN:
            self.parent.child_created(self.key, node_id)
        else:
            self.graph.store.link(self.main.node_id or self.graph.store[node_id].id, node_id)

    def child_done(self, key: int, node: Node) -> None:
        if key == MAIN:
            self.outcome = node
            self.look()
            if self.exit_hook is not None and node.completed:
                self._fire("onExit", self.exit_hook)
        else:
            self.pending -= 1
        if self.outcome is not None and self.pending == 0:
            if self in self.graph.watched:
                self.graph.watched.remove(self)
            self.parent.child_done(self.key, self.outcome)

    def look(self) -> None:
        """Fire the lifecycle hooks whose expressions hold now."""
        node = self.outcome or self.graph.store.get(self.main.node_id)
        if node is None:
            return
        for name, hook in list(self.lifecycle.items()):
            if self._fire(f"hooks.{name}", hook):
                del self.lifecycle[name]

    def _fire(self, suffix: str, hook: Mapping[str, Any]) -> bool:
        node = self.outcome or self.graph.store[self.main.node_id]
        scope = Scope(self.scope, step_variables(self.prefix, node))
        name = f"{self.main.name}.{suffix}"
        existing = self.graph.store.adopt(name)
        try:
            if existing is None and hook.get("expression") and not evaluate(hook["expression"], environment(scope)):
                return False
            call = orjson.loads(
                call_text({key: value for key, value in hook.items() if key != "expression"}).render(scope)
            )
            arguments = call.get("arguments") or {}
            if arguments.get("artifacts"):
                found = [resolve_artifact(artifact, scope) for artifact in arguments["artifacts"]]
                call["arguments"] = {**arguments, "artifacts": [artifact for artifact in found if artifact is not None]}
        except (ExpressionError, SubstitutionError, OutputError) as error:
            failed = self.graph.create_skipped(name, hook, self.boundary, ERROR, str(error))
            self.graph.store.link(node.id, failed.id)
            return True
        self.fired += 1
        self.pending += 1
        invocation = Invocation(
            self, self.fired, name, call, self.boundary.resolved.context, self.boundary, on_exit=suffix == "onExit"
        )
        self.graph.invoke(invocation, existing)
        return True
