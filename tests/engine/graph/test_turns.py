"""What happens next in a graph: events one after the other, and what is due at a time."""

from __future__ import annotations

from functools import partial

from engine.graph.nodes import NodeStore
from engine.graph.turns import Timers, Turns


def test_what_is_due_at_one_time_happens_in_the_order_of_the_nodes_and_the_workflow_comes_first() -> None:
    timers, done = Timers(), list[str]()
    for when, order, name in ((2.0, 5, "late"), (1.0, 7, "second"), (1.0, -1, "workflow"), (1.0, 3, "first")):
        timers.at(when, order, lambda: True, partial(done.append, name))
    timers.fire(1.0)
    assert done == ["workflow", "first", "second"]
    assert timers.next_due == 2.0


def test_what_does_not_matter_any_more_neither_happens_nor_is_waited_for() -> None:
    timers, done = Timers(), list[str]()
    timers.at(1.0, 0, lambda: not done, lambda: done.append("first"))
    timers.at(1.0, 1, lambda: not done, lambda: done.append("second"))
    timers.at(3.0, 0, lambda: not done, lambda: done.append("third"))
    timers.fire(2.0)
    assert done == ["first"]
    assert timers.next_due is None


class Watcher:
    """Looks as often as it is let, and says so."""

    def __init__(self, subject: str, seen: list[str]) -> None:
        self.subject = subject
        self._seen = seen

    def look(self) -> None:
        self._seen.append(self.subject)


def test_nothing_happens_from_within_what_causes_it() -> None:
    turns, done = Turns(NodeStore("w", {}, 10)), list[str]()

    def begin() -> None:
        turns.later(lambda: done.append("what follows"))
        done.append("what causes it")

    turns.later(begin)
    turns.settle(lambda: done.append("who waited"))
    assert done == ["what causes it", "what follows", "who waited"]


def test_watchers_look_once_they_watch_and_not_again_where_nothing_changes() -> None:
    turns, seen = Turns(NodeStore("w", {}, 10)), list[str]()
    kept, left = Watcher("a", seen), Watcher("b", seen)
    turns.watch(kept)
    turns.watch(left)
    turns.unwatch(left)
    turns.settle(lambda: None)
    turns.settle(lambda: None)
    assert seen == ["a"]
