"""One end of the mail between the driver and a shard: nothing is lost, and nothing comes twice or in another order.

Items are numbered. A letter has those that the other side has not heard and that are not under way, and says how many
were heard from there, and which letter was seen last. Whoever sees by that that a letter of its own has come, or one
behind it, and was not heard, sends again from there on: one before it was lost, or is late. So any letter may be lost,
doubled, late or overtaken, as long as some come.

A mailbox is of one incarnation of a shard, which has an epoch: letters of others are not read. It awaits nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from engine.cluster.mail import Item, Letter, encode, pack

_Said = TypeVar("_Said", bound=Item)
_Heard = TypeVar("_Heard", bound=Item)


class Mailbox(Generic[_Said, _Heard]):
    """The driver has a ``Mailbox[Down, Up]`` for each shard, that has a ``Mailbox[Up, Down]``, both of its epoch.

    `take` makes a letter, empty where there is nothing to say; `receive` says what is new in one from the other side,
    which `mail.read_up` or `mail.read_down` has read. What was heard is in memory, no more: when the driver's process
    ends, so do its shards.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.size = 0
        """Bytes that wait for a letter."""
        self._open: _Said | None = None
        """What was said last, and may be changed yet."""
        self._items: list[bytes] = []
        """What the other side has not said that it heard, the first of them under the number `_first`."""
        self._first = 0
        self._sent = 0
        """The number of the first item that waits for a letter; those before it are under way."""
        self._letters = 0
        self._under_way: deque[tuple[int, int]] = deque()
        """Letters that the other side may not have seen: the number, and that of the item behind its last."""
        self._seen = 0
        self._heard = 0

    def put_open(self, item: _Said) -> None:
        """Say something that may be changed for as long as it `is_open`: until something else is said, or a letter is
        taken."""
        self._close()
        self._open = item

    def is_open(self, item: _Said) -> bool:
        """Whether it may be changed yet."""
        return self._open is item

    def _close(self) -> None:
        if self._open is not None:
            item, self._open = self._open, None
            self.put(item)

    def put(self, item: _Said | bytes) -> None:
        """Say something. It is encoded here, so it may change afterwards; one that is large may be put encoded."""
        self._close()
        encoded = item if isinstance(item, bytes) else encode(item)
        self._items.append(encoded)
        self.size += len(encoded)

    @property
    def said(self) -> int:
        """How many items were put in all."""
        return self._first + len(self._items) + (self._open is not None)

    @property
    def waiting(self) -> int:
        """How many items wait for a letter."""
        return self.said - self._sent

    def take(self) -> bytes:
        """A letter of all that waits, to be sent now."""
        self._close()
        first, items = self._sent, self._items[self._sent - self._first :]
        self._letters += 1
        self._wait_from(first + len(items))
        self._under_way.append((self._letters, self._sent))
        letter = Letter(self.epoch, self._letters, self._seen, self._heard, first, list(map(msgspec.Raw, items)))
        return pack(letter)

    def receive(self, letter: Letter[_Heard]) -> Sequence[_Heard]:
        """What a letter has that was not heard before, in the order in which it was put."""
        if letter.epoch != self.epoch:
            return ()
        self._forget(letter.heard)
        self._look_after(letter.seen)
        self._seen = max(self._seen, letter.number)
        if letter.first > self._heard:  # what is before it comes again, and this with it
            return ()
        new = letter.items[self._heard - letter.first :]
        self._heard += len(new)
        return new

    def _forget(self, heard: int) -> None:
        """The other side has what comes before the item of that number."""
        if heard > self._first:
            del self._items[: heard - self._first]
            self._first = heard
            if heard > self._sent:  # it had only been late
                self._wait_from(heard)

    def _look_after(self, seen: int) -> None:
        """The other side has seen that letter: what it has not heard of those up to it is to be sent again."""
        end = 0
        while self._under_way and self._under_way[0][0] <= seen:
            _, end = self._under_way.popleft()
        if end > self._first:
            self._wait_from(self._first)

    def _wait_from(self, number: int) -> None:
        self._sent = number
        self.size = sum(map(len, self._items[number - self._first :]))
