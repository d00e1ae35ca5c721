"""The shards of a fleet as its driver has them: started, exchanged mail with, found to be gone, and replaced."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple, Protocol, Self

import msgspec

from engine.cluster.mail import Committed, Down, Report, State, Stop, Up, read_up
from engine.cluster.mailbox import Mailbox
from engine.cluster.transport import UNDER_WAY, Gone, Link, Transport, TransportError
from engine.executors.executor import Result
from engine.reconciling.results import Commit
from rpc.logs import get_logger

PAUSES: Final = (0.1, 2.0)
"""Seconds until a shard is started again that did not last, and the most they grow to."""

LASTED: Final = 60.0
"""Seconds after which one that is gone is taken to have worked."""

TRIES: Final = 3
"""So many times in a row no shard of any number can be started before it is said that there are none: one may be killed
while it starts."""

_log = get_logger(__name__)


class Line:
    """One incarnation of a shard, and the mail with it."""

    def __init__(self, number: int, epoch: int, deadline: float) -> None:
        self.number = number
        self.epoch = epoch
        self.mailbox = Mailbox[Down, Up](epoch)
        self.state: State | None = None
        """How it has said that it is."""
        self.came: deque[Up] = deque()
        """What it has said and nobody has seen to."""
        self.done = 0
        """How many items were seen to."""
        self.news = asyncio.Event()
        """Set where it has said something, or is gone."""
        self.is_busy = False
        """Whether what it has said is being seen to."""
        self.templates: dict[int, dict[str, Any]] = {}
        """Those that it has sent last, by number."""
        self.untold: list[Commit] = []
        """What listeners hear once the leaves that it starts are started."""
        self.exchanges = 0
        self.answered = 0.0
        """When it answered last, or was there at first, by `time.monotonic`."""
        self.seeing: asyncio.Task[None] | None = None
        """Sees to what came, until all is seen to that came of one that is gone."""
        self._deadline = deadline
        self._link: Link | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[str] | None = None
        self._sending = False
        self._last = Report("", [], Result(""))

    @property
    def is_gone(self) -> bool:
        """Whether nothing comes any more."""
        return self._over is not None and self._over.done()

    @property
    def is_done(self) -> bool:
        """Whether all is done that was said, by it and to it."""
        heard = self.state is not None and self.state.taken == self.mailbox.said
        return heard and not self.came and not self.is_busy

    def take(self) -> list[Up]:
        """What it has said that may be done together, changes first: all of it up to where a workflow changes of which
        leaves are to be stopped by then, since that change may say that they are."""
        items, stopped, came = list[Up](), set[str](), self.came
        while came and not (isinstance(came[0], Committed) and came[0].head.uid in stopped):
            items.append(item := came.popleft())
            if isinstance(item, Stop):
                stopped.add(item.uid)
        return items

    def put(self, item: Down) -> None:
        """Say something, with what else is said in this turn of the event loop."""
        self.mailbox.put(item)
        self._soon()

    def _soon(self) -> None:
        if not self._sending and self._link is not None:
            self._sending = True
            asyncio.get_running_loop().call_soon(self._send)

    def report(self, uid: str, node_ids: list[str], result: Result) -> None:
        """Tell it what leaves have come to, together with others that have come to the same."""
        last = self._last
        if last.uid == uid and last.result == result and self.mailbox.is_open(last):
            last.node_ids += node_ids
        else:
            self._last = Report(uid, node_ids, result)
            self.mailbox.put_open(self._last)
            self._soon()

    async def last(self, link: Link) -> str:
        """Exchange mail for as long as there is a shard; why there is none any more."""
        self._over = asyncio.get_running_loop().create_future()
        self._link = link
        self.answered = time.monotonic()
        self._send()
        try:
            return await self._over
        finally:
            self._link = None
            for each in self._under_way:
                each.cancel()

    def _send(self) -> None:
        """Have one exchange under way, and more where there is something to be said."""
        self._sending = False
        if self._link is None or self.is_gone or len(self._under_way) >= UNDER_WAY:
            return
        if self.mailbox.waiting or not self._under_way:
            task = asyncio.create_task(self._exchange(self._link, self.mailbox.take()))
            self._under_way.add(task)
            task.add_done_callback(self._exchanged)

    def _exchanged(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("mail failed", exc_info=error)
            self._lost(f"{type(error).__name__}: {error}")
        self._send()

    async def _exchange(self, link: Link, letter: bytes) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                answer = read_up(await link.exchange(letter))
        except Gone as error:
            self._lost(str(error))
        except TimeoutError:
            self._lost(f"{link.name} has not answered for {self._deadline:g} s")
        except msgspec.MsgspecError as error:
            self._lost(f"{link.name} has sent what is no letter: {error}")
        else:
            self.exchanges += 1
            self.answered = time.monotonic()
            self.came.extend(self.mailbox.receive(answer))
            self.news.set()

    def _lost(self, why: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(why)


class Lines(Protocol):
    """The shards that are there."""

    def get(self, epoch: int) -> Line | None: ...

    def of(self, number: int) -> Line | None: ...

    def __iter__(self) -> Iterator[Line]: ...

    def put(self, item: Down) -> None: ...


class Owner(NamedTuple):
    """Whose shards they are, and what it is told."""

    settings: Callable[[int, int], bytes]
    """What a new one of that epoch and number is made of. Whatever changes from now on is said to it."""
    joined: Callable[[Line], None]
    """A shard is there."""
    gone: Callable[[Line], Awaitable[None]]
    """A shard is no more: it does nothing, and nothing comes of it. Awaited, its workflows are others' to have."""
    none_left: Callable[[TransportError], None]
    """No shard is there, and none could be started."""


