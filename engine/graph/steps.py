"""A steps template: groups one after the other, the steps of a group side by side (Argo's steps.go)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from itertools import islice
from operator import itemgetter

from engine.graph.ends import create_skipped, cut_off, finish
from engine.graph.expansion import Call, ExpansionError, Waiting, all_run, expand, primed
from engine.graph.hooks import HookedCall
from engine.graph.invocation import Body, Invocation, Parent
from engine.graph.outputs import (
    OutputError,
    default_variables,
    loop_variables,
    spokesman,
    step_variables,
    template_outputs,
)
from engine.graph.series import AT_A_TIME, Looping, Series
from engine.graph.shutdown import block
from engine.model.node import (
    ERROR,
    FAILED,
    FLAGS,
    OMITTED,
    RUNNING,
    SKIPPED,
    SKIPPED_TYPE,
    STEP_GROUP,
    SUCCEEDED,
    UNSUCCESSFUL,
    Node,
)
from engine.model.pace import FEW, Pieces
from engine.substitution.scope import Scope
from engine.templates.template import InvalidTemplate, Step


class Steps(Body):
    """The body of a steps invocation. A group's children are numbered in the order of the manifest."""

    def __init__(self, calls: Looping, invocation: Invocation) -> None:
        self.graph = calls.graph
        self.calls = calls
        self.invocation = invocation
        self.own = self.graph.scope_of(invocation)
        self.template = invocation.resolved.arranged(self.own)
        self.scope = Scope(self.own)
        self.index = -1
        self.group = ""
        self.owners: list[tuple[int, Step]] = []
        """The steps of the group that make calls, each with the number of its first child."""
        self.firsts: dict[str, int] = {}
        """Those numbers by the names of the steps."""
        self.children: list[str] = []
        self.pending = 0
        self.failure: tuple[int, str] | None = None

    def start(self) -> None:
        self.graph.turns.at_length(self._next_group())

    @property
    def begun(self) -> Iterable[str]:
        return (self.group,) if self.group else ()

    def abandon(self, phase: str, message: str) -> None:
        if self.group and not self.graph.store[self.group].fulfilled:
            self.graph.close_node(self.group, phase, message)

    def _next_group(self) -> Pieces:
        graph, node = self.graph, self.graph.store[self.invocation.node_id]
        previous = self.group
        self.index += 1
        if self.index == len(self.template.steps):
            yield from self._succeed()
            return
        name = f"{node.name}[{self.index}]"
        group = graph.store.adopt(name) or graph.create(
            name,
            STEP_GROUP,
            RUNNING,
            self.invocation,
            template_scope=graph.template_scope(self.template.context),
            started_at=graph.timestamp,
            node_flag=FLAGS["group"],
        )
        self.group = group.id
        if not previous:
            graph.store.link(node.id, group.id)
        elif not graph.store[previous].children:
            graph.store.link(previous, group.id)
        else:
            for end in dict.fromkeys((yield from graph.store.ends(graph.store[previous].children or ()))):
                graph.store.link(end, group.id)
                yield
        yield from self._start_group(group)

    def _start_group(self, group: Node) -> Pieces:
        self.owners, self.firsts, self.children, self.pending, self.failure = [], {}, [], 0, None
        try:
            made_of, room, steps = self.template.steps[self.index], self.graph.store.room, []
            for step in made_of:
                calls = yield from primed(expand(step, self.scope, self.own, room))
                steps.append((step, calls))
        except ExpansionError as error:
            yield from self._end_group(ERROR, str(error))
            return
        except Waiting as waiting:
            block(self.graph, self.invocation, str(waiting))
            return
        # Children are done only once the graph settles, so none of them is before all of them are counted.
        for step, calls in steps:
            prefix = f"{group.name}.{step.name}"
            series = self.calls.series(self, self.invocation, prefix, step) if step.loop is not None else None
            while some := list(islice(calls, AT_A_TIME)):
                yield
                if not (yield from self._make_all(some, prefix, step, series)):
                    return
        if not self.owners:
            self.graph.turns.later(self._assess_group)  # a thousand empty groups in a row are no reason to go that deep

    def _make_all(
        self, calls: Sequence[Call], prefix: str, step: Step, series: Series | None
    ) -> Generator[None, None, bool]:
        """Make some calls of a step; False where one cannot be made, which ends the group."""
        key = len(self.children)
        if not self.owners or self.owners[-1][1] is not step:
            self.owners.append((key, step))
            self.firsts[step.name] = key
        self.children += [""] * len(calls)
        self.pending += len(calls)
        if series is not None and series.at_once and all_run(calls):
            return series.make(key, calls) == len(calls)
        kind = Invocation if series is None else series.kind
        for made, call in enumerate(calls):
            if not self._make(key + made, f"{prefix}{call.suffix}", call, step, kind):
                return False
            yield
        return True

    def _make(self, key: int, name: str, call: Call, step: Step, kind: type[Invocation]) -> bool:
        """Make a call; False where it cannot be made, which ends the group: Argo makes none of those after it."""
        graph = self.graph
        existing = graph.store.adopt(name)
        if existing is not None and existing.type == SKIPPED_TYPE:
            self.child_created(key, existing.id)
            graph.turns.emit(self, key, existing.id)
        elif existing is not None or graph.knows(name):
            self._invoke(key, name, call, step, existing, kind)
        elif call.error is not None:
            self._skip(key, name, call, ERROR, call.error)
            graph.turns.at_length(self._end_group(ERROR, call.error))
            return False
        elif call.skipped is not None:
            self._skip(key, name, call, SKIPPED, call.skipped)
        else:
            return self._invoke(key, name, call, step, None, kind)
        return True

    def _invoke(
        self, key: int, name: str, call: Call, step: Step, existing: Node | None, kind: type[Invocation]
    ) -> bool:
        parent: Parent = self
        if call.hooks != ({}, None):
            prefix, others = f"steps.{step.name}", partial(self._phases, self.children, self._earlier(step))
            parent = HookedCall(call.hooks, self, key, prefix, self.scope, self.invocation, self.calls, others)
        invocation = kind(parent, key, name, call.document, self.template.context, self.invocation)
        self.calls.invoke(invocation, existing)
        return not invocation.raised

    def _earlier(self, step: Step) -> list[int]:
        """The steps that stand before this one in its group and that it mentions, by their first children."""
        return [self.firsts[name] for name in step.mentions.among(self.firsts) if name != step.name]

    def _phases(self, children: Sequence[str], keys: Sequence[int]) -> dict[str, str]:
        """How far these are, which the hooks of a step after them may ask."""
        nodes = (self.graph.store[children[key]] for key in keys if children[key])
        return {f"steps.{node.display_name}.status": node.phase for node in nodes}

    def _skip(self, key: int, name: str, call: Call, phase: str, message: str) -> None:
        node = create_skipped(self.graph, name, call.document, self.invocation, phase, message)
        self.child_created(key, node.id)
        self.graph.turns.emit(self, key, node.id)

    def child_created(self, key: int, node_id: str) -> None:
        """A child has its node: it hangs under the group from now on."""
        self.children[key] = node_id
        self.graph.store.link(self.group, node_id)

    def children_created(self, key: int, node_ids: Sequence[str]) -> None:
        self.children[key : key + len(node_ids)] = node_ids
        self.graph.store.link_all(self.group, node_ids)

    def child_done(self, key: int, node: Node) -> None:
        if node.phase in UNSUCCESSFUL:
            self._note_failure(key, node)
        self.pending -= 1
        if self.pending == 0:
            self._assess_group()

    def child_raised(self, key: int, node: Node) -> None:
        if self._is_open() and node.phase == FAILED:  # it timed out before it ran (Argo's ErrTimeout)
            self.graph.turns.at_length(self._end_group(FAILED, node.message, cut_short=True))
        elif self._is_open():
            message = f"step group deemed errored due to child {node.name} error: {node.message}"
            self.graph.turns.at_length(self._end_group(ERROR, message))

    def child_blamed(self, key: int, node: Node) -> bool:
        self.child_raised(key, node)
        return False

    def child_lost(self, key: int, node: Node) -> None:
        if key < len(self.children) and self.children[key] == node.id:
            self._note_failure(key, node)

    def child_hook_failed(self, key: int, message: str, *, exiting: bool) -> None:
        if self._is_open():
            self.graph.turns.at_length(self._end_group(ERROR, message))

    def _is_open(self) -> bool:
        return self.graph.is_open(self.invocation)

    def _note_failure(self, key: int, node: Node) -> None:
        step = self.owners[bisect_right(self.owners, key, key=itemgetter(0)) - 1][1]
        matters = node.phase in UNSUCCESSFUL and not step.continues_on(node.phase)
        if matters and (self.failure is None or key < self.failure[0]):
            self.failure = (key, node.id)

    def _assess_group(self) -> None:
        if self._is_open():
            self.graph.turns.at_length(self._judge_group())

    def _judge_group(self) -> Pieces:
        if self.graph.store[self.group].fulfilled:
            yield from self._go_on()  # it was over before this walk began
        elif self.failure is not None:
            yield from self._end_group(FAILED, f"child '{self.failure[1]}' failed")
        else:
            yield from self._end_group(SUCCEEDED, "")

    def _end_group(self, phase: str, message: str, *, cut_short: bool = False) -> Pieces:
        if cut_short:
            yield from cut_off(self.graph, self.invocation)
        if not self.graph.store[self.group].fulfilled:
            self.graph.close_node(self.group, phase, message)
        if phase == SUCCEEDED:
            yield from self._go_on()
            return
        if phase == ERROR:
            yield from cut_off(self.graph, self.invocation)
        # Whatever ended the group, the steps node is Failed.
        finish(self.graph, self.invocation, FAILED, message, outbound=(yield from self._outbound()))

    def _go_on(self) -> Pieces:
        group = self.graph.store[self.group]
        if group.unsuccessful:
            finish(self.graph, self.invocation, FAILED, group.message, outbound=(yield from self._outbound()))
            return
        try:
            yield from self._read_outputs(group)
        except OutputError as error:
            yield from self._raise(str(error))
            return
        yield from self._next_group()

    def _read_outputs(self, group: Node) -> Pieces:
        """What the group's steps define for those after it; a loop counts as one step, which is the group."""
        store = self.graph.store
        loops: dict[str, list[Node]] = {}
        ends = [first for first, _ in self.owners[1:]] + [len(self.children)]
        for (first, step), end in zip(self.owners, ends, strict=False):
            if end - first > 1 and step.name not in self.template.mentions:  # turns of a loop that nobody reads
                continue
            prefix, name = f"steps.{step.name}", f"{group.name}.{step.name}"
            for number, node_id in enumerate(self.children[first:end]):
                if not number % FEW:
                    yield
                node = store.nodes[node_id]
                if node.name == name:
                    self.scope.update(step_variables(prefix, spokesman(node, store)))
                    if node.phase in (SKIPPED, OMITTED):
                        self._read_defaults(prefix, step)
                elif node.type != SKIPPED_TYPE:
                    loops.setdefault(step.name, []).append(node)
        for step in self.template.steps[self.index]:
            if f"steps.{step.name}.status" not in self.scope:
                self.scope.update(step_variables(f"steps.{step.name}", group))
        for name, nodes in loops.items():
            if name in self.template.mentions:
                results = name in self.template.mentions.results
                self.scope.update((yield from loop_variables(f"steps.{name}", nodes, results=results)))

    def _read_defaults(self, prefix: str, step: Step) -> None:
        try:
            called = self.template.context.resolve(step.document)
        except InvalidTemplate:
            return
        self.scope.update(default_variables(prefix, called, self.scope, artifacts=True))

    def _outbound(self) -> Generator[None, None, tuple[str, ...]]:
        return self.graph.store.ends((self.graph.store[self.group].children or ()) if self.group else ())

    def _succeed(self) -> Pieces:
        if self.graph.closing.stops(self.invocation):  # whatever its steps were forgiven
            message = self.graph.closing.stopped()
            finish(self.graph, self.invocation, FAILED, message, outbound=(yield from self._outbound()))
            return
        try:
            outputs = template_outputs(self.template, self.scope)
        except OutputError as error:
            yield from self._raise(str(error))
            return
        outbound = yield from self._outbound()
        finish(self.graph, self.invocation, SUCCEEDED, "", outputs=outputs, outbound=outbound)

    def _raise(self, message: str) -> Pieces:
        finish(self.graph, self.invocation, ERROR, message, outbound=(yield from self._outbound()), raised=True)
