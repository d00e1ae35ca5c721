"""The retry budget: 1.2 times the calls and ten a second, whatever the pattern."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rpc.budget import LIFETIME, RATE, RATIO, Budget


def spend_all(budget: Budget, now: float) -> int:
    spent = 0
    while budget.spend(now):
        spent += 1
    return spent


def test_ten_a_second_are_free() -> None:
    budget = Budget(0.0)
    assert spend_all(budget, 0.0) == RATE
    assert spend_all(budget, 1.0) == RATE
    assert spend_all(budget, 1.5) == RATE / 2
    assert budget.refused == 3
    assert budget.spent == 2.5 * RATE


def test_five_calls_earn_one() -> None:
    budget = Budget(0.0)
    spend_all(budget, 0.0)
    budget.calls += 1000
    assert spend_all(budget, 0.0) == 200


def test_a_good_hour_does_not_pay_for_a_storm() -> None:
    budget = Budget(0.0)
    budget.calls += 3_600_000
    assert spend_all(budget, 3600.0) <= 1000 * LIFETIME * RATIO + RATE * LIFETIME


@given(
    st.lists(
        st.tuples(st.floats(0.0, 30.0), st.integers(0, 1000), st.integers(0, 500)),
        min_size=1,
        max_size=30,
    )
)
def test_retries_never_exceed_the_budget(steps: list[tuple[float, int, int]]) -> None:
    budget, now, spent = Budget(0.0), 0.0, 0
    for seconds, calls, wanted in steps:
        now += seconds
        budget.calls += calls
        spent += sum(budget.spend(now) for _ in range(wanted))
        assert spent == budget.spent
        assert spent <= RATIO * budget.calls + RATE * (now + 1) + 1e-6


def test_what_is_owed_is_earned_before_there_is_another() -> None:
    budget = Budget(0.0)
    assert budget.spend(0.0, 64)
    assert not budget.spend(5.4)
    assert budget.spend(5.6)
    assert (budget.spent, budget.refused) == (65, 1)


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 1000), st.integers(1, 256)), min_size=1, max_size=30))
def test_batches_exceed_the_budget_by_one_at_most(steps: list[tuple[float, int, int]]) -> None:
    budget, now, spent = Budget(0.0), 0.0, 0
    for seconds, calls, batch in steps:
        now += seconds
        budget.calls += calls
        while budget.spend(now, batch):
            spent += batch
        assert spent == budget.spent
        assert spent <= RATIO * budget.calls + RATE * (now + 1) + 256
