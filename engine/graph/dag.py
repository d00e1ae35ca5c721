"""A DAG template: tasks that run when what they depend on is done (Argo's dag.go)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain, islice

import orjson

from engine.expressions import ExpressionError
from engine.graph.branches import branch_phases
from engine.graph.ends import create_skipped, end_inside, finish
from engine.graph.expansion import Call, ExpansionError, Waiting, all_run, expand, primed
from engine.graph.hooks import HookedCall
from engine.graph.invocation import Body, HookedParent, Invocation, Parent
from engine.graph.outputs import OutputError, template_outputs
from engine.graph.series import AT_A_TIME, Looping
from engine.graph.shutdown import block
from engine.graph.taskgroup import TaskGroup
from engine.graph.tasks import Finished
from engine.model.node import (
    ERROR,
    FAILED,
    FLAGS,
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
from engine.model.pace import FEW, Pieces
from engine.substitution.scope import Scope
from engine.substitution.text import SubstitutionError, render_string
from engine.templates.template import Condition, Hook, InvalidTemplate, Mentions, Step


class Dag(Body):
    """The body of a DAG invocation: counts down what each task still waits for, so that no pass rescans the graph."""

    def __init__(self, calls: Looping, invocation: Invocation) -> None:
        self.graph = graph = calls.graph
        self.calls = calls
        self.invocation = invocation
        self.own = graph.scope_of(invocation)
        self.template = invocation.resolved.arranged(self.own)
        self.tasks = {task.name: task for task in self.template.tasks}
        self.names = list(self.tasks)
        self.index = {name: key for key, name in enumerate(self.names)}
        self.nodes: dict[str, str] = {}
        """The nodes of the tasks that are done, by task."""
        self._begun: dict[int, str] = {}
        """The nodes of the others that have any."""
        self.targets: list[str] = []
        self.conditions: dict[str, Condition | None] = {}
        self.parents: dict[str, Sequence[str]] = {}
        self.waits: dict[str, int] = {}
        self.dependents: dict[str, list[str]] = {}
        self.open = 0
        self.loops: list[TaskGroup] = []
        self._finished = Finished(graph.store, self.template, self.own, self.tasks, self.nodes, self.parents)

    def start(self) -> None:
        self.graph.turns.at_length(self._begin())

    def _begin(self) -> Pieces:
        self.conditions = yield from self.graph.dependencies(self.template)
        for number, (name, condition) in enumerate(self.conditions.items(), 1):
            self.parents[name] = () if condition is None else condition.tasks
            if not number % FEW:
                yield
        try:
            self.targets = self._find_targets()
        except (InvalidTemplate, SubstitutionError) as error:
            self._raise(str(error))
            return
        yield
        needed = self._needed()
        yield
        self.open = len(needed)
        for number, name in enumerate(needed, 1):
            ancestors = self.parents[name]
            self.waits[name] = len(ancestors)
            for ancestor in ancestors:
                self.dependents.setdefault(ancestor, []).append(name)
            if not number % FEW:
                yield
        for name in needed:
            if self.waits[name] == 0:
                yield from self._execute(name)
                yield
        if not needed:
            yield from self._assess()

    @property
    def begun(self) -> Iterable[str]:
        return self._begun.values()

    def abandon(self, phase: str, message: str) -> None:
        for loop in self.loops:
            if not self.graph.store[loop.group].fulfilled:
                self.graph.close_node(loop.group, phase, message)

    def _find_targets(self) -> list[str]:
        target = self.template.dag.get("target")
        if target:
            names = render_string(target, self.own).split()
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

    # Tasks

    def _execute(self, name: str) -> Pieces:
        """All that the task waits for is done: run it, or omit it."""
        task, condition = self.tasks[name], self.conditions[name]
        node_name = f"{self.invocation.name}.{name}"
        known = self.graph.knows(node_name)
        existing = self.graph.store.adopt(node_name)
        if existing is not None and existing.fulfilled and existing.type == SKIPPED_TYPE:
            yield from self._settle(name, existing)
            return
        try:
            if not known and condition is not None and not condition.evaluate(self._holds):
                yield from self._skip(name, node_name, OMITTED, "omitted: depends condition not met")
                return
            scope = Scope(self.own)
            yield from self._finished.read_ancestors(name, scope)
            if task.certain:
                calls = iter((Call("", task.plain or {}, None, None),))
            else:
                calls = yield from primed(expand(task, scope, self.own, self.graph.store.room))
            first = next(calls)
        except (ExpansionError, ExpressionError, OutputError) as error:
            yield from self._skip(name, node_name, ERROR, str(error))
            return
        except Waiting as waiting:
            block(self.graph, self.invocation, f"task {name}: {waiting}")
            return
        if first.suffix:
            yield from self._execute_loop(name, node_name, chain([first], calls), scope, existing)
        else:
            type_ = TASK_GROUP if first.skipped is None and self._is_loop(task) else ""
            hooks = (task.hooks, task.exit_hook)
            self.run(self, self.index[name], node_name, first, task, scope, existing, *hooks, type_)

    def _is_loop(self, task: Step) -> bool:
        """Whether it is one before what other tasks left is filled in (Argo's ShouldExpand): one whose `withParam`
        turned out as an empty text is a group, and what it calls is called once, in its place."""
        return task.loop is not None and bool(
            orjson.loads(task.loop.render(self.own, allow_unresolved=True)).get("withParam")
        )

    def run(
        self,
        parent: HookedParent,
        key: int,
        name: str,
        call: Call,
        task: Step,
        scope: Scope,
        existing: Node | None,
        hooks: dict[str, Hook],
        exit_hook: Hook | None,
        node_type: str = "",
        kind: type[Invocation] = Invocation,
    ) -> None:
        """Make one call of a task, on behalf of `parent`. What never runs has its hooks, too (executeDAGTask)."""
        outer: Parent = parent
        if hooks or exit_hook is not None:
            prefix = f"tasks.{task.name}"
            outer = HookedCall((hooks, exit_hook), parent, key, prefix, scope, self.invocation, self.calls)
        node = existing if existing is not None and existing.type == SKIPPED_TYPE else None
        known = existing is not None or self.graph.knows(name)
        if not known and (call.error is not None or call.skipped is not None):
            phase = ERROR if call.error is not None else SKIPPED
            message = call.error or call.skipped or ""
            node = create_skipped(self.graph, name, call.document, self.invocation, phase, message)
        if node is not None:
            outer.child_created(key, node.id)
            self.graph.turns.emit(outer, key, node.id)
            return
        invocation = kind(outer, key, name, call.document, self.template.context, self.invocation)
        invocation.node_type = node_type
        self.calls.invoke(invocation, existing)

    def _execute_loop(
        self, name: str, node_name: str, calls: Iterator[Call], scope: Scope, existing: Node | None
    ) -> Pieces:
        task = self.tasks[name]
        group = existing or self.graph.create(
            node_name,
            TASK_GROUP,
            RUNNING,
            self.invocation,
            template_name=task.document.get("template") or "",
            template_ref=task.document.get("templateRef"),
            template_scope=self.graph.template_scope(self.template.context),
            started_at=self.graph.timestamp,
            node_flag=FLAGS["group"],
        )
        self.child_created(self.index[name], group.id)
        loop = TaskGroup(self.calls, self, self.index[name], self.invocation, task, group.id, scope)
        self.loops.append(loop)
        series, key = self.calls.series(loop, self.invocation, node_name, task), 0
        kind = Invocation if series is None else series.kind
        while some := list(islice(calls, AT_A_TIME)):
            loop.pending += len(some)
            yield
            if series is not None and series.at_once and all_run(some):
                series.make(key, some)
            else:
                for made, call in enumerate(some, key):
                    child = f"{node_name}{call.suffix}"
                    known = self.graph.store.adopt(child)
                    self.run(loop, made, child, call, task, scope, known, {}, task.exit_hook, kind=kind)
                    yield
            key += len(some)
            yield

    def _skip(self, name: str, node_name: str, phase: str, message: str) -> Pieces:
        document = self.tasks[name].document
        yield from self._settle(name, create_skipped(self.graph, node_name, document, self.invocation, phase, message))

    def _settle(self, name: str, node: Node) -> Pieces:
        """A task that never runs. As in Argo its hooks may all the same, but none after what could not be read."""
        task, key, scope = self.tasks[name], self.index[name], Scope(self.own)
        try:
            yield from self._finished.read_ancestors(name, scope)
            hooks, exit_hook = task.hooks, task.exit_hook
        except OutputError:
            hooks, exit_hook = {}, None
        self.run(self, key, node.name, Call("", task.document, None, None), task, scope, node, hooks, exit_hook)

    def child_created(self, key: int, node_id: str) -> None:
        """Hang the task under what it depends on, or under the DAG itself (Argo's connectDependencies)."""
        self._begun[key] = node_id
        parents = self.parents[self.names[key]]
        if parents:
            self.graph.turns.at_length(self._hang(node_id, parents))
        else:
            self.graph.store.link(self.invocation.node_id, node_id)

    def _hang(self, node_id: str, parents: Sequence[str]) -> Pieces:
        ends = yield from self.graph.store.ends(self.nodes[parent] for parent in parents)
        for number, end in enumerate(dict.fromkeys(ends), 1):
            self.graph.store.link(end, node_id)
            if not number % FEW:
                yield

    def child_done(self, key: int, node: Node) -> None:
        name = self.names[key]
        self.nodes[name] = node.id
        self._begun.pop(key, None)
        self.open -= 1
        if not self.graph.is_open(self.invocation):
            return
        dependents = self.dependents.get(name, ())
        if dependents or self.open == 0:
            self.graph.turns.at_length(self._go_on(dependents))

    def _go_on(self, dependents: Sequence[str]) -> Pieces:
        """A task is done: those that waited for nothing else are next, and where there are none the end."""
        for dependent in dependents:
            if not self.graph.is_open(self.invocation):  # a hook of the very task that is done has ended it
                return
            self.waits[dependent] -= 1
            if self.waits[dependent] == 0:
                yield from self._execute(dependent)
            yield
        if self.open == 0:
            yield from self._assess()

    def child_raised(self, key: int, node: Node) -> None:
        self.child_blamed(key, node)
        self.child_done(key, self.graph.store[node.id])

    def child_blamed(self, key: int, node: Node) -> bool:
        if node.phase == ERROR:  # and not Failed for having timed out before it ran (Argo's ErrTimeout)
            self.graph.store.touch(node.id).message = f"task '{node.name}' errored: {node.message}"
        return True

    def child_lost(self, key: int, node: Node) -> None:
        """A daemon that ended early counts with the phase it has when the DAG is judged."""

    def child_hook_failed(self, key: int, message: str, *, exiting: bool) -> None:
        """A hook that cannot be called ends the DAG, an exit handler only where it is that of a target (executeDAG)."""
        if (not exiting or self.names[key] in self.targets) and self.graph.is_open(self.invocation):
            self.graph.turns.at_length(end_inside(self.graph, self.invocation, ERROR, message, raised=True))

    def _holds(self, task: str, status: str) -> bool:
        node = self.graph.store[self.nodes[task]]
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

    # The end

    def _assess(self) -> Pieces:
        """Judge the DAG by its targets alone: a failure that something downstream handled is none."""
        store = self.graph.store
        result = SUCCEEDED
        if self.graph.closing.stops(self.invocation):
            result = FAILED
        else:
            targets = [self.nodes[name] for name in self.targets]
            branches = yield from branch_phases(self.invocation.node_id, targets, self._dependents, store)
            for name in self.targets:
                yield
                branch = branches[self.nodes[name]]
                if branch in UNSUCCESSFUL and not self.tasks[name].continues_on(branch):
                    result = branch
                    if self.template.dag.get("failFast") is not False:
                        break
        if result != SUCCEEDED:
            finish(self.graph, self.invocation, result, "", outbound=(yield from self._outbound()))
            return
        scope = Scope(self.own)
        try:
            yield from self._finished.read_all(Mentions(self.template.outputs), scope)
            outputs = template_outputs(self.template, scope)
        except OutputError as error:
            self._raise(str(error))
            return
        yield from self._publish()
        finish(self.graph, self.invocation, SUCCEEDED, "", outputs=outputs, outbound=(yield from self._outbound()))

    def _dependents(self) -> dict[str, list[str]]:
        """The nodes of the tasks that depend on one, by its node."""
        nodes = self.nodes
        return {nodes[name]: [nodes[below] for below in found] for name, found in self.dependents.items()}

    def _publish(self) -> Pieces:
        """What its tasks leave for the workflow, in the order of the manifest, those that are DAGs included: a DAG's
        own outputs are published by the one around it (executeDAG)."""
        for number, name in enumerate(self.names, 1):
            outputs = self.graph.store[self.nodes[name]].outputs if name in self.nodes else None
            if outputs:
                self.graph.outputs.publish(outputs)
            if outputs or not number % FEW:
                yield

    def _outbound(self) -> Generator[None, None, tuple[str, ...]]:
        return self.graph.store.ends(self.nodes[name] for name in self.targets if name in self.nodes)

    def _raise(self, message: str) -> None:
        # Without outbound nodes, which Argo sets once the outputs are there.
        finish(self.graph, self.invocation, ERROR, message, raised=True)
