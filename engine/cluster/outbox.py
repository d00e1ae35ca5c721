"""What a shard's engine has in place of a store and an executor: what they are told is mailed to the driver.

The engine writes a change before it acts on it. Here writing is putting it into the mail, and to start a leaf is to put
that behind it: the driver does what it is told in that order, and the second only once the first is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol, Self

from engine.cluster.mail import Start, Stop, Template, Up, committed, encode
from engine.executors.executor import Result
from engine.model.encoding import UNENCODABLE
from engine.model.node import Node
from engine.model.workflow import Workflow
from engine.storage.store import Change, Entry, Head, has_many, refused

MOST: Final = 8 * 1024 * 1024
"""Bytes of changes that may be on their way until they are durable; beyond that passes wait before they commit."""

TEMPLATES: Final = 256
"""So many templates are known at both ends: the last ones that were sent."""


class Mail(Protocol):
    """The shard's end of it."""

    @property
    def said(self) -> int:
        """How many items were put in all."""
        ...

    def put(self, item: Up | bytes) -> None:
        """Say something, soon; what is encoded already is said as it is."""
        ...


class Outbox:
    """A `WorkflowStore` that has nothing when it is opened: workflows come by mail."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._sizes: deque[tuple[int, int]] = deque()
        """Of the changes that are not known to be durable: the number of the item behind it, and its bytes."""
        self._size = 0
        self._room: asyncio.Future[None] | None = None
        """Done once there is room again."""
        self.over: set[str] = set()
        """Workflows of which all is said, until somebody takes them out."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def commit(self, change: Change) -> Awaitable[int]:
        """Mail a change, and wait where too much is on its way."""
        loop = asyncio.get_running_loop()
        if has_many(change):
            return loop.create_task(self._commit_large(change))
        done: asyncio.Future[int] = loop.create_future()
        try:
            done.set_result(self._say(change, encode(committed(change))))
        except UNENCODABLE as error:
            done.set_exception(refused(f"workflow {change.head.uid}", error))
        return done if self._size <= MOST else loop.create_task(self._wait_for_room(done))

    async def _commit_large(self, change: Change) -> int:
        try:
            item = await asyncio.to_thread(lambda: encode(committed(change)))
        except UNENCODABLE as error:
            raise refused(f"workflow {change.head.uid}", error) from error
        number = self._say(change, item)
        await self._wait()
        return number

    async def _wait_for_room(self, done: asyncio.Future[int]) -> int:
        await self._wait()
        return await done

    async def _wait(self) -> None:
        while self._size > MOST:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def _say(self, change: Change, item: bytes) -> int:
        self._mail.put(item)
        if change.head.finished:
            self.over.add(change.head.uid)
        number = self._mail.said
        self._sizes.append((number, len(item)))
        self._size += len(item)
        return number

    @property
    def is_full(self) -> bool:
        """Whether passes wait."""
        return self._room is not None

    def kept(self, count: int) -> None:
        """So many items are done, and what is among them is durable."""
        while self._sizes and self._sizes[0][0] <= count:
            self._size -= self._sizes.popleft()[1]
        if self._room is not None and self._size <= MOST:
            self._room.set_result(None)
            self._room = None

    async def heads(
        self, *, finished: bool | None = None, namespace: str | None = None, name: str | None = None
    ) -> list[Head]:
        return []

    async def entries(self, uid: str, kinds: Collection[str] | None = None) -> Collection[Entry]:
        return ()

    async def delete(self, uid: str) -> bool:
        return True  # the driver has seen to that


class Mailing:
    """An executor whose leaves the driver starts and stops."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._templates: dict[int, tuple[int, Mapping[str, Any]]] = {}
        """By `id`, the number under which one was sent; and it, so that no other one is given that `id`."""
        self._sent = 0

    def start(self, workflow: Workflow, template: Mapping[str, Any], node: Node) -> Result | None:
        """Have one started."""
        self.start_all(workflow, template, [node])
        return None

    def start_all(self, workflow: Workflow, template: Mapping[str, Any], nodes: Sequence[Node]) -> None:
        """Have them started."""
        number = self._number(template)
        self._mail.put(Start(workflow.uid, [node.id for node in nodes], number))

    def stop(self, workflow: Workflow, node: Node) -> None:
        """Have it stopped."""
        self._mail.put(Stop(workflow.uid, node.id))

    def _number(self, template: Mapping[str, Any]) -> int:
        known = self._templates.get(id(template))
        if known is not None:
            return known[0]
        self._sent += 1
        self._mail.put(Template(self._sent, dict(template)))
        self._templates[id(template)] = self._sent, template
        if len(self._templates) > TEMPLATES:
            del self._templates[next(iter(self._templates))]
        return self._sent
