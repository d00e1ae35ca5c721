"""A DAG template: tasks that run when what they depend on is done (Argo's dag.go and ancestry.go)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from engine.expressions import ExpressionError
from engine.expressions.depends import Depends, parse_depends
from engine.graph.expansion import Call, ExpansionError, expand
from engine.graph.hooked import HookedCall
from engine.graph.invocation import Invocation, Parent
from engine.graph.outputs import OutputError, default_variables, loop_variables, step_variables, template_outputs
from engine.node import (
    ERROR,
    FAILED,
    OMITTED,
    PENDING,
    RUNNING,
    SKIPPED,
    SKIPPED_TYPE,
    SUCCEEDED,
    TASK_GROUP,
    UNSUCCESSFUL,
    Node,
)
from engine.scope import Scope
from engine.substitution import SubstitutionError, render_string
from engine.template import InvalidTemplate, Step, Template

if TYPE_CHECKING:
    from engine.graph.graph import Graph


def dependencies(template: Template) -> dict[str, Depends | None]:
    """What each task depends on, None for a root. Raises `ExpressionError` where a `depends` cannot be parsed.

    A list of `dependencies` means what Argo's expandDependency makes of it: each one succeeded, was skipped or is a
    daemon, or failed where its own `continueOn` says that this does not matter. Omitted is none of these.
    """
    forgiven = {
        task.name: [
            status for field, status in (("failed", "Failed"), ("error", "Errored")) if task.continue_on.get(field)
        ]
        for task in template.tasks
    }
    result: dict[str, Depends | None] = {}
    for task in template.tasks:
        text = task.document.get("depends") or " && ".join(task.document.get("dependencies") or ())
        result[task.name] = parse_depends(text, forgiven) if text else None
    return result


class Dag:
    """The body of a DAG invocation: counts down what each task still waits for, so that no pass rescans the graph."""

    def __init__(self, graph: Graph, invocation: Invocation) -> None:
        self.graph = graph
        self.invocation = invocation
        self.template = invocation.resolved
        self.scope = Scope(graph.scope_of(invocation))
        self.tasks = {task.name: task for task in self.template.tasks}
        self.names = list(self.tasks)
        self.index = {name: key for key, name in enumerate(self.names)}
        self.nodes: dict[str, Node] = {}
        self.branches: dict[str, str] = {}
        self.targets: list[str] = []
        self.depends: dict[str, Depends | None] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.waits: dict[str, int] = {}
        self.dependents: dict[str, list[str]] = {}
        self.open = 0
        self.groups: list[str] = []

    def start(self) -> None:
        try:
            self.depends = self.graph.dependencies(self.template)
            self.parents = {name: () if each is None else tuple(each.tasks) for name, each in self.depends.items()}
            self.targets = self._find_targets()
        except (ExpressionError, InvalidTemplate, SubstitutionError) as error:
            self.graph.finish(self.invocation, ERROR, str(error))
            return
        needed = self._needed()
        self.open = len(needed)
        for name in needed:
            ancestors = self.parents[name]
            self.waits[name] = len(ancestors)
            for ancestor in ancestors:
                self.dependents.setdefault(ancestor, []).append(name)
        roots = [name for name in needed if self.waits[name] == 0]
        for name in roots:
            self._execute(name)
        if not needed:
            self._assess()

    def abandon(self, phase: str, message: str) -> None:
        for child in self.groups:
            if not self.graph.store[child].fulfilled:
                self.graph.close_node(child, phase, message)

    def _find_targets(self) -> list[str]:
        target = self.template.dag.get("target")
        if target:
            names = render_string(target, self.graph.scope_of(self.invocation)).split()
            for name in names:
                if name not in self.tasks:
                    raise InvalidTemplate(f"target '{name}' is not defined")
            return names
        inner = {ancestor for name in self.names for ancestor in self.parents[name]}
        return sorted(name for name in self.names if name not in inner)

    def _needed(self) -> list[str]:
        """The targets and all they stand on, in the order of the manifest."""
        found: set[str] = set()
        stack = list(self.targets)
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack.extend(self.parents[name])
        return [name for name in self.names if name in found]

    def _execute(self, name: str) -> None:
        """All that the task waits for is done: run it, or omit it."""
        task, depends = self.tasks[name], self.depends[name]
        node_name = f"{self.graph.store[self.invocation.node_id].name}.{name}"
        existing = self.graph.store.adopt(node_name)
        if existing is not None and existing.fulfilled and existing.type == SKIPPED_TYPE:
            self.graph.emit(self, self.index[name], existing)
            return
        if existing is None and depends is not None and not depends.evaluate(self._holds):
            self._skip(name, node_name, OMITTED, "omitted: depends condition not met")
            return
        scope = Scope(self.scope)
        self._read_ancestors(name, scope)
        try:
            calls = expand(task, scope, self.template.context)
            first = next(calls)
        except ExpansionError as error:
            self._skip(name, node_name, ERROR, str(error))
            return
        if first.suffix:
            self._execute_loop(name, node_name, chain([first], calls), scope, existing)
        else:
            self.run(self, self.index[name], node_name, first, task, scope, existing)

    def run(
        self, parent: Parent, key: int, name: str, call: Call, task: Step, scope: Scope, existing: Node | None
    ) -> None:
        """Make one call of a task, on behalf of `parent`."""
        if call.error is not None or call.skipped is not None:
            phase = ERROR if call.error is not None else SKIPPED
            node = self.graph.create_skipped(
                name, call.document, self.invocation, phase, call.error or call.skipped or ""
            )
            parent.child_created(key, node.id)
            self.graph.emit(parent, key, node)
        elif task.hooks:
            HookedCall(
                self.graph, parent, key, name, call.document, task, self.invocation, scope, "tasks", existing
            ).start()
        else:
            invocation = Invocation(parent, key, name, call.document, self.template.context, self.invocation)
            self.graph.invoke(invocation, existing)

    def _execute_loop(
        self, name: str, node_name: str, calls: Iterator[Call], scope: Scope, existing: Node | None
    ) -> None:
        task = self.tasks[name]
        group = existing or self.graph.create(
            node_name,
            TASK_GROUP,
            RUNNING,
            self.invocation,
            template_name=task.document.get("template") or "",
            template_ref=task.document.get("templateRef"),
            template_scope=self.template.context.scope,
            started_at=self.graph.timestamp,
        )
        self.groups.append(group.id)
        self.child_created(self.index[name], group.id)
        loop = Loop(self, name, group.id)
        for key, call in enumerate(calls):
            loop.pending += 1
            child = f"{node_name}{call.suffix}"
            adopted = self.graph.store.adopt(child)
            if adopted is not None and adopted.type == SKIPPED_TYPE:
                self.graph.emit(loop, key, adopted)
            else:
                self.run(loop, key, child, call, task, scope, adopted)

    def _skip(self, name: str, node_name: str, phase: str, message: str) -> None:
        node = self.graph.create_skipped(node_name, self.tasks[name].document, self.invocation, phase, message)
        self.child_created(self.index[name], node.id)
        self.graph.emit(self, self.index[name], node)

    def child_created(self, key: int, node_id: str) -> None:
        """Hang the task under what it depends on, or under the DAG itself (Argo's connectDependencies)."""
        store = self.graph.store
        parents = self.parents[self.names[key]]
        if not parents:
            store.link(self.invocation.node_id, node_id)
        for parent in parents:
            for outbound in store.outbound(self.nodes[parent].id):
                store.link(outbound, node_id)

    def child_done(self, key: int, node: Node) -> None:
        name = self.names[key]
        self.nodes[name] = node
        self.branches[name] = self._branch(name, node)
        self.open -= 1
        if self.graph.store[self.invocation.node_id].fulfilled:
            return
        for dependent in self.dependents.get(name, ()):
            self.waits[dependent] -= 1
            if self.waits[dependent] == 0:
                self._execute(dependent)
        if self.open == 0:
            self._assess()

    def _branch(self, name: str, node: Node) -> str:
        """The phase by which a target is judged: its own, or its ancestors' where it did not run."""
        if node.completed or node.daemoned:
            return node.phase if node.completed else SUCCEEDED
        phases = [self.branches[parent] for parent in self.parents[name]]
        return next((phase for phase in phases if phase in UNSUCCESSFUL), SUCCEEDED)

    def _holds(self, task: str, status: str) -> bool:
        node = self.nodes[task]
        match status:
            case "Succeeded" | "Failed" | "Skipped" | "Omitted":
                return node.phase == status
            case "Errored":
                return node.phase == ERROR
            case "Daemoned":
                return bool(node.daemoned) and node.phase != PENDING
        children = [self.graph.store[child] for child in node.children or ()] if node.type == TASK_GROUP else []
        if status == "AnySucceeded":
            return any(child.phase == SUCCEEDED for child in children)
        return bool(children) and all(child.phase == FAILED for child in children)

    def _read_ancestors(self, name: str, scope: Scope) -> None:
        """The variables of those ancestors, near or far, that the task mentions."""
        mentioned = self.tasks[name].mentions & self.nodes.keys()
        if not mentioned:
            return
        seen: set[str] = set()
        stack = list(self.parents[name])
        while stack and not mentioned <= seen:
            ancestor = stack.pop()
            if ancestor not in seen:
                seen.add(ancestor)
                stack.extend(self.parents[ancestor])
        for ancestor in sorted(mentioned & seen):
            scope.update(self._variables(ancestor))

    def _variables(self, name: str) -> dict[str, object]:
        node, prefix = self.nodes[name], f"tasks.{name}"
        variables: dict[str, object] = dict(step_variables(prefix, node))
        if node.phase in (SKIPPED, OMITTED):
            try:
                called = self.template.context.resolve(self.tasks[name].document)
            except InvalidTemplate:
                return variables
            variables.update(default_variables(prefix, called, self.scope))
        if node.type == TASK_GROUP:
            children = (self.graph.store[child] for child in node.children or ())
            variables.update(
                loop_variables(prefix, (child for child in children if child.name.startswith(f"{node.name}(")))
            )
        return variables

    def _assess(self) -> None:
        """Judge the DAG by its targets alone: a failure that something downstream handled is none."""
        outbound = tuple(
            leaf
            for name in self.targets
            if name in self.nodes
            for leaf in self.graph.store.outbound(self.nodes[name].id)
        )
        result = SUCCEEDED
        fail_fast = self.template.dag.get("failFast", True)
        for name in self.targets:
            branch = self.branches[name]
            if branch in UNSUCCESSFUL and not self.tasks[name].continues_on(branch):
                result = branch
                if fail_fast:
                    break
        if result != SUCCEEDED:
            self.graph.finish(self.invocation, result, "", outbound=outbound)
            return
        try:
            if self.template.outputs:
                for name in self.nodes:
                    self.scope.update(self._variables(name))
            outputs = template_outputs(self.template, self.scope)
        except OutputError as error:
            self.graph.finish(self.invocation, ERROR, str(error), outbound=outbound)
            return
        self.graph.finish(self.invocation, SUCCEEDED, "", outputs=outputs, outbound=outbound)


class Loop:
    """The turns of one looped task: the children of its TaskGroup node."""

    def __init__(self, dag: Dag, task: str, group: str) -> None:
        self.dag = dag
        self.task = task
        self.group = group
        self.pending = 0
        self.phase = SUCCEEDED

    def child_created(self, key: int, node_id: str) -> None:
        self.dag.graph.store.link(self.group, node_id)

    def child_done(self, key: int, node: Node) -> None:
        self.pending -= 1
        if node.unsuccessful:
            self.phase = node.phase
        if self.pending == 0:
            graph = self.dag.graph
            if not graph.store[self.group].fulfilled:
                graph.close_node(self.group, self.phase, "")
            self.dag.child_done(self.dag.index[self.task], graph.store[self.group])
