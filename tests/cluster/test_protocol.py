"""All of a fleet's protocol, whatever happens between any two steps: nothing is lost, nothing is started twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.cluster.mail import Up
from engine.executors.executor import Result
from tests.cluster.simulation import Disk, Driver, Key, Shard, Work, World, groups_of

SHARDS = 3
GROUPS = ("-", "a", "b", "ab")
"""In which groups workflows are, each by one letter."""
HISTORIES = int(os.environ.get("OARLOCK_HISTORIES", "100"))
"""Long ones; ``OARLOCK_HISTORIES=20000`` is for when there is time."""

STEPS = (
    *("driver_dies", "is_stopped"),
    *("is_submitted", "leaf_is_late", "leaf_gets_on", "shard_writes_reports_down", "former_shard_works_and_writes") * 2,
    *("driver_does_what_a_former_shard_said", "shard_dies", "driver_takes_shard_to_be_gone", "driver_begins_shard") * 2,
    *("letter_is_lost", "letter_comes_and_will_again", "letters_come") * 3,
    *("shard_makes_a_pass", "shard_writes", "driver_writes", "driver_does_what_a_shard_says", "disk_writes") * 6,
    *("letter_comes", "leaf_ends", "all_goes_well") * 10,
)
"""What may happen, by how often it does."""


class Letter(NamedTuple):
    """One under way, to a shard or from there."""

    shard: Shard
    number: int
    down: bool
    data: bytes


class Protocol(RuleBasedStateMachine):
    """A driver and three shards. Processes end or are stopped when they like, letters come when they like or never."""

    def __init__(self) -> None:
        super().__init__()
        self.world, self.disk = World(), Disk()
        self.sizes: dict[str, tuple[int, int]] = {}
        self.start_driver()

    def start_driver(self) -> None:
        """What belonged to another driver ended with it."""
        self.driver = Driver(self.world, self.disk)
        self.mail: list[Letter] = []
        self.dead: set[int] = set()
        """The epochs of processes that are no more."""
        self.former: list[tuple[int, Shard]] = []
        """Those that the driver took to be gone, and which only were stopped."""
        self.processes = {number: self.driver.begin(number) for number in range(SHARDS)}
        """By number, those that the driver has begun last."""

    @initialize(groups=st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3))
    def begin(self, groups: list[str]) -> None:
        for group in groups:
            self.submit(group, 2, 2)

    @rule(step=st.sampled_from(STEPS), number=st.integers(0, SHARDS - 1), some=st.integers(0, 9))
    def step(self, step: str, number: int, some: int) -> None:
        getattr(self, step)(number, some)

    # Workflows and leaves

    def is_submitted(self, number: int, some: int) -> None:
        if len(self.sizes) < 6:
            self.submit(GROUPS[some % len(GROUPS)], 1 + number, 1 + some % 2)

    def submit(self, group: str, width: int, depth: int) -> None:
        uid = f"{group}:{len(self.sizes)}"
        self.sizes[uid] = width, depth
        self.driver.submit(uid, width, depth)

    def is_stopped(self, number: int, some: int) -> None:
        unfinished = [uid for uid in self.sizes if uid in self.driver.custody]
        if unfinished:
            self.driver.stop(unfinished[some % len(unfinished)])

    def leaf_ends(self, number: int, some: int) -> None:
        for key in self.leaf(some):
            self.driver.report(key, self.world.end(key))

    def leaf_gets_on(self, number: int, some: int) -> None:
        for key in self.leaf(some):
            self.driver.report(key, Result("Running", progress=f"{number}/9"))

    def leaf(self, some: int) -> list[Key]:
        running = sorted(self.world.running)
        return [running[some % len(running)]] if running else []

    # Shards

    def shard_makes_a_pass(self, number: int, some: int) -> None:
        self.shard_works(number, some, Work.reconcile)

    def shard_writes_reports_down(self, number: int, some: int) -> None:
        self.shard_works(number, some, Work.say)

    def leaf_is_late(self, number: int, some: int) -> None:
        self.shard_works(number, some, Work.cancel)

    def shard_works(self, number: int, some: int, how: Callable[[Work], Iterable[Up]]) -> None:
        if (shard := self.alive(number)) is not None:
            shard.work(some, how)

    def shard_writes(self, number: int, some: int) -> None:
        if (shard := self.alive(number)) is not None:
            self.mail.append(Letter(shard, number, False, shard.write(some)))

    def alive(self, number: int) -> Shard | None:
        shard = self.processes[number]
        return None if shard.epoch in self.dead else shard

    def former_shard_works_and_writes(self, number: int, some: int) -> None:
        for number, shard in self.former[some:]:
            for work in shard.works.values():
                shard.said += work.reconcile()
            self.mail.append(Letter(shard, number, False, shard.write(9)))

    def shard_dies(self, number: int, some: int) -> None:
        self.dead.add(self.processes[number].epoch)

    def driver_takes_shard_to_be_gone(self, number: int, some: int) -> None:
        if number not in self.driver.shards:
            return
        shard = self.processes[number]
        if shard.epoch not in self.dead:
            self.former.insert(0, (number, shard))
        before = {uid: self.driver.placement.shard_of(uid) for uid in self.sizes}
        self.driver.gone(number)
        for uid, where in before.items():  # nobody moves who need not
            assert where in (None, number) or self.driver.placement.shard_of(uid) == where

    def driver_begins_shard(self, number: int, some: int) -> None:
        if number not in self.driver.shards:
            self.processes[number] = self.driver.begin(number)

    # The driver

    def driver_writes(self, number: int, some: int) -> None:
        if number in self.driver.shards:
            shard = self.processes[number]
            self.mail.append(Letter(shard, number, True, self.driver.shards[number].mailbox.take()))

    def driver_does_what_a_shard_says(self, number: int, some: int) -> None:
        if number in self.driver.shards:
            self.driver.work(self.driver.shards[number], some)

    def driver_does_what_a_former_shard_said(self, number: int, some: int) -> None:
        for held in [*self.driver.former][number : number + 1]:
            self.driver.work(held, some)

    def disk_writes(self, number: int, some: int) -> None:
        self.driver.write(some)

    def driver_dies(self, number: int, some: int) -> None:
        self.disk.asked.clear()
        self.sizes = {uid: size for uid, size in self.sizes.items() if uid in self.disk.heads}
        self.start_driver()

    # The mail

    def letter_comes(self, number: int, some: int) -> None:
        if self.mail:
            self.deliver(self.mail.pop(some % len(self.mail)))

    def letter_comes_and_will_again(self, number: int, some: int) -> None:
        if self.mail:
            self.deliver(self.mail[some % len(self.mail)])

    def letter_is_lost(self, number: int, some: int) -> None:
        if self.mail:
            self.mail.pop(some % len(self.mail))

    def deliver(self, letter: Letter) -> None:
        if not letter.down:
            self.driver.receive(letter.number, letter.data)
        elif letter.shard.epoch not in self.dead:
            letter.shard.receive(letter.data)

    # Many steps at once, since each by itself leads nowhere

    def letters_come(self, number: int, some: int) -> None:
        mail, self.mail = self.mail, []
        for letter in mail:
            self.deliver(letter)

    def all_goes_well(self, number: int, some: int) -> None:
        """One exchange with each, and what comes of it; perhaps not all of it."""
        for number, held in self.driver.shards.items():
            if (shard := self.alive(number)) is not None:
                shard.receive(held.mailbox.take())
                for work in shard.works.values():
                    shard.said += work.reconcile()
                self.driver.receive(number, shard.write(some))
                self.driver.work(held, some)
        self.driver.write(some)

    # What holds

    @invariant()
    def a_report_is_taken_up_once(self) -> None:
        assert all(times == 1 for times in self.disk.taken_up.values())
        assert self.disk.taken_up.keys() <= self.world.ended.keys()

    @invariant()
    def who_contends_is_at_one_shard(self) -> None:
        homes: dict[str, int] = {}
        for uid in self.sizes:
            number = self.driver.placement.shard_of(uid)
            for group in groups_of(uid) if number is not None else ():
                assert homes.setdefault(group, number or 0) == (number or 0)

    def teardown(self) -> None:
        for number in range(SHARDS):
            if number in self.driver.shards and self.processes[number].epoch in self.dead:
                self.driver_takes_shard_to_be_gone(number, 0)
            self.driver_begins_shard(number, 0)
        for _ in range(20 * (len(self.sizes) + 1)):
            self.goes_well()
            if not len(self.driver.custody):
                break
        assert not len(self.driver.custody), "a workflow does not come to its end"
        assert not self.driver.asks
        assert not self.world.running
        for uid, (width, depth) in self.sizes.items():
            phase = self.disk.heads[uid].phase
            assert phase in ("Succeeded", "Failed")
            for key in ((uid, f"{stage}.{number}") for stage in range(depth) for number in range(width)):
                over = self.disk.taken_up[key] == 1 or key in self.disk.stopping
                assert over or (phase == "Failed" and key not in self.world.ended), f"{key} was lost"

    def goes_well(self) -> None:
        """A while in which nothing is lost, and everybody gets to do everything."""
        for number, shard in self.processes.items():
            for work in shard.works.values():
                shard.said += [*work.reconcile(), *work.say()]
            shard.receive(self.driver.shards[number].mailbox.take())
            self.driver.receive(number, shard.write(len(shard.said)))
            while self.driver.shards[number].heard:
                self.driver.work(self.driver.shards[number], 9)
                self.driver.write(9)
        self.driver.write(len(self.disk.asked))
        for key in sorted(self.world.running):
            self.driver.report(key, self.world.end(key))


Protocol.TestCase.settings = settings(max_examples=30, stateful_step_count=60)
TestProtocol = Protocol.TestCase


@settings(max_examples=HISTORIES)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 300))
def test_long_histories(seed: int, steps: int) -> None:
    """The same in long, with less of a choice for Hypothesis, which takes most of the time: how long it goes on."""
    choice, protocol = Random(seed), Protocol()
    protocol.begin(choice.choices(GROUPS, k=3))
    for _ in range(steps):
        protocol.step(choice.choice(STEPS), choice.randrange(SHARDS), choice.randrange(10))
        protocol.a_report_is_taken_up_once()
        protocol.who_contends_is_at_one_shard()
    protocol.teardown()
