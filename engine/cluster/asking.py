"""What a driver has asked shards to do, until they have answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.cluster.mail import Ask, Done
from engine.cluster.shards import Line
from engine.operations import errors
from engine.storage.store import StoreError


class Asked(msgspec.Struct, eq=False):
    """An operation that a shard is asked for: by the next one, too, if it is gone before it answers."""

    name: str
    arguments: dict[str, Any]
    answer: asyncio.Future[Any]

    @classmethod
    def of(cls, name: str, arguments: Mapping[str, Any]) -> Asked:
        """One that nobody was asked for yet."""
        return cls(name, dict(arguments), asyncio.get_running_loop().create_future())


class Asking:
    """Questions on their way. An answer comes behind what it is about: once that is durable."""

    def __init__(self) -> None:
        self.given_up: Exception | None = None
        """Why nobody is asked any more."""
        self._numbers = 0
        self._asked: dict[int, tuple[int, str, Asked]] = {}
        """By number what was asked: of the shard of which epoch, about which workflow."""

    def ask(self, line: Line, uid: str, asked: Asked) -> None:
        """Ask a shard about a workflow, or with an empty ``uid`` about itself."""
        if self.given_up is not None:
            asked.answer.set_exception(self.given_up)
            return
        self._numbers += 1
        self._asked[self._numbers] = line.epoch, uid, asked
        line.put(Ask(self._numbers, uid, asked.name, asked.arguments))

    def answered(self, done: Done) -> None:
        """A shard has answered."""
        _, _, asked = self._asked.pop(done.number)
        if asked.answer.done():  # whoever asked waits no more
            return
        if done.error is None:
            asked.answer.set_result(done.value)
        else:
            name, message = done.error
            kind = StoreError if name == StoreError.__name__ else getattr(errors, name, RuntimeError)
            asked.answer.set_exception(kind(message))

    def gone(self, epoch: int) -> list[tuple[str, Asked]]:
        """A shard is no more: what it has not answered, by the workflow that it was about."""
        lost = [(number, uid, asked) for number, (asker, uid, asked) in self._asked.items() if asker == epoch]
        for number, _, _ in lost:
            del self._asked[number]
        return [(uid, asked) for _, uid, asked in lost]

    def give_up(self, error: Exception) -> None:
        """Nobody will answer: whoever waits is told, and whoever asks from now on."""
        self.given_up = error
        asked, self._asked = self._asked, {}
        for _, _, each in asked.values():
            if not each.answer.done():
                each.answer.set_exception(error)