class Shards:
    """As many as there are to be: an async context manager that raises `TransportError` where one cannot be started."""

    def __init__(self, transport: Transport, count: int, deadline: float, owner: Owner) -> None:
        self._transport = transport
        self._numbers = range(count)
        self._deadline = deadline
        self._owner = owner
        self._epoch = 0
        self._lines: dict[int, Line] = {}
        """By epoch: those that are there, or are being started."""
        self._there: dict[int, Line] = {}
        """The former, by number."""
        self._failed: Counter[int] = Counter()
        """How often in a row none of that number could be started."""
        self._keeping: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self.exchanges = 0
        """With shards that are gone."""

    def __iter__(self) -> Iterator[Line]:
        return iter(list(self._there.values()))  # one may go while another thread asks

    def get(self, epoch: int) -> Line | None:
        """The shard of that epoch, if it is there."""
        line = self._lines.get(epoch)
        return line if line is not None and self._there.get(line.number) is line else None

    def of(self, number: int) -> Line | None:
        """The shard of that number, if it is there."""
        return self._there.get(number)

    def put(self, item: Down) -> None:
        """Say something to all, and to those that are being started."""
        for line in self._lines.values():
            line.put(item)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._transport)
            starting = [asyncio.create_task(self._start(number)) for number in self._numbers]
            try:
                links = await asyncio.gather(*starting)
            except BaseException:
                for each in starting:
                    each.cancel()
                await asyncio.wait(starting)
                raise
            self._stack = stack.pop_all()
        for line, link in links:
            keeping = asyncio.create_task(self._keep(line, link), name=f"shard {line.number}")
            keeping.add_done_callback(_ended)
            self._keeping.append(keeping)
        await asyncio.sleep(0)  # they are there once that has begun
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._keeping:
            each.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        await self._stack.aclose()

    async def _start(self, number: int) -> tuple[Line, Link]:
        self._epoch += 1
        line = Line(number, self._epoch, self._deadline)
        self._lines[line.epoch] = line
        try:
            link = await self._transport.start(number, self._owner.settings(line.epoch, number))
        except BaseException:
            del self._lines[line.epoch]
            raise
        return line, link

    async def _keep(self, line: Line, link: Link) -> None:
        """Have there be a shard of this number."""
        clock, pause = asyncio.get_running_loop().time, 0.0
        while True:
            began = clock()
            self._there[line.number] = line
            self._owner.joined(line)
            try:
                why = await line.last(link)
            except asyncio.CancelledError:
                await link.close()
                del self._there[line.number]
                await self._owner.gone(line)
                raise
            _log.error("shard gone", reason=why)
            await link.kill()
            del self._there[line.number]
            del self._lines[line.epoch]
            self.exchanges += line.exchanges
            await self._owner.gone(line)
            pause = 0.0 if clock() - began > LASTED else pause
            line, link, pause = await self._replaced(line.number, pause)

    async def _replaced(self, number: int, pause: float) -> tuple[Line, Link, float]:
        """Another shard of that number, and how long to wait for the next one if it does not last."""
        first, most = PAUSES
        while True:
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, first), most)
            try:
                line, link = await self._start(number)
            except TransportError as error:
                _log.error("shard not started", reason=str(error), retry_in=f"{pause:g}s")
                self._failed[number] += 1
                if not self._there and all(self._failed[each] >= TRIES for each in self._numbers):
                    self._owner.none_left(error)
            else:
                del self._failed[number]
                return line, link, pause


def _ended(keeping: asyncio.Task[None]) -> None:
    if not keeping.cancelled() and (error := keeping.exception()) is not None:
        _log.error("shards of a number are not replaced any more", task=keeping.get_name(), exc_info=error)
