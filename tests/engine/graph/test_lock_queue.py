"""One workflow's nodes before their locks: what a pass takes, gives back, and leaves as it was where it is aborted."""

from __future__ import annotations

from typing import Any

from engine.graph.invocation import Invocation
from engine.graph.locks import Locks, Priority, Request
from engine.graph.queueing import LockQueue

ONE = [Request("default/Mutex/one", 1, True)]
TWO = [Request("default/ConfigMap/limits/two", 2)]
BOTH = [*ONE, *TWO]


def node(name: str, order: int = 0) -> Invocation:
    nothing: Any = None
    return Invocation(nothing, 0, name, {}, nothing, None, node_id=name, order=order)


def ready(queue: LockQueue, *closed: str) -> list[str]:
    """The nodes that have their locks now and had not before."""
    opened = queue.retry(lambda invocation: invocation.node_id not in closed)
    return [invocation.node_id for invocation in opened]


def queues(*names: str) -> tuple[Locks, list[LockQueue]]:
    locks = Locks()
    return locks, [LockQueue(locks, name, Priority()) for name in names]


def test_a_lock_is_given_back_when_the_pass_commits_in_which_its_node_ended() -> None:
    locks, (first, second) = queues("first", "second")
    a, b = node("a"), node("b")
    assert first.acquire(a, ONE)
    assert not second.acquire(b, ONE)
    first.commit()
    second.commit()
    first.release(a)
    assert ready(second) == []
    first.commit()
    assert locks.take_woken() == {"second"}
    assert ready(second) == ["b"]
    assert ready(second) == [], "it is told once"


def test_an_aborted_pass_has_not_ended_a_node() -> None:
    _, (first, second) = queues("first", "second")
    a, b = node("a"), node("b")
    assert first.acquire(a, ONE)
    first.commit()
    first.release(a)
    first.rollback()
    first.commit()
    assert not second.acquire(b, ONE)
    assert ready(second) == []


def test_an_aborted_pass_has_taken_nothing() -> None:
    locks, (first, second) = queues("first", "second")
    assert first.acquire(node("a"), BOTH)
    assert first.enter([Request("whole", 1)])
    first.rollback()
    assert not len(locks)
    assert second.acquire(node("b"), BOTH)


def test_who_waited_before_an_aborted_pass_waits_where_he_was() -> None:
    locks, (first, second, third) = queues("first", "second", "third")
    a = node("a")
    assert first.acquire(a, ONE)
    assert not second.acquire(node("b"), ONE)
    assert not third.acquire(node("c"), ONE)
    for queue in (first, second, third):
        queue.commit()
    first.release(a)
    first.commit()
    assert ready(second) == ["b"]
    second.rollback()
    second.begin_anew()
    assert ready(third) == [], "it is not its turn"
    assert not third.acquire(node("c"), ONE)
    assert second.acquire(node("b"), ONE)
    assert locks.free(ONE[0]) == 0


def test_who_began_to_wait_in_an_aborted_pass_does_not_wait() -> None:
    locks, (first, second, third) = queues("first", "second", "third")
    a = node("a")
    assert first.acquire(a, ONE)
    first.commit()
    assert not second.acquire(node("b"), ONE)
    second.rollback()
    first.release(a)
    first.commit()
    assert third.acquire(node("c"), ONE)
    assert len(locks) == 1


def test_those_of_one_workflow_go_in_their_order_as_far_as_there_is_room() -> None:
    locks, (holding, queue) = queues("holding", "waiting")
    held = [node("x"), node("y")]
    for each in held:
        assert holding.acquire(each, TWO)
    for number in range(4):
        assert not queue.acquire(node(f"n{number}", number), TWO)
    for each in held:
        holding.release(each)
    holding.commit()
    assert ready(queue) == ["n0", "n1"]
    assert locks.free(TWO[0]) == 0


def test_the_older_go_first_where_the_walk_met_them_in_another_order() -> None:
    _, (holding, queue) = queues("holding", "waiting")
    held = node("x")
    assert holding.acquire(held, ONE)
    for order in (2, 0, 1):
        assert not queue.acquire(node(f"n{order}", order), ONE)
    queue.restored()
    holding.release(held)
    holding.commit()
    assert ready(queue) == ["n0"]


