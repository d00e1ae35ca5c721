"""Which address is dialled and which connections make way, on its own: no sockets, and a clock that is told."""

from __future__ import annotations

import socket
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rpc.lanes import Balance
from rpc.lanes.addresses import LIFETIME, Addresses

A, B, C, V6 = ("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80), ("fd00::1", 80, 0, 0)


def record(*addresses: tuple[Any, ...]) -> list[Any]:
    """As `socket.getaddrinfo` gives it."""
    families = {2: socket.AF_INET, 4: socket.AF_INET6}
    return [(families[len(each)], socket.SOCK_STREAM, 6, "", each) for each in addresses]


def known(balance: Balance, *addresses: tuple[Any, ...]) -> Addresses[str]:
    it: Addresses[str] = Addresses(balance)
    it.found(record(*addresses))
    it.asked(0.0)
    return it


def order(it: Addresses[str], now: float = 0.0) -> list[Any]:
    """In which order they would be tried."""
    race = it.race(now)
    it.called_off(race)
    return [info[4] for info in race]


def connect(it: Addresses[str], name: str, now: float = 0.0) -> Any:
    """Open a connection to the address that is tried first, and say which that is."""
    race = it.race(now)
    it.reached(race, race[0][4], now)
    it.opened(name, race[0][4])
    return race[0][4]


class Names(RuleBasedStateMachine):
    """A name whose record changes, addresses that come and go, and a pool that dials, calls and loses connections."""

    @initialize(balance=st.sampled_from(["first", "all"]))
    def begin(self, balance: Balance) -> None:
        self.balance = balance
        self.it: Addresses[str] = Addresses(balance)
        self.now = 0.0
        self.record: list[Any] = []
        self.up = {A, B, C, V6}
        self.at: dict[str, Any] = {}
        self.let_go: set[str] = set()
        self.names = (f"c{n}" for n in count())
        self.races: list[list[Any]] = []

    @rule(addresses=st.lists(st.sampled_from([A, B, C, V6]), unique=True))
    def look_up(self, addresses: list[Any]) -> None:
        self.record = addresses
        self.it.found(record(*addresses))
        self.it.asked(self.now)
        assert not self.it.is_stale(self.now)
        assert self.it.is_known == bool(addresses)

    @rule(seconds=st.sampled_from([0.1, LIFETIME, 2 * LIFETIME]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(address=st.sampled_from([A, B, C, V6]))
    def turn(self, address: Any) -> None:
        """It goes dark, or comes back."""
        self.up ^= {address}

    @precondition(lambda self: self.record)
    @rule()
    def begin_to_dial(self) -> None:
        race = self.it.race(self.now)
        assert sorted(info[4] for info in race) == sorted(self.record)
        self.races.append(race)

    @precondition(lambda self: self.races)
    @rule(data=st.data())
    def end_dial(self, data: st.DataObject) -> None:
        race = self.races.pop(data.draw(st.integers(0, len(self.races) - 1)))
        winner = next((info[4] for info in race if info[4] in self.up), None)
        self.it.reached(race, winner, self.now)
        if winner is not None:
            name = next(self.names)
            self.it.opened(name, winner)
            self.at[name] = winner
        else:
            assert not (self.it.any_good and {info[4] for info in race} >= set(self.record))

    @precondition(lambda self: self.races)
    @rule()
    def call_off(self) -> None:
        self.it.called_off(self.races.pop())

    @precondition(lambda self: self.at)
    @rule(data=st.data(), cut=st.booleans())
    def lose(self, data: st.DataObject, cut: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.at)))
        if cut:
            self.it.failed(name, self.now)
        self.it.lost(name)
        del self.at[name]
        self.let_go.discard(name)

    @precondition(lambda self: self.at)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.at)))
        self.it.answered(name)
        if self.at[name] in self.record and name not in self.let_go:
            assert self.it.any_good

    @precondition(lambda self: self.at)
    @rule(data=st.data(), since=st.floats(0.0, 3.0))
    def fall_silent(self, data: st.DataObject, since: float) -> None:
        name = data.draw(st.sampled_from(sorted(self.at)))
        idle = [(other, self.now - since) for other in self.at if other != name]
        for stale in self.it.fell_silent(name, self.now - 1.0, idle, self.now):
            assert since >= 1.0
            assert self.at[stale] == self.at[name] or {stale, name} & self.let_go
            self.it.lost(stale)
            del self.at[stale]
            self.let_go.discard(stale)

    @rule()
    def make_way(self) -> None:
        gone = {name for name, address in self.at.items() if address not in self.record} - self.let_go
        superfluous = self.it.superfluous(self.now)
        assert not self.let_go & set(superfluous), "it was let go before"
        if gone:
            assert set(superfluous) == gone
        elif superfluous:
            assert self.balance == "all"
            assert len(superfluous) == 1
        self.let_go |= set(superfluous)

    @invariant()
    def nothing_is_counted_that_is_not_there(self) -> None:
        counted = sum(self.it._load.values())
        assert counted == len(self.races) + len(self.at.keys() - self.let_go)
        assert all(load > 0 for load in self.it._load.values())

    def teardown(self) -> None:
        """With all addresses up and time enough, every one of them has its share again, and nothing moves any more."""
        if not self.record:
            return
        for race in self.races:
            self.it.called_off(race)
        self.up = {A, B, C, V6}
        for _ in range(4):
            self.now += LIFETIME
            for _ in range(len(self.at) + len(self.record)):
                for name in self.it.superfluous(self.now):
                    race = self.it.race(self.now)
                    self.it.reached(race, race[0][4], self.now)
                    fresh = next(self.names)
                    self.it.opened(fresh, race[0][4])
                    self.it.answered(fresh)
                    del self.at[name]
                    self.at[fresh] = race[0][4]
        assert self.it.superfluous(self.now) == []
        kept = [address for name, address in self.at.items() if name not in self.let_go]
        assert set(kept) <= set(self.record)
        if self.balance == "all":
            shares = [kept.count(address) for address in self.record]
            assert max(shares) - min(shares) <= 1


