"""A fleet without processes: a driver by the rules of `engine.cluster`, a disk that takes its time, leaves that outlive
it, and shards with a small engine of stages of leaves.

Each does one thing when it is told to, so that whatever may come between two things can.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import count

import msgspec

from engine.cluster.custody import Custody, Leaves
from engine.cluster.mail import (
    Ask,
    Committed,
    Done,
    Down,
    Report,
    Start,
    Stop,
    Take,
    Up,
    of_kind,
    read_down,
    read_up,
    seal,
    unseal,
)
from engine.cluster.mailbox import Mailbox
from engine.cluster.placement import Groups, Placement
from engine.executors.executor import Result
from engine.reconciling.entries import DOCUMENT, GIVEN, LEAF, NODE, REPORT, STATUS, STOPPING
from engine.storage.store import Head, Values

Key = tuple[str, str]
"""A leaf: its workflow's uid and its node's id."""

_result = msgspec.json.Decoder(Result).decode


class World:
    """What is started: it is there whatever becomes of the driver, and knows what it has (`Adopting`)."""

    def __init__(self) -> None:
        self.running: set[Key] = set()
        self.ended: dict[Key, Result] = {}
        self.stopped: set[Key] = set()

    def start(self, key: Key) -> None:
        assert key not in self.running, f"{key} was started twice"
        assert key not in self.ended, f"{key} was started again when it had ended"
        assert key not in self.stopped, f"{key} was started when it had been stopped"
        self.running.add(key)

    def stop(self, key: Key) -> None:
        self.running.discard(key)
        self.stopped.add(key)

    def end(self, key: Key) -> Result:
        self.running.remove(key)
        self.ended[key] = result = Result("Succeeded", message=f"{key} was here")
        return result


class Disk:
    """A store. What was asked for is written in that order, later; when the power fails what was not is gone."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        self.entries: dict[str, dict[str, dict[str, bytes]]] = {}
        self.asked: deque[Committed] = deque()
        self.written = 0
        """How many were, of all that were ever asked for."""
        self.taken_up: Counter[Key] = Counter()
        """How often it was written what came of a leaf."""
        self.stopping: set[Key] = set()
        """The leaves of which it was written that they are to be stopped."""

    def ask(self, change: Committed) -> int:
        self.asked.append(change)
        return self.written + len(self.asked)

    def write(self) -> Committed:
        change = self.asked.popleft()
        uid = change.head.uid
        entries = self.entries.setdefault(uid, {})
        for kind, keys in change.gone.items():
            for key in keys:
                entries.get(kind, {}).pop(key, None)
        for kind, values in unseal(change.put).items():
            entries.setdefault(kind, {}).update({key: bytes(value) for key, value in values.items()})
        self.taken_up.update((uid, node_id) for node_id in of_kind(change.put, NODE))
        leaves = of_kind(change.put, LEAF).items()
        self.stopping.update((uid, node_id) for node_id, state in leaves if msgspec.json.decode(state) == STOPPING)
        self.heads[uid] = change.head
        self.written += 1
        return change

    def leaves(self, uid: str) -> dict[str, str]:
        return {key: msgspec.json.decode(value, type=str) for key, value in self.entries[uid].get(LEAF, {}).items()}


