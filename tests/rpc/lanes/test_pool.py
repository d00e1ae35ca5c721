"""The pool's decisions, on its own: no sockets, no loop, only what becomes of connections and calls."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rpc.lanes import MAX_NEWCOMERS
from rpc.lanes.pool import Pool

Connection = str
Call = int


class Lane(RuleBasedStateMachine):
    """A pool and the world around it: calls come, connections are made, answer, die and starve in any order."""

    @initialize()
    def begin(self) -> None:
        self.pool: Pool[Connection, Call] = Pool()
        self.busy: dict[Connection, Call] = {}
        self.used: set[Connection] = set()
        self.over: set[Call] = set()
        self.replayed: set[Call] = set()
        self.calls = count()
        self.names = (f"c{n}" for n in count())
        self.posted = 0

    def open_more(self) -> None:
        self.pool.to_open()
        assert self.pool.to_open() == 0

    def employ(self, connection: Connection) -> None:
        call = self.pool.next_call(new=connection not in self.used)
        if call is not None:
            assert call not in self.replayed or connection not in self.used, "a replay on a connection used before"
            self.busy[connection] = call
        elif self.pool.rest(connection):
            self.used.add(connection)
        else:
            self.lose(connection, silent=False)

    def lose(self, connection: Connection, *, silent: bool) -> None:
        self.pool.lost(connection, silent=silent)
        call = self.busy.pop(connection, None)
        if call is None:
            return
        if silent and connection in self.used:
            self.replayed.add(call)
            self.pool.replays.append(call)
        else:
            self.over.add(call)

    @rule()
    def post(self) -> None:
        call = next(self.calls)
        self.posted += 1
        if self.pool.idle:
            self.busy[self.pool.idle.pop()] = call
        else:
            self.pool.waiting.append(call)
        self.open_more()

    @precondition(lambda self: self.pool.opening)
    @rule()
    def connect(self) -> None:
        connection = next(self.names)
        self.pool.opened(connection)
        self.employ(connection)
        self.open_more()

    @precondition(lambda self: self.pool.opening)
    @rule()
    def fail_to_connect(self) -> None:
        self.pool.refused()
        call = self.pool.next_call(new=True)
        if call is not None:
            self.over.add(call)
        self.open_more()

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), reusable=st.booleans() | st.just(True))
    def answer(self, data: st.DataObject, reusable: bool) -> None:
        connection = data.draw(st.sampled_from(sorted(self.busy)))
        self.over.add(self.busy.pop(connection))
        self.used.add(connection)
        if self.pool.answered(connection, reusable=reusable):
            assert reusable
            self.employ(connection)
        else:
            self.lose(connection, silent=False)
        self.open_more()

    @precondition(lambda self: self.pool.connections)
    @rule(data=st.data(), silent=st.booleans())
    def die(self, data: st.DataObject, silent: bool) -> None:
        self.lose(data.draw(st.sampled_from(sorted(self.pool.connections))), silent=silent)
        self.open_more()

    @precondition(lambda self: self.pool.newcomers & self.busy.keys())
    @rule(data=st.data())
    def starve(self, data: st.DataObject) -> None:
        newcomer = data.draw(st.sampled_from(sorted(self.pool.newcomers & self.busy.keys())))
        given_up = self.pool.make_way(newcomer)
        if given_up is not None:
            assert given_up in self.pool.idle
            self.lose(given_up, silent=False)
        self.open_more()

    @invariant()
    def few_newcomers(self) -> None:
        assert 0 <= self.pool.opening + len(self.pool.newcomers) <= MAX_NEWCOMERS

    @invariant()
    def every_connection_is_idle_or_busy(self) -> None:
        idle = self.pool.idle
        assert len(set(idle)) == len(idle)
        assert not self.busy.keys() & set(idle)
        assert self.busy.keys() | set(idle) == self.pool.connections.keys()

    @invariant()
    def no_call_is_lost_or_doubled(self) -> None:
        places = [*self.pool.waiting, *self.pool.replays, *self.busy.values(), *self.over]
        assert sorted(places) == list(range(self.posted))

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        if self.pool.waiting:
            assert not self.pool.idle
            assert self.pool.opening or self.busy
        if self.pool.replays:
            assert self.pool.opening or len(self.pool.newcomers) == MAX_NEWCOMERS

    def teardown(self) -> None:
        for _ in range(self.posted + MAX_NEWCOMERS):
            if self.pool.opening:
                self.connect()
            for connection in sorted(self.busy):
                self.over.add(self.busy.pop(connection))
                self.used.add(connection)
                if self.pool.answered(connection, reusable=True):
                    self.employ(connection)
                else:
                    self.lose(connection, silent=False)
            self.open_more()
        assert len(self.over) == self.posted, "a call is left although the peer answers everything"


TestLane = Lane.TestCase
TestLane.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def served(pool: Pool[str, str], connection: str, replies: int) -> None:
    """`connection` is made, gives `replies` and rests."""
    pool.waiting.append("call")
    assert pool.to_open() == 1
    pool.opened(connection)
    assert pool.next_call(new=True) == "call"
    for _ in range(replies):
        assert pool.answered(connection, reusable=True)
    assert pool.rest(connection)


def test_the_connection_used_last_is_used_next() -> None:
    pool: Pool[str, str] = Pool()
    served(pool, "a", 1)
    pool.idle.clear()
    served(pool, "b", 1)
    assert pool.rest("a")
    assert pool.idle.pop() == "a"


def test_only_so_many_connections_wait_for_their_first_reply() -> None:
    pool: Pool[str, int] = Pool()
    pool.waiting.extend(range(100))
    assert pool.to_open() == MAX_NEWCOMERS
    assert pool.to_open() == 0
    pool.opened("a")
    assert pool.to_open() == 0
    pool.next_call(new=True)
    pool.answered("a", reusable=True)
    assert pool.to_open() == 1


def test_no_more_connections_are_opened_than_calls_wait() -> None:
    pool: Pool[str, int] = Pool()
    pool.waiting.extend(range(2))
    assert pool.to_open() == 2


def test_a_peer_that_closes_after_each_reply_is_learnt() -> None:
    pool: Pool[str, str] = Pool()
    for name in ("a", "b", "c"):
        served(pool, name, 1)
        pool.lost(name, silent=True)
    assert not pool.keeps
    pool.opening = 1
    pool.opened("d")
    assert not pool.answered("d", reusable=True)


def test_a_peer_that_keeps_connections_again_is_found_out() -> None:
    pool: Pool[str, str] = Pool()
    for name in ("a", "b", "c"):
        served(pool, name, 1)
        pool.lost(name, silent=True)
    tries = 0
    while True:
        tries += 1
        pool.opening = 1
        pool.opened(f"d{tries}")
        if pool.answered(f"d{tries}", reusable=True):
            break
        pool.lost(f"d{tries}", silent=False)
    assert tries > 10
    assert pool.answered(f"d{tries}", reusable=True)
    assert pool.keeps


@pytest.mark.parametrize("replies", [2, 3])
def test_a_connection_that_dies_after_several_replies_says_nothing_of_the_peer(replies: int) -> None:
    pool: Pool[str, str] = Pool()
    for name in "abcdef":
        served(pool, name, replies)
        pool.lost(name, silent=True)
    assert pool.keeps


def test_an_unused_connection_is_not_kept_for_a_peer_that_closes_each_time() -> None:
    pool: Pool[str, str] = Pool()
    pool.opening = 1
    pool.opened("a")
    assert not pool.rest("a")


def test_the_only_proven_connection_makes_way_for_a_starving_newcomer() -> None:
    pool: Pool[str, str] = Pool()
    served(pool, "old", 2)
    pool.opening = 1
    pool.opened("new")
    assert pool.make_way("new") == "old"
    pool.lost("old", silent=False)
    assert pool.make_way("new") is None


def test_a_busy_connection_makes_way_after_its_reply() -> None:
    pool: Pool[str, str] = Pool()
    served(pool, "old", 2)
    pool.idle.clear()
    pool.opening = 1
    pool.opened("new")
    assert pool.make_way("new") is None
    assert not pool.steady
    assert not pool.answered("old", reusable=True)


def test_with_two_proven_connections_nothing_makes_way() -> None:
    pool: Pool[str, str] = Pool()
    served(pool, "a", 2)
    pool.idle.clear()
    served(pool, "b", 2)
    pool.opening = 1
    pool.opened("new")
    assert pool.make_way("new") is None
    assert pool.steady