TestNames = Names.TestCase
TestNames.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_the_first_that_answers_has_all_connections() -> None:
    it = known("first", A, B, C)
    assert [connect(it, name) for name in "abcd"] == [A, A, A, A]
    it.reached(it.race(0.0), B, 0.0)
    assert [connect(it, name) for name in "efg"] == [B, B, B]


def test_connections_are_spread_over_all_of_them() -> None:
    it = known("all", A, B, C)
    assert sorted(connect(it, name) for name in "abcdef") == [A, A, B, B, C, C]


def test_connections_that_are_being_made_count_too() -> None:
    it = known("all", A, B, C)
    assert sorted(it.race(0.0)[0][4] for _ in range(6)) == [A, A, B, B, C, C]


def test_the_families_take_turns() -> None:
    assert order(known("first", V6, ("fd00::2", 80, 0, 0), A, B)) == [V6, A, ("fd00::2", 80, 0, 0), B]


@pytest.mark.parametrize("balance", ["first", "all"])
def test_an_address_that_fails_is_tried_after_those_that_do_not(balance: Balance) -> None:
    it = known(balance, A, B, C)
    it.reached(it.race(0.0), B, 0.0)
    assert order(it, 1.0)[-1] == A
    assert it.any_good


def test_while_all_fail_the_one_that_failed_first_is_tried_first() -> None:
    it = known("first", A, B)
    it.reached(it.race(0.0), B, 0.0)
    it.opened("b", B)
    it.failed("b", 1.0)
    assert not it.any_good
    assert order(it, 1.0) == [A, B]


def test_an_address_that_fails_is_good_again_with_its_next_reply() -> None:
    it = known("first", A, B)
    it.opened("a", A)
    it.failed("a", 0.0)
    it.opened("again", A)
    assert order(it) == [B, A]
    it.answered("again")
    assert order(it) == [A, B]


def test_an_address_that_failed_has_one_try_after_a_while() -> None:
    it = known("all", A, B)
    it.reached(it.race(0.0), B, 0.0)
    it.opened("b", B)
    assert order(it, LIFETIME - 0.1) == [B, A]
    assert [it.race(LIFETIME)[0][4] for _ in range(3)] == [A, B, B]


def test_connections_to_what_left_the_record_are_let_go() -> None:
    it = known("first", A, B)
    connect(it, "a")
    connect(it, "other")
    assert it.superfluous(0.0) == []
    it.found(record(B))
    assert it.superfluous(0.0) == ["a", "other"]
    assert it.superfluous(0.0) == []
    assert order(it) == [B]


def test_one_connection_after_the_other_moves_to_an_address_that_is_new() -> None:
    it = known("all", A)
    for name in "abcdef":
        connect(it, name)
    it.found(record(A, B))
    moved = []
    while superfluous := it.superfluous(0.0):
        assert len(superfluous) == 1
        moved += superfluous
        assert connect(it, f"instead of {superfluous[0]}") == B
    assert moved == ["a", "b", "c"]


def test_connections_stay_where_they_are_while_the_other_address_fails() -> None:
    it = known("all", A, B)
    for name in ("a", "b", "c"):
        race = it.race(0.0)
        it.reached(race, A, 0.0)
        it.opened(name, A)
    assert it.superfluous(LIFETIME - 0.1) == []
    assert it.superfluous(LIFETIME) == ["a"]
    race = it.race(LIFETIME)
    assert race[0][4] == B
    it.reached(race, A, LIFETIME)
    assert it.superfluous(LIFETIME) == []


def test_of_an_address_that_falls_silent_the_idle_connections_are_no_good() -> None:
    it = known("first", A, B)
    for name in ("silent", "old", "older", "recent"):
        it.opened(name, A)
    it.opened("elsewhere", B)
    idle = [("older", 1.0), ("old", 9.0), ("elsewhere", 1.0)]
    assert it.fell_silent("silent", 9.0, idle, 10.0) == ["older", "old"]
    assert order(it, 10.0) == [B, A]
    assert it.is_left("silent")
    it.failed("elsewhere", 10.0)
    assert not it.is_left("silent")


def test_an_address_of_which_something_was_heard_meanwhile_has_not_failed() -> None:
    it = known("first", A, B)
    for name in ("silent", "old", "recent"):
        it.opened(name, A)
    assert it.fell_silent("silent", 9.0, [("old", 1.0), ("recent", 9.5)], 10.0) == ["old"]
    assert order(it, 10.0) == [A, B]
    assert not it.is_left("silent")


def test_a_unix_socket_has_no_address_and_its_connections_fall_silent_all_the_same() -> None:
    it: Addresses[str] = Addresses("all")
    for name in ("silent", "old"):
        it.opened(name, None)
    assert it.fell_silent("silent", 9.0, [("old", 1.0)], 10.0) == ["old"]
    assert it.superfluous(10.0) == []
    assert not it.is_left("silent")
