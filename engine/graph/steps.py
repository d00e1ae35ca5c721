"""A steps template: groups one after the other, the steps of a group side by side (Argo's steps.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.graph.expansion import Call, ExpansionError, expand, prime
from engine.graph.hooked import HookedCall
from engine.graph.invocation import Invocation
from engine.graph.outputs import OutputError, default_variables, loop_variables, step_variables, template_outputs
from engine.node import ERROR, FAILED, RUNNING, SKIPPED, SKIPPED_TYPE, STEP_GROUP, SUCCEEDED, Node
from engine.scope import Scope
from engine.template import InvalidTemplate, Step

if TYPE_CHECKING:
    from engine.graph.graph import Graph


class Steps:
    """The body of a steps invocation. A group's children are numbered in the order of the manifest."""

    def __init__(self, graph: Graph, invocation: Invocation) -> None:
        self.graph = graph
        self.invocation = invocation
        self.template = invocation.resolved
        self.scope = Scope(graph.scope_of(invocation))
        self.index = -1
        self.group = ""
        self.owners: list[Step] = []
        self.children: list[str] = []
        self.pending = 0
        self.failure: tuple[int, str] | None = None

    def start(self) -> None:
        self._next_group()

    def abandon(self, phase: str, message: str) -> None:
        if self.group and not self.graph.store[self.group].fulfilled:
            self.graph.close_node(self.group, phase, message)

    def _next_group(self) -> None:
        graph, node = self.graph, self.graph.store[self.invocation.node_id]
        previous = self.group
        self.index += 1
        if self.index == len(self.template.steps):
            self._succeed()
            return
        name = f"{node.name}[{self.index}]"
        group = graph.store.adopt(name) or graph.create(
            name,
            STEP_GROUP,
            RUNNING,
            self.invocation,
            template_scope=self.invocation.resolved.context.scope,
            started_at=graph.timestamp,
        )
        self.group = group.id
        if not previous:
            graph.store.link(node.id, group.id)
        elif not graph.store[previous].children:
            graph.store.link(previous, group.id)
        else:
            for child in graph.store[previous].children or ():
                for outbound in graph.store.outbound(child):
                    graph.store.link(outbound, group.id)
        self._start_group(group)

    def _start_group(self, group: Node) -> None:
        self.owners, self.children, self.pending, self.failure = [], [], 0, None
        try:
            steps = [(step, prime(expand(step, self.scope, self.template.context))) for step in self._steps()]
        except ExpansionError as error:
            self._end_group(ERROR, str(error))
            return
        # Children are done only once the graph settles, so none of them is before all of them are counted.
        for step, calls in steps:
            for call in calls:
                self.owners.append(step)
                self.children.append("")
                self.pending += 1
                self._make(len(self.owners) - 1, f"{group.name}.{step.name}{call.suffix}", call, step)
        if not self.owners:
            self._assess_group()

    def _steps(self) -> list[Step]:
        return self.template.steps[self.index]

    def _make(self, key: int, name: str, call: Call, step: Step) -> None:
        graph = self.graph
        existing = graph.store.adopt(name)
        if existing is not None and existing.type == SKIPPED_TYPE:
            graph.emit(self, key, existing)
        elif call.error is not None:
            self._skip(key, name, call, ERROR, call.error)
        elif call.skipped is not None:
            self._skip(key, name, call, SKIPPED, call.skipped)
        elif step.hooks:
            HookedCall(
                graph, self, key, name, call.document, step, self.invocation, self.scope, "steps", existing
            ).start()
        else:
            context = self.template.context
            graph.invoke(Invocation(self, key, name, call.document, context, self.invocation), existing)

    def _skip(self, key: int, name: str, call: Call, phase: str, message: str) -> None:
        node = self.graph.create_skipped(name, call.document, self.invocation, phase, message)
        self.graph.emit(self, key, node)

    def child_created(self, key: int, node_id: str) -> None:
        """A child has its node: it hangs under the group from now on."""
        self.children[key] = node_id
        self.graph.store.link(self.group, node_id)

    def child_done(self, key: int, node: Node) -> None:
        self.child_created(key, node.id)
        self.pending -= 1
        matters = node.unsuccessful and not self.owners[key].continues_on(node.phase)
        if matters and (self.failure is None or key < self.failure[0]):
            self.failure = (key, node.id)
        if self.pending == 0 and not self.graph.store[self.invocation.node_id].fulfilled:
            self._assess_group()

    def _assess_group(self) -> None:
        if self.failure is not None:
            _, node_id = self.failure
            if self.graph.store[node_id].type == SKIPPED_TYPE:
                self._end_group(ERROR, self.graph.store[node_id].message)
            else:
                self._end_group(FAILED, f"child '{node_id}' failed")
            return
        try:
            self._read_outputs()
        except OutputError as error:
            self._fail(ERROR, str(error))
            return
        self._end_group(SUCCEEDED, "")

    def _end_group(self, phase: str, message: str) -> None:
        group = self.graph.store[self.group]
        if not group.fulfilled:
            self.graph.close_node(self.group, phase, message)
        if phase == SUCCEEDED:
            self._next_group()
        else:
            self._fail(FAILED, message)  # whatever ended the group, the steps node is Failed

    def _read_outputs(self) -> None:
        loops: dict[str, list[Node]] = {}
        for key, node_id in enumerate(self.children):
            step, node = self.owners[key], self.graph.store[node_id]
            prefix = f"steps.{step.name}"
            if node.phase == SKIPPED:
                self._read_defaults(prefix, step, node)
            if step.loop is None or node.display_name == step.name:
                self.scope.update(step_variables(prefix, node))
            elif node.type != SKIPPED_TYPE:
                loops.setdefault(step.name, []).append(node)
        for name, nodes in loops.items():
            if name in self.template.mentions:
                self.scope.update(loop_variables(f"steps.{name}", nodes))

    def _read_defaults(self, prefix: str, step: Step, node: Node) -> None:
        try:
            called = self.template.context.resolve(step.document)
        except InvalidTemplate:
            return
        self.scope.update(default_variables(prefix, called, self.scope))

    def _outbound(self) -> tuple[str, ...]:
        children = self.graph.store[self.group].children or () if self.group else ()
        return tuple(outbound for child in children for outbound in self.graph.store.outbound(child))

    def _succeed(self) -> None:
        try:
            outputs: dict[str, Any] | None = template_outputs(self.template, self.scope)
        except OutputError as error:
            self._fail(ERROR, str(error))
            return
        self.graph.finish(self.invocation, SUCCEEDED, "", outputs=outputs, outbound=self._outbound())

    def _fail(self, phase: str, message: str) -> None:
        self.graph.finish(self.invocation, phase, message, outbound=self._outbound())