def test_one_that_waits_for_another_lock_too_keeps_no_other_of_its_workflow_waiting() -> None:
    _, (holding, queue) = queues("holding", "waiting")
    x, y, z = node("x"), node("y"), node("z")
    assert holding.acquire(x, ONE)
    assert holding.acquire(y, TWO)
    assert holding.acquire(z, TWO)
    assert not queue.acquire(node("wants both"), BOTH)
    assert not queue.acquire(node("wants two"), TWO)
    holding.release(y)
    holding.commit()
    assert ready(queue) == ["wants two"]
    holding.release(x)
    holding.release(z)
    holding.commit()
    assert ready(queue) == ["wants both"]


def test_one_that_need_not_run_any_more_takes_nothing() -> None:
    locks, (holding, queue) = queues("holding", "waiting")
    held = node("x")
    assert holding.acquire(held, ONE)
    assert not queue.acquire(node("a"), ONE)
    assert not queue.acquire(node("b"), ONE)
    holding.release(held)
    holding.commit()
    assert ready(queue, "a") == ["b"]
    assert locks.free(ONE[0]) == 0


def test_one_that_ended_while_it_waited_waits_no_more_once_the_pass_commits() -> None:
    locks, (holding, queue) = queues("holding", "waiting")
    held, waiting = node("x"), node("a")
    assert holding.acquire(held, ONE)
    assert not queue.acquire(waiting, ONE)
    queue.commit()
    queue.release(waiting)
    assert locks.places([ONE[0].name], "waiting/a")
    queue.commit()
    assert not locks.places([ONE[0].name], "waiting/a")
    holding.release(held)
    holding.commit()
    assert not len(locks)


def test_a_turn_that_came_since_another_left_room_is_taken() -> None:
    """A pass in between found that it was not its turn, and no lock was given back after that."""
    locks, (holding, first, second) = queues("holding", "first", "second")
    held = [node("x"), node("y")]
    for each in held:
        assert holding.acquire(each, TWO)
    assert not first.acquire(node("a"), TWO)
    assert not second.acquire(node("b"), TWO)
    for each in held:
        holding.release(each)
    holding.commit()
    assert locks.take_woken() == {"first"}
    assert ready(second) == []
    assert ready(first) == ["a"]
    assert locks.take_woken() == {"second"}
    assert ready(second) == ["b"]


def test_a_workflow_that_is_finished_leaves_nothing_behind() -> None:
    locks, (first, second) = queues("first", "second")
    assert first.enter(ONE)
    assert first.acquire(node("a"), TWO)
    assert not second.enter(ONE)
    assert second.acquire(node("b"), TWO)
    second.leave()
    first.leave()
    assert not len(locks)


def test_a_node_that_waits_says_for_what() -> None:
    _, (first, second) = queues("first", "second")
    assert first.acquire(node("a"), ONE)
    assert second.explain(BOTH) == (
        "Waiting for default/Mutex/one lock. Lock status: 0/1",
        {"waiting": "default/Mutex/one"},
    )


def test_what_is_held_is_in_the_status_and_is_held_again_in_another_process() -> None:
    _, (first,) = queues("first")
    assert first.enter([Request("whole", 1, True)])
    assert first.acquire(node("a"), BOTH)
    document = first.saved({"status": {"phase": "Running"}}, finished=False)
    assert document["status"] == {
        "phase": "Running",
        "synchronization": {
            "mutex": {
                "holding": [
                    {"holder": "first", "mutex": "whole"},
                    {"holder": "first/a", "mutex": "default/Mutex/one"},
                ]
            },
            "semaphore": {"holding": [{"semaphore": "default/ConfigMap/limits/two", "holders": ["first/a"]}]},
        },
    }
    locks, (loaded, other) = queues("first", "other")
    loaded.load(document["status"]["synchronization"])
    assert not other.acquire(node("b"), ONE)
    assert loaded.acquire(node("a"), BOTH)
    loaded.commit()
    assert loaded.saved(document, finished=False) is document, "nothing has changed"
    loaded.release(node("a"))
    left = loaded.saved(document, finished=False)["status"]["synchronization"]
    assert left == {"mutex": {"holding": [{"holder": "first", "mutex": "whole"}]}}
    loaded.commit()
    assert locks.take_woken() == {"other"}
    assert ready(other) == ["b"]
    assert "synchronization" not in loaded.saved(document, finished=True)["status"]