class Work:
    """A workflow as a shard has it: one stage after the other, each of some leaves."""

    def __init__(self, uid: str, values: dict[str, dict[str, msgspec.Raw]]) -> None:
        spec: dict[str, int] = msgspec.json.decode(values[DOCUMENT]["spec"])
        status: dict[str, int | str] = msgspec.json.decode(values[STATUS]["at"])
        self.uid = uid
        self.width, self.depth = spec["width"], spec["depth"]
        self.stage, self.phase = int(status["stage"]), str(status["phase"])
        self.shutdown = bool(status["shutdown"])
        states = {key: msgspec.json.decode(value, type=str) for key, value in values.get(LEAF, {}).items()}
        self.leaves = {key for key, state in states.items() if state == GIVEN}
        self.stopping = {key for key, state in states.items() if state == STOPPING}
        self.found = set(self.leaves)
        """Those that were to be started before this shard had the workflow."""
        self.reports = {key: _result(value) for key, value in values.get(REPORT, {}).items()}
        self.unwritten: set[str] = set()
        """Of which a report is not written, or that they were stopped."""
        self.late: set[str] = set()
        """Those whose time is over."""

    def report(self, node_id: str, result: Result) -> None:
        before = self.reports.get(node_id)
        if node_id in self.leaves and not (before is not None and before.ended):
            self.reports[node_id] = result
            self.unwritten.add(node_id)

    def say(self) -> list[Up]:
        """Write what was said from outside."""
        unwritten, self.unwritten = self.unwritten, set()
        reports = {key: self.reports[key] for key in unwritten if key in self.reports}
        stopped = [*(unwritten - reports.keys())]
        return [self._change({REPORT: reports}, {LEAF: stopped})] if reports or stopped else []

    def reconcile(self) -> list[Up]:
        """Make a pass: the change first, then what follows from it."""
        was, starts = (self.stage, self.phase), set[str]()
        ended = {key: result for key, result in self.reports.items() if result.ended}
        taken, self.reports = self.reports, {}
        self.unwritten -= taken.keys()
        self.leaves -= ended.keys()
        if self.phase in ("", "Running"):
            stops = self.leaves if self.shutdown else self.leaves & self.late
            self.stopping, self.leaves = self.stopping | stops, self.leaves - stops
            if self.shutdown:
                self.phase = "Failed"
            elif not self.leaves:
                self.stage, self.phase = self.stage + 1, "Running"
                if self.stage == self.depth:
                    self.phase = "Succeeded"
                else:
                    self.leaves = starts = {f"{self.stage}.{number}" for number in range(self.width)}
        leaves = dict.fromkeys(starts, GIVEN) | dict.fromkeys(self.stopping, STOPPING)
        said: list[Up] = []
        if taken or starts or self.stopping or was != (self.stage, self.phase):
            said.append(self._change({NODE: ended, LEAF: leaves}, {LEAF: [*ended], REPORT: [*taken]}))
        said += [Stop(self.uid, node_id) for node_id in sorted(self.stopping)]
        self.unwritten |= self.stopping
        self.stopping = set()
        said += [Start(self.uid, [node_id], 1) for node_id in sorted(self.found & self.leaves | starts)]
        self.found = set()
        return said

    def cancel(self) -> list[Up]:
        """The time of a leaf is over; the next pass sees to that."""
        self.late |= set(sorted(self.leaves)[:1])
        return []

    def stop(self) -> list[Up]:
        """End all of it, and say so."""
        self.shutdown = self.phase in ("", "Running")
        return [self._change({}, {})]

    def _change(self, put: Values, gone: dict[str, list[str]]) -> Committed:
        at = {"stage": self.stage, "phase": self.phase, "shutdown": self.shutdown}
        finished = self.phase not in ("", "Running") and not self.stopping and not put.get(LEAF)
        head = Head(self.uid, "default", self.uid, self.phase, finished)
        return Committed(head, seal({**put, STATUS: {"at": at}}), gone)


