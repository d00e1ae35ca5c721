"""Passes of several workflows over locks that they share, some of them aborted: nobody's turn is lost."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.graph.invocation import Invocation
from engine.graph.locks import Locks, Priority, Request
from engine.graph.queueing import LockQueue

SIZES = {"a": 1, "b": 2}
NAMES = ["urgent", "old", "young"]
PRIORITIES = [Priority(-1, "2024"), Priority(0, "2020"), Priority(0, "2024")]
NODES = range(3)
WANTED = [["b"], ["b"], ["a", "b"]]
"""Which locks each node of a workflow wants."""

NONE: Set[int] = frozenset()

some_workflow, some_node = st.sampled_from(range(len(NAMES))), st.sampled_from(NODES)
NOTHING: Any = None


class Workflow:
    """Nodes that wait for their locks, hold them, or may begin, for the first time or once more."""

    def __init__(self, name: str, locks: Locks, priority: Priority) -> None:
        self.name = name
        self.queue = LockQueue(locks, name, priority)
        self.nodes = [Invocation(NOTHING, 0, str(n), {}, NOTHING, None, node_id=str(n), order=n) for n in NODES]
        self.idle, self.waiting, self.holding = set(NODES), set[int](), set[int]()

    def requests(self, node: int) -> list[Request]:
        return [Request(name, SIZES[name]) for name in WANTED[node]]

    def make_pass(self, begin: Set[int], end: Set[int], *, abort: bool) -> None:
        before = set(self.idle), set(self.waiting), set(self.holding)
        ready = {int(each.node_id) for each in self.queue.retry(lambda each: True)}
        assert ready <= self.waiting
        self.waiting -= ready
        self.holding |= ready
        for node in sorted(begin & self.idle):
            self.idle.remove(node)
            has = self.queue.acquire(self.nodes[node], self.requests(node))
            (self.holding if has else self.waiting).add(node)
        ended = end & (self.holding | self.waiting)
        for node in sorted(ended):
            self.queue.release(self.nodes[node])
            self.holding.discard(node)
            self.waiting.discard(node)
        if not abort:
            self.queue.commit()
            self.idle |= ended
            return
        self.queue.rollback()
        self.idle, self.waiting, self.holding = before
        self._walk_anew()

    def look_closely(self) -> None:
        """A pass that has forgotten what it has seen before."""
        self._walk_anew()
        self.make_pass(NONE, NONE, abort=False)

    def _walk_anew(self) -> None:
        self.queue.begin_anew()
        for node in sorted(self.waiting, reverse=True):
            self.queue.wait(self.nodes[node], self.requests(node))
        self.queue.restored()


class Passes(RuleBasedStateMachine):
    """``told`` are the workflows of which another pass is due: they were woken, or their last one was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.locks = Locks()
        self.workflows = [Workflow(*each) for each in zip(NAMES, [self.locks] * 3, PRIORITIES, strict=True)]
        self.told: set[str] = set()

    def make_pass(self, which: int, begin: Set[int] = NONE, end: Set[int] = NONE, *, abort: bool = False) -> None:
        workflow = self.workflows[which]
        self.told.discard(workflow.name)
        workflow.make_pass(begin, end, abort=abort)
        self.told |= self.locks.take_woken()
        if abort:
            self.told.add(workflow.name)

    @rule(which=some_workflow, node=some_node)
    def begin(self, which: int, node: int) -> None:
        self.make_pass(which, {node})

    @rule(which=some_workflow)
    def end(self, which: int) -> None:
        self.make_pass(which, end=set(self.workflows[which].holding))

    @rule(which=some_workflow)
    def look(self, which: int) -> None:
        self.make_pass(which)

    @rule(which=some_workflow, begin=st.sets(some_node), end=st.sets(some_node))
    def abort(self, which: int, begin: set[int], end: set[int]) -> None:
        self.make_pass(which, begin, end, abort=True)

    @rule()
    def settle(self) -> None:
        """Where all passes are made that are due, nobody waits who need not, however closely one looks."""
        while self.told:
            self.make_pass(NAMES.index(min(self.told)))
        for workflow in self.workflows:
            before = set(workflow.waiting)
            workflow.look_closely()
            assert workflow.waiting == before

    @invariant()
    def as_many_hold_a_lock_as_there_is_room_for(self) -> None:
        for name, size in SIZES.items():
            holding = sum(name in WANTED[node] for workflow in self.workflows for node in workflow.holding)
            assert self.locks.free(Request(name, size)) == size - holding >= 0

    def teardown(self) -> None:
        """Where whoever holds a lock ends, all get their turn."""
        self.settle()
        while due := [which for which, each in enumerate(self.workflows) if each.holding or each.name in self.told]:
            self.make_pass(due[0], end=set(self.workflows[due[0]].holding))
        assert not any(workflow.waiting for workflow in self.workflows)
        assert not len(self.locks)


TestPasses = Passes.TestCase
