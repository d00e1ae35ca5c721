"""The circuit breaker, by its state machine and by what it makes of a window of calls."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rpc.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy(failure_ratio=0.5, min_calls=4, window=10.0, open_for=5.0)


def test_it_opens_when_enough_of_enough_calls_failed() -> None:
    breaker = Breaker(POLICY)
    assert not breaker.record(0.0, successes=2, failures=1)
    assert breaker.closed
    assert breaker.record(0.1, failures=1)
    assert breaker.state(0.2) == "open"
    assert breaker.opened == 1


def test_it_stays_closed_below_the_number_of_calls() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, failures=3)
    assert breaker.closed


def test_it_stays_closed_below_the_ratio() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, successes=1000)
    breaker.record(0.1, failures=999)
    assert breaker.closed


def test_failures_leave_with_the_window() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, failures=3)
    breaker.record(10.5, failures=1)
    assert breaker.closed
    breaker.record(11.0, failures=3)
    assert not breaker.closed


def test_old_successes_do_not_excuse_new_failures() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, successes=1_000_000)
    assert breaker.record(11.0, failures=4)


def test_old_successes_do_not_keep_a_plugin_that_died_since_from_being_left_alone() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.5, successes=1_000_000)
    assert not breaker.record(0.9, failures=100), "it may be a restart"
    assert not breaker.record(1.9, failures=100)
    assert breaker.record(2.0, failures=1), "a whole step without a success"


def test_few_failures_without_a_success_say_nothing_yet() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.5, successes=1_000_000)
    for second in (3.0, 5.0, 7.0):
        assert not breaker.record(second, failures=1)
    assert breaker.record(8.0, failures=1)


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, failures=4)
    assert not breaker.try_probe(4.9)
    assert breaker.state(5.0) == "half-open"
    assert breaker.try_probe(5.0)
    assert not breaker.try_probe(5.0)
    breaker.end_probe(5.5, True)
    assert breaker.closed


def test_a_probe_that_fails_opens_it_for_as_long_again() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, failures=4)
    assert breaker.try_probe(6.0)
    breaker.end_probe(7.0, False)
    assert not breaker.try_probe(11.9)
    assert breaker.try_probe(12.0)


def test_a_probe_that_says_nothing_gives_its_lease_back() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, failures=4)
    for _ in range(3):
        assert breaker.try_probe(6.0)
        breaker.end_probe(6.0, None)
    assert breaker.state(6.0) == "half-open"


def test_it_starts_afresh_once_closed_again() -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, failures=4)
    assert breaker.try_probe(5.0)
    breaker.end_probe(5.0, True)
    breaker.record(5.1, failures=3)
    assert breaker.closed


@pytest.mark.parametrize("failures", [1, 100])
def test_calls_that_were_sent_before_it_opened_say_nothing(failures: int) -> None:
    breaker = Breaker(POLICY)
    breaker.record(0.0, failures=4)
    assert not breaker.record(4.0, failures=failures)
    assert breaker.try_probe(5.0)


class Model(RuleBasedStateMachine):
    """Against the definition: a list of all calls, filtered by time."""

    @initialize(
        ratio=st.sampled_from([0.1, 0.5, 1.0]), min_calls=st.integers(1, 6), open_for=st.sampled_from([1.0, 20.0])
    )
    def start(self, ratio: float, min_calls: int, open_for: float) -> None:
        self.policy = BreakerPolicy(ratio, min_calls, 10.0, open_for)
        self.breaker = Breaker(self.policy)
        self.now = 0.0
        self.calls: list[tuple[int, bool]] = []
        self.open_until: float | None = None
        self.probing = False

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 4.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(failed=st.booleans())
    def call_ends(self, failed: bool) -> None:
        opened = self.breaker.record(self.now, successes=not failed, failures=failed)
        if self.open_until is not None:
            assert not opened
            return
        self.calls.append((int(self.now), failed))
        recent = [failed for step, failed in self.calls if step > int(self.now) - 10]
        ratio = len(recent) >= self.policy.min_calls and sum(recent) >= self.policy.failure_ratio * len(recent)
        good = max((step for step, failed in self.calls if not failed), default=-10)
        since = sum(step > max(good, int(self.now) - 10) for step, _ in self.calls)
        nothing_else = int(self.now) - good >= 2 and since >= self.policy.min_calls
        expected = failed and (ratio or nothing_else)
        assert opened == expected
        if opened:
            self.open_until = self.now + self.policy.open_for
            self.calls.clear()

    @precondition(lambda self: not self.probing)
    @rule()
    def ask_to_probe(self) -> None:
        allowed = self.open_until is not None and self.now >= self.open_until
        assert self.breaker.try_probe(self.now) == allowed
        self.probing = allowed

    @precondition(lambda self: self.probing)
    @rule(answered=st.sampled_from([True, False, None]))
    def probe_ends(self, answered: bool | None) -> None:
        assert not self.breaker.try_probe(self.now)
        self.breaker.end_probe(self.now, answered)
        self.probing = False
        if answered:
            self.open_until = None
        elif answered is False:
            self.open_until = self.now + self.policy.open_for

    @invariant()
    def closed_is_as_expected(self) -> None:
        if hasattr(self, "breaker"):
            assert self.breaker.closed == (self.open_until is None)


TestModel = Model.TestCase