class Shard:
    """One incarnation, in its process. What it says waits until it is told to let go of some of it."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.mailbox = Mailbox[Up, Down](epoch)
        self.works: dict[str, Work] = {}
        self.said: deque[Up] = deque()

    def receive(self, data: bytes) -> None:
        for item in self.mailbox.receive(read_down(data)):
            match item:
                case Take():
                    assert item.uid not in self.works, "it was given twice to one shard"
                    self.works[item.uid] = Work(item.uid, unseal(item.put))
                case Report():
                    for node_id in item.node_ids:
                        self.works[item.uid].report(node_id, item.result)
                case Ask():
                    self.said += [*self.works[item.uid].stop(), Done(item.number)]

    def work(self, number: int, how: Callable[[Work], Iterable[Up]]) -> None:
        if self.works:
            self.said += how([*self.works.values()][number % len(self.works)])

    def write(self, items: int) -> bytes:
        for _ in range(min(items, len(self.said))):
            self.mailbox.put(self.said.popleft())
        return self.mailbox.take()


class Held:
    """What the driver has of an incarnation: its end of the mail, and what was heard and is not done."""

    def __init__(self, number: int, epoch: int) -> None:
        self.number = number
        self.mailbox = Mailbox[Down, Up](epoch)
        self.heard: deque[Up] = deque()
        self.asked = 0
        """What the disk has to have written before anything else that it said is done."""


class Driver:
    """The rules that a driver goes by. It is gone when its process is; disk and world are not."""

    def __init__(self, world: World, disk: Disk) -> None:
        self.world, self.disk = world, disk
        self.custody = Custody()
        self.leaves: dict[str, Leaves] = {}
        self.placement = Placement()
        self.shards: dict[int, Held] = {}
        """By number, those that the driver takes to be alive."""
        self.former: deque[Held] = deque()
        """Those that it does not, the last one first: what was heard of them by then may still be done."""
        self.epochs = count(1)
        self.reading: list[tuple[str, int, int]] = []
        """Workflows whose entries are read: for which epoch, and what has to be written by then."""
        self.asks: dict[int, Ask] = {}
        self.numbers = count(1)
        for uid, head in disk.heads.items():
            if not head.finished:
                self.leaves[uid] = self.custody.take_in(uid, disk.leaves(uid))
                self.placement.add(uid, groups_of(uid), live=True)

    # Shards

    def begin(self, number: int) -> Shard:
        held = self.shards[number] = Held(number, next(self.epochs))
        self.placement.joined(number)
        self.settle()
        return Shard(held.mailbox.epoch)

    def gone(self, number: int) -> None:
        held = self.shards.pop(number)
        self.former.appendleft(held)
        self.custody.gone(held.mailbox.epoch)
        self.placement.gone(number)
        self.settle()

    def settle(self) -> None:
        for uid, number in self.placement.settle().items():
            epoch = self.shards[number].mailbox.epoch
            self.reading.append((uid, epoch, self.disk.written + len(self.disk.asked)))

    def _give(self) -> None:
        """Send what was read, each to the shard that it was read for, if that is still the one."""
        by_epoch = {held.mailbox.epoch: held for held in self.shards.values()}
        reading, self.reading = self.reading, []
        for uid, epoch, needed in reading:
            held = by_epoch.get(epoch)
            if held is None or uid not in self.custody:
                continue  # it is placed anew, or over
            if self.disk.written < needed:
                self.reading.append((uid, epoch, needed))
                continue
            entries = self.disk.entries[uid]
            values = {kind: {key: msgspec.Raw(value) for key, value in some.items()} for kind, some in entries.items()}
            held.mailbox.put(Take(uid, seal(values)))
            for node_id, result in self.custody.give(uid, epoch):
                held.mailbox.put(Report(uid, [node_id], result))
            for ask in self.asks.values():
                if ask.uid == uid:
                    held.mailbox.put(ask)

    # Workflows

    def submit(self, uid: str, width: int, depth: int) -> None:
        at = {"stage": -1, "phase": "", "shutdown": False}
        values: Values = {DOCUMENT: {"spec": {"width": width, "depth": depth}}, STATUS: {"at": at}}
        self.disk.ask(Committed(Head(uid, "default", uid), seal(values), {}, True))
        self.leaves[uid] = self.custody.take_in(uid)
        self.placement.add(uid, groups_of(uid))
        self.settle()

    def stop(self, uid: str) -> None:
        number = next(self.numbers)
        ask = self.asks[number] = Ask(number, uid, "stop", {})
        for held in self.shards.values():
            if self.custody.has(uid, held.mailbox.epoch):
                held.mailbox.put(ask)

    def report(self, key: Key, result: Result) -> None:
        uid, node_id = key
        leaves = self.leaves[uid]
        told = leaves.first(node_id, result) or leaves.note([node_id], result)
        for held in self.shards.values():
            if told and held.mailbox.epoch == leaves.epoch:
                held.mailbox.put(Report(uid, [node_id], result))

    # What shards say

    def receive(self, number: int, data: bytes) -> None:
        if number in self.shards:
            held = self.shards[number]
            held.heard += held.mailbox.receive(read_up(data))

    def work(self, held: Held, items: int) -> None:
        """Do some of what a shard says: changes are handed to the disk, the rest is done once those before it are
        written."""
        epoch = held.mailbox.epoch
        for _ in range(min(items, len(held.heard))):
            item = held.heard[0]
            if isinstance(item, Committed):
                if self.custody.has(item.head.uid, epoch):
                    held.asked = self.disk.ask(item)
            elif self.disk.written < held.asked:
                return
            else:
                self._do(item, epoch)
            held.heard.popleft()

    def _do(self, item: Up, epoch: int) -> None:
        match item:
            case Start():
                self._start(item, epoch)
            case Stop():
                if self.custody.stop(item.uid, epoch, item.node_id):
                    self.world.stop((item.uid, item.node_id))
            case Done():
                self.asks.pop(item.number, None)

    def _start(self, item: Start, epoch: int) -> None:
        for node_id, found in self.custody.start(item.uid, epoch, item.node_ids):
            key = item.uid, node_id
            assert self.disk.leaves(item.uid).get(node_id) == GIVEN, "it was started before that was durable"
            if not found or key not in self.world.running | self.world.ended.keys():
                self.world.start(key)
            elif key in self.world.ended:  # adopted: it says again what came of it
                self.report(key, self.world.ended[key])

    def write(self, changes: int) -> None:
        """The disk gets on."""
        for _ in range(min(changes, len(self.disk.asked))):
            change = self.disk.write()
            self.custody.committed(change)
            if change.head.finished:
                self.placement.remove(change.head.uid)
                self.asks = {number: ask for number, ask in self.asks.items() if ask.uid != change.head.uid}
                self.settle()
        self._give()


def groups_of(uid: str) -> Groups:
    """Some workflows contend for something: their uids say in which groups."""
    return frozenset(uid.partition(":")[0].strip("-"))
