"""The queue of keys, against a model of what it promises."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.reconciling.queueing import FRESH_EVERY, Queue

keys = st.sampled_from("abcde")
times = st.integers(0, 100).map(float)


class Promises(RuleBasedStateMachine):
    """A key is handed out only if it was wanted, once for any number of wishes, and never while in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.now = 0.0
        self.wanted: set[str] = set()
        self.in_flight: set[str] = set()
        self.due: dict[str, float] = {}

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.wanted.add(key)
        self.due.pop(key, None)

    @rule(key=keys, delay=times)
    def add_at(self, key: str, delay: float) -> None:
        self.queue.add_at(key, self.now + delay)
        if key not in self.wanted:
            self.due[key] = min(self.due.get(key, self.now + delay), self.now + delay)

    @rule(elapsed=times)
    def wake(self, elapsed: float) -> None:
        self.now += elapsed
        self.queue.wake(self.now)
        for key in [key for key, when in self.due.items() if when <= self.now]:
            del self.due[key]
            self.wanted.add(key)

    @rule()
    def get(self) -> None:
        key = self.queue.get()
        if key is None:
            assert self.wanted <= self.in_flight
        else:
            assert key in self.wanted
            assert key not in self.in_flight
            self.wanted.remove(key)
            self.in_flight.add(key)

    @rule(key=keys)
    def again(self, key: str) -> None:
        if key in self.in_flight:
            assert self.queue.again(key) == (key in self.wanted)
            self.wanted.discard(key)

    @rule(key=keys)
    def done(self, key: str) -> None:
        self.queue.done(key)
        self.in_flight.discard(key)

    @rule(key=keys)
    def discard(self, key: str) -> None:
        self.queue.discard(key)
        self.wanted.discard(key)
        self.due.pop(key, None)

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.queue) == len(self.wanted - self.in_flight)
        assert self.queue.in_flight == len(self.in_flight)
        assert self.queue.next_due == min(self.due.values(), default=None)


TestPromises = Promises.TestCase


def test_keys_are_handed_out_first_come_first_served() -> None:
    queue = Queue()
    for key in "abc":
        queue.add(key)
    assert [queue.get() for _ in range(3)] == ["a", "b", "c"]
    for key in "abc":
        queue.done(key)
    for key in "cab":
        queue.add(key)
    assert [queue.get() for _ in range(3)] == ["c", "a", "b"]


def test_a_key_that_was_handed_out_before_goes_before_those_that_were_not() -> None:
    queue = Queue()
    for key in "abc":
        queue.add(key)
    assert queue.get() == "a"
    queue.add("a")
    queue.done("a")
    assert [queue.get() for _ in range(3)] == ["a", "b", "c"]


def test_one_in_so_many_is_new_however_many_are_begun() -> None:
    queue = Queue()
    queue.add("begun")
    queue.get()
    queue.add("begun")
    queue.done("begun")
    queue.add("new")
    got = []
    while "new" not in got:
        key = queue.get()
        assert key is not None
        got.append(key)
        queue.add(key)
        queue.done(key)
    assert got == ["begun"] * (FRESH_EVERY - 1) + ["new"]


def test_a_key_that_was_discarded_is_a_new_one() -> None:
    queue = Queue()
    queue.add("a")
    queue.get()
    queue.done("a")
    queue.add("a")
    queue.discard("a")
    assert queue.get() is None
    queue.add("b")
    queue.add("a")
    assert [queue.get(), queue.get()] == ["b", "a"]
