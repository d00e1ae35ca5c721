"""How much of a workflow goes on at a time, what of it waits for its turn, and what it gives back when it is over."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Final

from engine.graph.invocation import Inside, Invocation
from engine.graph.memo import Key, Memo, Memos
from engine.graph.queueing import LockQueue
from engine.graph.record import Waiting, WalkRecord
from engine.model.node import DAG, POD, STEPS, SUCCEEDED, Node

_COUNTED: Final = (POD, STEPS, DAG)


class Room:
    """Counts against `parallelism`, that of the workflow and those of its templates; keeps locks and memos."""

    def __init__(self, parallelism: int | None, locks: LockQueue, memos: Memos) -> None:
        self.parallelism = parallelism
        self.locks = locks
        self.active_pods = 0
        self._memos = memos
        self._waiting: deque[Invocation] = deque()
        """Calls for which the workflow had no room yet; those for which their boundary had none wait there."""
        self._freed: OrderedDict[Invocation, None] = OrderedDict()
        """Boundaries in which calls wait, and something ended."""
        self._memoized: dict[Key, Memo] = {}
        """What finished nodes left, remembered by all when the pass commits, by this workflow at once."""
        self._memoizing: dict[str, tuple[Key, float | None]] = {}
        """Under which key, and for how many seconds, what unfinished nodes leave is to be remembered."""
        self._noted: dict[str, Waiting | None] = {}
        """Calls that began to wait for room since the last commit, or do so no more (None), by name."""

    # Parallelism

    def is_limited(self, invocation: Invocation) -> bool:
        """Whether there may be none for the call."""
        boundary = invocation.boundary
        limited = boundary is not None and boundary.resolved.parallelism is not None
        return limited or self.parallelism is not None

    def has(self, invocation: Invocation, *, waited: bool) -> bool:
        """Argo's checkParallelism; where there is none the call waits for `admitted`, as whose turn it has `waited`."""
        first = invocation.attempt is None
        # The first attempt has the room that its Retry node was given.
        if (self._is_full() or (self._waiting and not waited)) and (first or invocation.key > 0):
            self.wait(invocation, inside=False)
            return False
        boundary = invocation.boundary
        if boundary is None or not first or self._is_open_to(boundary):
            return True
        self.wait(invocation, inside=True)
        return False

    def wait(self, invocation: Invocation, *, inside: bool) -> None:
        """Let the call wait for room, in its boundary (``inside``) or in the workflow."""
        if inside:
            assert invocation.boundary is not None
            assert invocation.boundary.inside is not None
            invocation.boundary.inside.waiting.append(invocation)
        else:
            self._waiting.append(invocation)
        self._note(invocation.name, Waiting(invocation.call, inside))

    def _note(self, name: str, waiting: Waiting | None) -> None:
        self._noted.pop(name, None)
        self._noted[name] = waiting

    def _forget(self, inside: Inside) -> None:
        """Nobody waits for those any more that wait in there."""
        for invocation in inside.waiting:
            self._note(invocation.name, None)
        inside.waiting.clear()

    def _is_full(self) -> bool:
        return self.parallelism is not None and self.active_pods >= self.parallelism

    @staticmethod
    def _is_open_to(boundary: Invocation) -> bool:
        template, inside = boundary.resolved, boundary.inside
        assert inside is not None
        if template.fail_fast and inside.failed:
            return False
        return template.parallelism is None or inside.active < template.parallelism

    def admitted(self, is_open: Callable[[Invocation], bool]) -> Iterator[Invocation]:
        """Those whose turn it is, as long as whoever has them admits each before he asks for the next."""
        while self._freed and not self._is_full():
            boundary, _ = self._freed.popitem(last=False)
            assert boundary.inside is not None
            waiting = boundary.inside.waiting
            if not is_open(boundary):
                self._forget(boundary.inside)
            while waiting and self._is_open_to(boundary):
                if self._is_full():
                    self._freed[boundary] = None
                    break
                yield self._next(waiting)
        while self._waiting and not self._is_full():
            yield self._next(self._waiting)

    def _next(self, waiting: deque[Invocation]) -> Invocation:
        invocation = waiting.popleft()
        self._note(invocation.name, None)
        return invocation

    def count(self, invocation: Invocation, node: Node, change: int) -> None:
        """One more goes on, or one less."""
        type_, boundary = node.type, invocation.boundary
        if type_ == POD:
            self.active_pods += change
        if boundary is not None and type_ in _COUNTED:
            inside = boundary.inside
            assert inside is not None
            inside.active += change
            if type_ == POD:
                inside.pods += change
            if change < 0 and inside.waiting:
                self._freed[boundary] = None

    def release(self, invocation: Invocation, node: Node) -> None:
        """The node is fulfilled: its place is free, its locks are given back, its outputs remembered."""
        if not invocation.parked:
            self.count(invocation, node, -1)
        self.locks.release(invocation)
        if invocation.inside is not None:
            self._forget(invocation.inside)
        if self._memoizing and (memo := self._memoizing.pop(node.id, None)) is not None and node.phase == SUCCEEDED:
            key, longest = memo
            self._memoized[key] = Memo(node.outputs, node.finished_at, longest)

    def memoize(self, node_id: str, key: Key, longest: float | None) -> None:
        """What the node leaves, if it succeeds, is to be remembered under that key, for `longest` seconds."""
        self._memoizing[node_id] = key, longest

    def remembered(self, key: Key) -> Memo | None:
        """What the last node left under that key."""
        return self._memoized.get(key) or self._memos.find(key)

    # The record

    def restored(self, name: str, invocation: Invocation | None, waiting: Waiting) -> None:
        """A call that had waited when the record was written does so again, or, None, will not any more."""
        if invocation is None:
            self._noted[name] = None
        else:
            self.wait(invocation, inside=waiting.inside)
            del self._noted[name]

    def free(self, boundary: Invocation) -> None:
        """Calls wait in there that might go on if the workflow had room."""
        self._freed[boundary] = None

    def noted(self) -> Iterator[tuple[str, Waiting | None]]:
        """What the record is to say of calls from now on: a call that waits stands behind all others."""
        yield from self._noted.items()

    def freed(self) -> list[str]:
        """The boundaries in which calls wait that might go on if the workflow had room."""
        return [invocation.node_id for invocation in self._freed]

    def commit(self, record: WalkRecord) -> None:
        """Make locks and memos final, and write down which calls wait."""
        for name, waiting in self._noted.items():
            record.waiting.pop(name, None)
            if waiting is not None:
                record.waiting[name] = waiting
        self._noted = {}
        record.freed = self.freed()
        self.locks.commit()
        for key, memo in self._memoized.items():
            self._memos.save(key, memo)
        self._memoized = {}

    def rollback(self) -> None:
        """As if the pass had not been."""
        self.locks.rollback()
        self._memoized = {}
