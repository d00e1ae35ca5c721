"""The top of the graph: the entrypoint, the workflow's own hooks, and the exit handler that has the last word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from engine.expressions import ExpressionError, evaluate
from engine.graph.invocation import Invocation
from engine.node import ERROR, FAILED, FULFILLED, SKIPPED, SUCCEEDED, Node
from engine.substitution import SubstitutionError, environment
from engine.template import Context, call_text
from engine.variables import parse_time

if TYPE_CHECKING:
    from engine.graph.graph import Graph

Document = Mapping[str, Any]

ROOT: Final = 0
EXIT: Final = 1


class Entry:
    """Child 0 is the entrypoint, child 1 the exit handler, further ones are lifecycle hooks that fired.

    ``outcome`` is the workflow's phase and message once all of them are done.
    """

    def __init__(self, graph: Graph, spec: Document, context: Context, started_at: str) -> None:
        self.graph = graph
        self.spec = spec
        self.context = context
        self.started_at = started_at
        hooks = {name: hook for name, hook in (spec.get("hooks") or {}).items() if hook}
        self.exit_hook: Document | None = hooks.pop("exit", None)
        if self.exit_hook is None and spec.get("onExit"):
            self.exit_hook = {"template": spec["onExit"]}
        self.lifecycle = hooks
        self.outcome: tuple[str, str] | None = None
        self.started = False
        self._root: Node | None = None
        self._exit: Node | None = None
        self._pending = 0
        self._fired = EXIT

    def start(self) -> None:
        """Call the entrypoint with the workflow's own arguments."""
        self.started = True
        self.graph.watched.append(self)
        arguments = self.spec.get("arguments") or {}
        # Parameters were looked up with the workflow's variables; what has no value here takes the template's default.
        prefix = "workflow.parameters."
        values = {key.removeprefix(prefix): value for key, value in self.graph.scope.items() if key.startswith(prefix)}
        parameters = [
            {"name": each["name"], "value": values[each["name"]]}
            for each in arguments.get("parameters") or ()
            if each["name"] in values
        ]
        call: dict[str, Any] = {
            "template": self.spec["entrypoint"],
            "arguments": {**arguments, "parameters": parameters},
        }
        self._call(ROOT, self.graph.store.workflow, call, on_exit=False)

    def _call(self, key: int, name: str, call: Document, *, on_exit: bool) -> None:
        self._pending += 1
        invocation = Invocation(self, key, name, call, self.context, None, on_exit=on_exit)
        self.graph.invoke(invocation, self.graph.store.adopt(name))

    def child_created(self, key: int, node_id: str) -> None:
        """The nodes at the top have no parent."""

    def child_done(self, key: int, node: Node) -> None:
        self._pending -= 1
        if key == ROOT:
            self._root = node
            self._set_variables(node)
            self.look()
            if self.exit_hook is not None and self.graph.shutdown != "Terminate":
                self._run_exit_handler(node)
        elif key == EXIT:
            self._exit = node
        if self._root is not None and self._pending == 0:
            self.graph.watched.remove(self)
            self.outcome = self._judge(self._root)

    def _set_variables(self, root: Node) -> None:
        """What an exit handler may read of the workflow (Argo's setGlobalRuntimeParameters)."""
        scope, store = self.graph.scope, self.graph.store
        scope["workflow.status"] = root.phase if root.phase not in (SKIPPED, "Omitted") else SUCCEEDED
        scope["workflow.message"] = root.message
        elapsed = self.graph.now - parse_time(self.started_at).timestamp()
        scope["workflow.duration"] = f"{max(elapsed, 0):f}"
        failures = [
            {
                "displayName": node.display_name,
                "message": node.message,
                "templateName": node.template_name,
                "phase": node.phase,
                "podName": node.id,
                "finishedAt": node.finished_at,
            }
            for node in store.nodes.values()
            if node.unsuccessful and node.type == "Pod"
        ]
        scope["workflow.failures"] = orjson.dumps(failures).decode()

    def _run_exit_handler(self, root: Node) -> None:
        assert self.exit_hook is not None
        name = f"{root.name}.onExit"
        if self._holds(self.exit_hook):
            self._fire(EXIT, name, self.exit_hook, on_exit=True)

    def look(self) -> None:
        """Fire the lifecycle hooks whose expressions hold now."""
        for name, hook in list(self.lifecycle.items()):
            if self._holds(hook):
                del self.lifecycle[name]
                self._fired += 1
                self._fire(self._fired, f"{self.graph.store.workflow}.hooks.{name}", hook, on_exit=False)

    def _holds(self, hook: Document) -> bool:
        """Whether the hook's expression holds; one that cannot be evaluated yet does not."""
        if not hook.get("expression"):
            return True
        try:
            return evaluate(hook["expression"], environment(self.graph.scope)) is True
        except ExpressionError:
            return False

    def _fire(self, key: int, name: str, hook: Document, *, on_exit: bool) -> None:
        text = call_text({field: value for field, value in hook.items() if field != "expression"})
        try:
            call: Document = orjson.loads(text.render(self.graph.scope, allow_unresolved=True))
        except SubstitutionError:
            call = hook
        self._call(key, name, call, on_exit=on_exit)

    def _judge(self, root: Node) -> tuple[str, str]:
        """The workflow's phase: the entrypoint's, unless that succeeded and the exit handler did not."""
        if root.phase in (FAILED, ERROR):
            return root.phase, root.message
        if self._exit is not None and self._exit.phase in (FAILED, ERROR):
            return self._exit.phase, self._exit.message
        assert root.phase in FULFILLED
        return SUCCEEDED, ""
