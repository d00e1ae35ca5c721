"""Adaptive concurrency, against servers that are formulas and a clock that is a number."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.limiter import CEILING, FLOOR, START, Limiter

Server = Callable[[int], float]  # calls per second, by calls in flight


class Run:
    """A limiter whose server answers as its formula says, give or take some noise."""

    def __init__(self, server: Server, *, noise: float = 0.0, seed: int = 0) -> None:
        self.server = server
        self.noise = noise
        self.random = random.Random(seed)
        self.now = 50.0
        self.answered = self.ideal = 0.0
        self.limiter = Limiter(self.now)
        self.limits = [self.limiter.limit]

    def go(self, seconds: float, *, saturated: bool = True) -> None:
        end = self.now + seconds
        while self.now < end:
            step = max(0.001, self.limiter.until - self.now)
            self.now += step
            rate = self.server(self.limiter.limit) * max(0.1, self.random.gauss(1.0, self.noise))
            self.answered += rate * step
            self.limiter.advance(self.now, int(self.answered), int(self.answered) if saturated else 0)
            self.limits.append(self.limiter.limit)

    def share(self) -> float:
        """Of the best throughput that any limit could give, what this one does."""
        return self.server(self.limiter.settled) / max(self.server(limit) for limit in range(1, CEILING + 1))


def pool(workers: int, seconds: float) -> Server:
    """A server of so many workers, each busy for so long with a call."""
    return lambda limit: min(limit, workers) / seconds


def loop(most: float, knee: float) -> Server:
    """A server whose throughput rises ever more slowly, as that of event loops does."""
    return lambda limit: most * limit / (limit + knee)


SERVERS = [pool(1, 0.0007), pool(8, 0.01), pool(100, 0.01), pool(300, 0.1), loop(100_000, 4), loop(1400, 0.3)]


def test_it_starts_at_four() -> None:
    assert Limiter(0.0).limit == START == 4


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_steady_server_gives_nine_tenths_of_what_it_can(server: Server, noise: float) -> None:
    run = Run(server, noise=noise)
    run.go(20.0)
    assert run.share() >= 0.9


def test_a_server_with_one_thread_is_not_crowded() -> None:
    run = Run(pool(1, 0.0007))
    run.go(20.0)
    assert max(run.limits[-100:]) <= 4


def test_the_starting_phase_takes_a_few_intervals() -> None:
    run = Run(pool(128, 0.01))
    run.go(0.5)
    assert run.limiter.settled >= 64


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_capacity_that_halves_is_followed_down_and_up_again(noise: float) -> None:
    full, half = pool(100, 0.01), pool(50, 0.01)
    run = Run(full, noise=noise)
    run.go(10.0)
    before = run.limiter.settled
    run.server = half
    run.go(30.0)
    assert run.limiter.settled < before
    assert run.share() >= 0.9
    run.server = full
    run.go(10.0)
    assert run.share() >= 0.9


def test_without_callers_who_wait_it_learns_nothing() -> None:
    run = Run(pool(100, 0.01))
    run.go(10.0, saturated=False)
    assert set(run.limits) == {START}


def test_refusals_cut_it_once_in_an_interval() -> None:
    run = Run(pool(100, 0.01))
    run.go(5.0)
    before = run.limiter.settled
    for _ in range(1000):
        run.limiter.refused(run.now, int(run.answered))
    assert 0.5 * before < run.limiter.limit < 0.75 * before


def test_refusals_without_end_bring_it_to_one_and_no_lower() -> None:
    run = Run(pool(100, 0.01))
    run.go(5.0)
    for _ in range(100):
        run.now += 0.03
        run.limiter.refused(run.now, int(run.answered))
    assert run.limiter.limit == FLOOR


def test_a_few_refusals_among_many_replies_do_not_count() -> None:
    run = Run(pool(100, 0.01))
    run.go(5.0)
    before = run.limiter.settled
    for _ in range(100):
        run.answered += 100
        run.limiter.refused(run.now, int(run.answered))
    assert run.limiter.settled == before


@given(
    st.lists(
        st.one_of(
            st.just("refused"),
            st.tuples(st.floats(0.0, 2.0), st.integers(0, 100_000), st.booleans()),
        ),
        max_size=200,
    )
)
def test_whatever_happens_it_stays_within_its_bounds(events: list[str | tuple[float, int, bool]]) -> None:
    limiter = Limiter(0.0)
    now, answered, waits = 0.0, 0, 0
    for event in events:
        if isinstance(event, str):
            limiter.refused(now, answered)
        else:
            seconds, count, saturated = event
            now += seconds
            answered += count
            waits += count * saturated
            limiter.advance(now, answered, waits)
        assert FLOOR <= limiter.limit <= CEILING
        assert FLOOR <= limiter.settled <= CEILING


def test_after_the_peer_was_gone_it_begins_anew_and_learns_as_fast() -> None:
    run = Run(lambda limit: 1000.0 * min(limit, 32))
    for _ in range(50):
        run.now += 0.03
        run.limiter.refused(run.now, int(run.answered))
    assert run.limiter.limit == FLOOR
    run.limiter.restart(run.now, int(run.answered), int(run.answered))
    assert run.limiter.limit == START
    run.go(1.0)
    assert run.limiter.limit >= 16
