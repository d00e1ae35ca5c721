"""What happens next: what follows from what has happened, one after the other, and what is due at a time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from engine.graph.invocation import Parent
from engine.graph.nodes import NodeStore
from engine.model.node import Node
from engine.model.pace import FEW, Pieces


class Watcher(Protocol):
    """Somebody whom the state of the whole graph may move: hooks with conditions."""

    @property
    def subject(self) -> str:
        """The node whose hooks they are, empty for the workflow's."""
        ...

    def look(self) -> None:
        """Something has changed."""
        ...


class Turns:
    """Parents are told of their children, and hooks look around; never from within what caused it, so that depth stays
    flat."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        # What is to be told, and of which child: three queues, and not one of tuples, which a hundred thousand children
        # would leave to the garbage collector.
        self._told: deque[Callable[..., None]] = deque()
        self._keys: deque[int] = deque()
        self._nodes: deque[str] = deque()
        self._last_parent: Parent | None = None
        self._last_told: Callable[[int, Node], None] = _nobody
        self._watched: dict[Watcher, None] = {}
        self._look = False
        self.work: list[Pieces] = []
        """What is to be done at length."""

    def tell(self, told: Callable[[int, Node], None], key: int, node_id: str) -> None:
        """Tell a parent something of its child number `key`, with its node as it is by then."""
        self._told.append(told)
        self._keys.append(key)
        self._nodes.append(node_id)

    def emit(self, parent: Parent, key: int, node_id: str) -> None:
        """Tell a parent that its child is done."""
        if parent is not self._last_parent:
            self._last_parent, self._last_told = parent, parent.child_done
        self._told.append(self._last_told)
        self._keys.append(key)
        self._nodes.append(node_id)

    def later(self, action: Callable[[], None]) -> None:
        """Do something once what happens now is over."""
        self._told.append(action)
        self._keys.append(0)
        self._nodes.append("")

    def watch(self, watcher: Watcher) -> None:
        """Let it look whenever something has changed."""
        self._watched[watcher] = None
        self._look = True

    def unwatch(self, watcher: Watcher) -> None:
        """It need not look any more."""
        self._watched.pop(watcher, None)

    def restored(self, *, look: bool) -> None:
        """All watchers are there again: they look in the order of their nodes, and now only if they are to ``look``."""
        places = {each: self._store.place(each.subject) if each.subject else -1 for each in self._watched}
        self._watched = dict.fromkeys(sorted(self._watched, key=places.__getitem__))
        self._look = look

    def at_length(self, work: Pieces) -> None:
        """Do what takes long, in pieces: it follows at once, before anything else, when whoever says so returns.

        So that has to be the last thing that he does.
        """
        self.work.append(work)

    def done_at_length(self) -> Pieces:
        """What was to be done at length; what is said to be while that goes on comes first."""
        work, self.work = self.work, []
        for each in work:
            for _ in each:
                if self.work:
                    yield from self.done_at_length()
                yield
            if self.work:
                yield from self.done_at_length()

    def settle(self, let_in: Callable[[], Pieces]) -> Pieces:
        """Let everything follow that follows; ``let_in`` admits who has waited for room that there is now."""
        yield from self.done_at_length()
        while True:
            while self._told:
                told, key, node_id = self._told.popleft(), self._keys.popleft(), self._nodes.popleft()
                if node_id:
                    told(key, self._store[node_id])
                else:
                    told()
                if self.work:
                    yield from self.done_at_length()
                if self._told and not len(self._told) % FEW:
                    yield
            for _ in let_in():
                yield from self.done_at_length()
                yield
            look, self._look = self._look or bool(self._store.undo), False
            if look:
                for watcher in list(self._watched):
                    watcher.look()
                    yield from self.done_at_length()
                    yield
            if not self._told and not self._look:
                self._last_parent, self._last_told = None, _nobody
                return


def _nobody(key: int, node: Node) -> None:
    """Who is told before anybody is."""


class Timers:
    """What a walk does by itself: the end of a suspend, a deadline, a retry. Times are in seconds since the epoch."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, int, Callable[[], bool], Callable[[], None]]] = []
        self._set = 0

    def at(self, when: float, order: int, matters: Callable[[], bool], action: Callable[[], None]) -> None:
        """Have `action` be `due` the first time that somebody asks at or after `when`, if it still matters.

        Of those that are due at one time the one of lower order comes first: that of an invocation, -1 for the
        workflow.
        """
        self._set += 1
        heapq.heappush(self._due, (when, order, self._set, matters, action))

    def due(self, now: float) -> Iterator[Callable[[], None]]:
        """What is to be done now, one after the other, as long as it matters."""
        while self._due and self._due[0][0] <= now:
            *_, matters, action = heapq.heappop(self._due)
            if matters():
                yield action

    @property
    def next_due(self) -> float | None:
        """When there is something to do, None where nothing is."""
        while self._due and not self._due[0][3]():
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None
