"""What happens next in a graph: events one after the other, and what is due at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine.graph.nodes import NodeStore
from engine.graph.turns import Timers, Turns
from engine.model.pace import Pieces


def test_what_is_due_at_one_time_happens_in_the_order_of_the_nodes_and_the_workflow_comes_first() -> None:
    timers, done = Timers(), list[str]()
    for when, order, name in ((2.0, 5, "late"), (1.0, 7, "second"), (1.0, -1, "workflow"), (1.0, 3, "first")):
        timers.at(when, order, lambda: True, partial(done.append, name))
    for action in timers.due(1.0):
        action()
    assert done == ["workflow", "first", "second"]
    assert timers.next_due == 2.0


def test_what_does_not_matter_any_more_neither_happens_nor_is_waited_for() -> None:
    timers, done = Timers(), list[str]()
    timers.at(1.0, 0, lambda: not done, lambda: done.append("first"))
    timers.at(1.0, 1, lambda: not done, lambda: done.append("second"))
    timers.at(3.0, 0, lambda: not done, lambda: done.append("third"))
    for action in timers.due(2.0):
        action()
    assert done == ["first"]
    assert timers.next_due is None


class Watcher:
    """Looks as often as it is let, and says so."""

    def __init__(self, subject: str, seen: list[str]) -> None:
        self.subject = subject
        self._seen = seen

    def look(self) -> None:
        self._seen.append(self.subject)


def settle(turns: Turns, let_in: Callable[[], object] = lambda: None) -> None:
    """All at once, and say who lets in."""

    def admit() -> Pieces:
        let_in()
        yield

    for _ in turns.settle(admit):
        pass


def test_nothing_happens_from_within_what_causes_it() -> None:
    turns, done = Turns(NodeStore("w", {}, 10)), list[str]()

    def begin() -> None:
        turns.later(lambda: done.append("what follows"))
        done.append("what causes it")

    turns.later(begin)
    settle(turns, lambda: done.append("who waited"))
    assert done == ["what causes it", "what follows", "who waited"]


def test_what_is_done_at_length_is_done_before_anything_else() -> None:
    turns, done = Turns(NodeStore("w", {}, 10)), list[str]()

    def inner() -> Pieces:
        for number in range(2):
            done.append(f"inner {number}")
            yield

    def outer() -> Pieces:
        done.append("outer 0")
        turns.at_length(inner())
        yield
        done.append("outer 1")

    turns.later(lambda: turns.at_length(outer()))
    turns.later(lambda: done.append("what was to happen next"))
    settle(turns)
    assert done == ["outer 0", "inner 0", "inner 1", "outer 1", "what was to happen next"]


def test_watchers_look_once_they_watch_and_not_again_where_nothing_changes() -> None:
    turns, seen = Turns(NodeStore("w", {}, 10)), list[str]()
    kept, left = Watcher("a", seen), Watcher("b", seen)
    turns.watch(kept)
    turns.watch(left)
    turns.unwatch(left)
    settle(turns)
    settle(turns)
    assert seen == ["a"]
