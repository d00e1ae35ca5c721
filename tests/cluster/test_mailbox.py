"""Mail between a driver and a shard, over a network that loses, doubles, delays and reorders letters."""

from __future__ import annotations

from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from engine.cluster.mail import Down, Drain, Letter, Stop, Up, encode, read_down, read_up
from engine.cluster.mailbox import Mailbox


class Written(NamedTuple):
    """A letter on its way to the shard, or from there."""

    down: bool
    data: bytes


class LossyMail(RuleBasedStateMachine):
    """Both ends put what they have to say, in numbers; letters come when they like, once, more often or never."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Mailbox[Down, Up](2)
        self.shard = Mailbox[Up, Down](2)
        self.put_down: list[float] = []
        self.put_up: list[str] = []
        self.heard_down: list[float] = []
        self.heard_up: list[str] = []

    under_way = Bundle("under_way")

    @rule(count=st.integers(1, 3))
    def driver_says(self, count: int) -> None:
        for _ in range(count):
            self.put_down.append(float(len(self.put_down)))
            self.driver.put(Drain(self.put_down[-1]))

    @rule(count=st.integers(1, 3))
    def shard_says(self, count: int) -> None:
        for _ in range(count):
            self.put_up.append(str(len(self.put_up)))
            self.shard.put(Stop("uid", self.put_up[-1]))

    @rule(target=under_way)
    def driver_writes(self) -> Written:
        return Written(True, self.driver.take())

    @rule(target=under_way)
    def shard_writes(self) -> Written:
        return Written(False, self.shard.take())

    @rule(letter=consumes(under_way))
    def comes(self, letter: Written) -> None:
        self.deliver(letter)

    @rule(letter=under_way)
    def comes_and_will_come_again(self, letter: Written) -> None:
        self.deliver(letter)

    @rule(letter=consumes(under_way))
    def is_lost(self, letter: Written) -> None:
        pass

    @rule(target=under_way, first=consumes(under_way), second=consumes(under_way))
    def are_reordered(self, first: Written, second: Written) -> object:
        self.deliver(second)
        self.deliver(first)
        return multiple()

    @rule(epoch=st.sampled_from([0, 1, 3]), number=st.integers(1, 40), heard=st.integers(0, 40))
    def comes_from_another_incarnation(self, epoch: int, number: int, heard: int) -> None:
        self.hear(Letter(epoch, number, number, heard, 0, [Stop("uid", "other")] * number))

    def deliver(self, letter: Written) -> None:
        if letter.down:
            for item in self.shard.receive(read_down(letter.data)):
                assert isinstance(item, Drain)
                assert item.grace is not None
                self.heard_down.append(item.grace)
        else:
            self.hear(read_up(letter.data))

    def hear(self, letter: Letter[Up]) -> None:
        for item in self.driver.receive(letter):
            assert isinstance(item, Stop)
            self.heard_up.append(item.node_id)

    @invariant()
    def nothing_comes_twice_or_in_another_order(self) -> None:
        assert self.heard_down == self.put_down[: len(self.heard_down)]
        assert self.heard_up == self.put_up[: len(self.heard_up)]

    @invariant()
    def what_waits_has_a_size(self) -> None:
        for mailbox in (self.driver, self.shard):
            assert bool(mailbox.size) == bool(mailbox.waiting)
            assert mailbox.waiting >= 0

    def teardown(self) -> None:
        for _ in range(3):  # one exchange to find out what was lost, one to send it again, one to say that it came
            self.deliver(Written(True, self.driver.take()))
            self.deliver(Written(False, self.shard.take()))
        assert (self.heard_down, self.heard_up) == (self.put_down, self.put_up)
        assert not self.driver.waiting
        assert not self.shard.waiting


LossyMail.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestLossyMail = LossyMail.TestCase


def test_a_letter_has_what_waits_and_nothing_that_is_under_way() -> None:
    driver, shard = Mailbox[Down, Up](1), Mailbox[Up, Down](1)
    driver.put(Drain(1.0))
    first = driver.take()
    driver.put(Drain(2.0))
    second = driver.take()
    assert read_down(second).items == [Drain(2.0)]
    assert [*shard.receive(read_down(first)), *shard.receive(read_down(second))] == [Drain(1.0), Drain(2.0)]


def test_behind_a_lost_letter_all_is_sent_again() -> None:
    driver, shard = Mailbox[Down, Up](1), Mailbox[Up, Down](1)
    driver.put(Drain(1.0))
    driver.take()
    driver.put(Drain(2.0))
    assert not shard.receive(read_down(driver.take()))
    driver.receive(read_up(shard.take()))
    assert driver.waiting == 2
    assert shard.receive(read_down(driver.take())) == [Drain(1.0), Drain(2.0)]


def test_what_was_only_late_is_not_sent_again() -> None:
    driver, shard = Mailbox[Down, Up](1), Mailbox[Up, Down](1)
    driver.put(Drain(1.0))
    late = driver.take()
    driver.put(Drain(2.0))
    shard.receive(read_down(driver.take()))
    driver.receive(read_up(shard.take()))
    assert driver.waiting == 2
    assert shard.receive(read_down(late)) == [Drain(1.0)]
    driver.receive(read_up(shard.take()))
    assert driver.waiting == 1
    assert read_down(driver.take()).items == [Drain(2.0)]


def test_what_was_encoded_is_sent_as_it_is() -> None:
    driver = Mailbox[Down, Up](1)
    driver.put(encode(Drain(1.0)))
    assert read_down(driver.take()).items == [Drain(1.0)]
