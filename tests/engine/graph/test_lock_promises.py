"""Who gets a lock and who waits for it, against a model of what is promised."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.graph.locks import Locks, Priority, Request

SIZES = {"a": 1, "b": 2, "c": 3}
WORKFLOWS = {
    "urgent": Priority(-1, "2024"),
    "old": Priority(0, "2020"),
    "young": Priority(0, "2024"),
    "idle": Priority(1, "2019"),
}
HOLDERS = [f"{workflow}/{number}" for workflow in WORKFLOWS for number in range(3)]

holders = st.sampled_from(HOLDERS)
wishes = st.lists(st.sampled_from(list(SIZES)), min_size=1, unique=True)


def workflow_of(holder: str) -> str:
    return holder.partition("/")[0]


def requests(names: list[str]) -> list[Request]:
    return [Request(name, SIZES[name]) for name in names]


class Promises(RuleBasedStateMachine):
    """A lock has as many holders as it has room for, and who waits gets it when it is his workflow's turn.

    ``told`` are the workflows that were woken and have not looked since.
    """

    def __init__(self) -> None:
        super().__init__()
        self.locks = Locks()
        self.held: dict[str, list[str]] = {}
        self.waiting: dict[str, list[str]] = {}
        self.since: dict[str, int] = {}
        self.told: set[str] = set()
        self.asked = 0

    def queue(self, name: str) -> list[str]:
        """Who waits for a lock, the first one first."""
        found = [holder for holder, names in self.waiting.items() if name in names]
        return sorted(found, key=lambda holder: (WORKFLOWS[workflow_of(holder)], self.since[holder]))

    def room(self, name: str) -> int:
        return SIZES[name] - sum(name in names for names in self.held.values())

    def ask(self, holder: str, names: list[str]) -> bool:
        """One that does not wait yet is at the end of those of its priority and age, which may be the front of all."""
        workflow = workflow_of(holder)
        self.since.setdefault(holder, self.asked)
        self.asked += 1
        self.waiting[holder] = names
        expected = all(self.room(name) and workflow_of(self.queue(name)[0]) == workflow for name in names)
        assert self.locks.acquire(requests(names), holder, workflow, WORKFLOWS[workflow]) == expected
        if expected:
            self.held[holder] = self.waiting.pop(holder)
            del self.since[holder]
        self.hear()
        return expected

    def hear(self) -> None:
        self.told |= self.locks.take_woken()

    def look(self, workflow: str) -> None:
        """A pass of the workflow: all that wait ask again."""
        self.told.discard(workflow)
        for holder in [holder for holder in self.waiting if workflow_of(holder) == workflow]:
            self.ask(holder, self.waiting[holder])

    @rule(holder=holders, names=wishes)
    def acquire(self, holder: str, names: list[str]) -> None:
        if holder not in self.held:
            self.ask(holder, self.waiting.get(holder, names))

    @rule(workflow=st.sampled_from(list(WORKFLOWS)))
    def look_again(self, workflow: str) -> None:
        self.look(workflow)

    @rule(holder=holders)
    def release(self, holder: str) -> None:
        self.locks.release(self.held.pop(holder, []), holder)
        self.hear()

    @rule(holder=holders)
    def forget(self, holder: str) -> None:
        self.locks.forget(self.waiting.pop(holder, []), holder)
        self.since.pop(holder, None)
        self.hear()

    @rule(holder=holders, names=wishes)
    def take_back(self, holder: str, names: list[str]) -> None:
        """A pass in which it got its locks is aborted, and will be made again."""
        if holder in self.held:
            return
        since = self.since.get(holder)
        places = self.locks.places(self.waiting.get(holder, []), holder)
        if self.ask(holder, self.waiting.get(holder, names)):
            names = self.held.pop(holder)
            self.locks.release(names, holder)
            self.locks.put_back(places)
            if since is not None:
                self.waiting[holder], self.since[holder] = names, since
            self.hear()
            self.told.add(workflow_of(holder))

    @invariant()
    def all_are_where_they_were(self) -> None:
        for name, size in SIZES.items():
            assert self.locks.free(Request(name, size)) == self.room(name) >= 0
        for holder in HOLDERS:
            assert {name for name, _ in self.locks.places(SIZES, holder)} == set(self.waiting.get(holder, ()))
        wanted = (*self.held.values(), *self.waiting.values())
        assert len(self.locks) == len({name for names in wanted for name in names})

    def teardown(self) -> None:
        """Nobody is forgotten: where all give back what they hold, all get their turn, with no other to wake them."""
        for _ in range(len(HOLDERS) + 1):
            for holder in list(self.held):
                self.release(holder)
            while self.told:
                self.look(min(self.told))
        assert not self.waiting
        assert not len(self.locks)


TestPromises = Promises.TestCase


def take(locks: Locks, name: str, holder: str, size: int = 1) -> bool:
    workflow = workflow_of(holder)
    return locks.acquire([Request(name, size)], holder, workflow, WORKFLOWS[workflow])


def test_turns_go_by_priority_then_age_then_first_come() -> None:
    locks = Locks()
    assert take(locks, "a", "idle/0")
    for holder in ("idle/2", "young/1", "young/0", "old/0", "urgent/0"):
        assert not take(locks, "a", holder)
    order = []
    holding = "idle/0"
    while len(locks):
        locks.release(["a"], holding)
        woken = locks.take_woken()
        waiting = [holder for holder in HOLDERS if locks.places(["a"], holder)]
        for holder in waiting:
            if take(locks, "a", holder):
                assert woken == {workflow_of(holder)}
                order.append(holder)
                holding = holder
    assert order == ["urgent/0", "old/0", "young/0", "young/1", "idle/2"]  # those of one workflow as they come to ask


def test_nobody_waits_behind_one_of_lower_priority_who_waits_for_another_lock() -> None:
    locks = Locks()
    assert take(locks, "b", "old/0")
    assert not locks.acquire([Request("a", 1), Request("b", 1)], "idle/0", "idle", WORKFLOWS["idle"])
    assert take(locks, "a", "urgent/0"), "it is free, and nobody is before it"


def test_all_of_a_workflow_whose_turn_it_is_may_take_it() -> None:
    locks = Locks()
    assert take(locks, "b", "old/0", 2)
    assert take(locks, "b", "young/0", 2)
    assert not take(locks, "b", "urgent/0", 2)
    locks.release(["b"], "old/0")
    assert take(locks, "b", "urgent/1", 2)


def test_the_next_is_woken_where_room_is_left() -> None:
    locks = Locks()
    for holder in ("idle/0", "idle/1"):
        assert take(locks, "b", holder, 2)
    for holder in ("old/0", "young/0"):
        assert not take(locks, "b", holder, 2)
    for holder in ("idle/0", "idle/1"):
        locks.release(["b"], holder)
    assert locks.take_woken() == {"old"}
    assert take(locks, "b", "old/0", 2)
    assert locks.take_woken() == {"young"}


def test_what_was_held_before_counts_though_there_is_no_room_for_it() -> None:
    locks = Locks()
    for holder in ("old/0", "young/0"):
        locks.regain("a", holder)
    assert not take(locks, "a", "urgent/0")
    locks.release(["a"], "old/0")
    assert not take(locks, "a", "urgent/0")
    locks.release(["a"], "young/0")
    assert locks.take_woken() == {"urgent"}
    assert take(locks, "a", "urgent/0")


@pytest.mark.parametrize("count", [10, 1000])
def test_those_that_have_gone_leave_nothing_in_a_queue(count: int) -> None:
    locks = Locks()
    assert take(locks, "a", "old/0")
    assert not take(locks, "a", "old/1")
    for number in range(count):
        assert not take(locks, "a", f"young/{number}")
        locks.forget(["a"], f"young/{number}")
    locks.release(["a"], "old/0")
    assert locks.take_woken() == {"old"}
    locks.forget(["a"], "old/1")
    assert not len(locks)


def test_the_lock_that_is_named_as_blocking_is_the_first_without_room() -> None:
    locks = Locks()
    assert take(locks, "b", "old/0")
    wanted = [Request("a", 1), Request("b", 1)]
    assert locks.blocking(wanted) == Request("b", 1)
    locks.release(["b"], "old/0")
    assert locks.blocking(wanted) == Request("a", 1)
