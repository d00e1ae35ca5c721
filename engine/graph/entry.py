"""The top of the graph: the entrypoint, the workflow's own hooks, and the exit handler that has the last word."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import orjson

from engine.expressions import ExpressionError
from engine.expressions.gotext import html_safe
from engine.graph.ends import end_daemon, end_inside, finish
from engine.graph.expansion import ExpansionError, holds, hook_call
from engine.graph.graph import Invoking
from engine.graph.invocation import Invocation
from engine.graph.nodes import pod_name
from engine.graph.shutdown import expire_at
from engine.model.node import ERROR, OMITTED, SKIPPED, SUCCEEDED, UNSUCCESSFUL, Node
from engine.model.pace import PIECE, Pieces
from engine.shape import Document
from engine.substitution.variables import parse_time
from engine.templates.template import Hook, Resolving, read_hooks

ROOT: Final = 0
EXIT: Final = 1
_RUNTIME: Final = ("workflow.status", "workflow.duration")
"""The variables that change while the workflow runs, which its spec is not filled in with (setExecWorkflow)."""


class Entry:
    """Child 0 is the entrypoint, child 1 the exit handler, further ones are lifecycle hooks that fired.

    ``outcome`` is the workflow's phase and message once all of them are done.
    """

    def __init__(self, calls: Invoking, spec: Document, context: Resolving) -> None:
        self.graph = calls.graph
        self._calls = calls
        self.spec = spec
        self.context = context
        self.lifecycle, self.exit_hook = read_hooks(spec)
        tagged = any("{{" in hook.expression for hook in self.lifecycle.values())
        self._known = {key: self.graph.scope[key] for key in self.graph.scope if key not in _RUNTIME} if tagged else {}
        """What tags in the conditions of hooks stand for: they are filled in once, with the spec."""
        self.outcome: tuple[str, str] | None = None
        self._root: Node | None = None
        self._root_id = ""
        self._running = 0
        """Lifecycle hooks that fired and are not done."""
        self._fired = EXIT
        self._seen: tuple[str, int] | None = None

    def start(self, began: str) -> None:
        """Call the entrypoint with the workflow's own arguments; it has the time that it may take from ``began`` on."""
        graph, arguments = self.graph, self.spec.get("arguments") or {}
        graph.began = parse_time(began).timestamp()
        graph.set_time(graph.now, graph.scope.now)
        deadline = self.spec.get("activeDeadlineSeconds")
        if deadline is not None:
            expire_at(graph, graph.began + deadline)
        parameters = [
            {"name": each["name"], "value": graph.scope[f"workflow.parameters.{each['name']}"]}
            for each in arguments.get("parameters") or ()
        ]
        graph.arguments = {**arguments, "parameters": parameters}
        graph.turns.watch(self)
        call = {"template": self.spec.get("entrypoint") or "", "arguments": graph.arguments}
        self._invoke(ROOT, graph.store.workflow, call)

    def _invoke(self, key: int, name: str, call: Document) -> None:
        flag = "" if key == ROOT else "hooked"
        invocation = Invocation(self, key, name, call, self.context, None, key == EXIT, flag)
        self._calls.invoke(invocation, self.graph.store.adopt(name))

    # As the parent of what is at the top

    def child_created(self, key: int, node_id: str) -> None:
        """Lifecycle hooks hang under the root, the exit handler stands alone."""
        if key == ROOT:
            self._root_id = node_id
        elif key != EXIT:
            self.graph.store.link(self._root_id, node_id)

    def child_done(self, key: int, node: Node) -> None:
        if key == EXIT:
            self._finish(*self._judge(node))
            return
        if key == ROOT:
            self._root = node
            self.graph.turns.at_length(self._root_done(node))
            return
        self._running -= 1
        if self._root is not None and self._running == 0:
            self._wind_up()

    def _root_done(self, root: Node) -> Pieces:
        yield from self._set_variables(root)
        yield from self._look()
        if self._running == 0:
            self._wind_up()

    def child_raised(self, key: int, node: Node) -> None:
        if key == ROOT:
            self._finish(ERROR, f"error in entry template execution: {node.message}")
        elif key == EXIT:
            self._finish(ERROR, f"error in exit template execution : {node.message}")
        else:
            self._running -= 1
            self._fail_root(node.message)

    def child_lost(self, key: int, node: Node) -> None:
        """A daemon that ended early, with nobody left to mind."""

    # Hooks

    @property
    def subject(self) -> str:
        """These hooks are the workflow's."""
        return ""

    def look(self) -> None:
        """Fire the lifecycle hooks whose expressions hold now."""
        if self.outcome is None:
            self.graph.turns.at_length(self._look())

    def _look(self) -> Pieces:
        root = self.graph.store.get(self._root_id)
        if root is None or self.outcome is not None:
            return
        state = (self.graph.scope["workflow.status"], self.graph.outputs.version)
        if state == self._seen and not self.graph.restoring:
            return
        self._seen = state if self.graph.exact or not self.graph.restoring else None
        for name, hook in list(self.lifecycle.items()):
            try:
                known = self.graph.knows(f"{root.name}.hooks.{name}")
                if known or (not self.graph.restoring and holds(hook, self.graph.scope, self._known)):
                    del self.lifecycle[name]
                    yield from self._fire(name, hook)
            except (ExpressionError, ExpansionError) as error:
                self._fail_root(str(error))
                return

    def _fire(self, name: str, hook: Hook) -> Pieces:
        self.graph.scope["workflow.failures"] = yield from self._failures()
        call = hook_call(hook, self.graph.scope, {}, inside=False)
        self._fired += 1
        self._running += 1
        self._invoke(self._fired, f"{self.graph.store.workflow}.hooks.{name}", call)

    def _fail_root(self, message: str) -> None:
        """A hook that cannot be called makes the root Error (Argo's executeTmplLifeCycleHook), if it is not over."""
        self.graph.turns.unwatch(self)
        invocation = self.graph.live.get(self._root_id)
        if invocation is not None and self.graph.is_open(invocation):
            if invocation.body is not None:
                self.graph.turns.at_length(end_inside(self.graph, invocation, ERROR, message))
            else:
                finish(self.graph, invocation, ERROR, message)
        elif self._root is not None and self._running == 0:
            self._wind_up()

    def _wind_up(self) -> None:
        """The entrypoint and all lifecycle hooks are done: the exit handler is next, if there is one."""
        assert self._root is not None
        hook, self.exit_hook = self.exit_hook, None
        name = f"{self.graph.store.workflow}.onExit"
        if hook is None or (self.graph.closing.shutdown == "Terminate" and not self.graph.knows(name)):
            self._finish(*self._judge(None))
            return
        try:
            call = hook_call(hook, self.graph.scope, self.graph.arguments, inside=False)
        except ExpansionError as error:
            self._finish(ERROR, f"error in exit template execution : {error}")
            return
        self._invoke(EXIT, name, call)

    # The end

    def _set_variables(self, root: Node) -> Pieces:
        """What an exit handler may read of the workflow (Argo's setGlobalRuntimeParameters)."""
        scope = self.graph.scope
        scope["workflow.status"] = root.phase if root.phase not in (SKIPPED, OMITTED) else SUCCEEDED
        scope["workflow.message"] = root.message
        scope["workflow.failures"] = yield from self._failures()

    def _failures(self) -> Generator[None, None, str]:
        """The nodes that did not succeed, as a JSON text in quotes (failedNodeStatus in operator.go)."""
        store, found = self.graph.store, ['"[']
        for number, node in enumerate(store.nodes.values()):
            if node.phase in UNSUCCESSFUL:
                template = (node.template_ref or {}).get("template") or node.template_name
                failure = {
                    "displayName": node.display_name,
                    "message": node.message,
                    "templateName": template,
                    "phase": node.phase,
                    "podName": pod_name(store.workflow, template, node.id),
                    "finishedAt": node.finished_at,
                }
                text = html_safe(orjson.dumps(failure).decode())
                found += (orjson.dumps(text)[1:-1].decode(), ",")
                yield
            if not number % PIECE:
                yield
        found[-1] = ']"'
        return "".join(found) if len(found) > 1 else '"null"'

    def _judge(self, exit_node: Node | None) -> tuple[str, str]:
        """The workflow's phase: the entrypoint's, unless that succeeded and the exit handler did not."""
        root = self._root
        assert root is not None
        phase, message = root.phase, root.message
        if root.daemoned:
            phase = SUCCEEDED
        if not root.unsuccessful and exit_node is not None and exit_node.unsuccessful:
            phase, message = exit_node.phase, exit_node.message
        if phase not in ("Failed", "Error"):
            return SUCCEEDED, ""
        return phase, self.graph.closing.stopped() if self.graph.closing.shutdown else message

    def close(self) -> Pieces:
        """The workflow is over: so are daemons that no steps or DAG stand around."""
        for invocation in (yield from self.graph.unfinished()):
            yield
            if self.graph.store[invocation.node_id].daemoned:
                end_daemon(self.graph, invocation)

    def _finish(self, phase: str, message: str) -> None:
        if self.outcome is None:
            self.graph.turns.unwatch(self)
            self.outcome = phase, message
