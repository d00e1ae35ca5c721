"""A shard: an engine in a process of its own, which a driver feeds with workflows by mail, and which mails all it does.

It starts nothing, opens no store and reads no configuration: so it may be ended at any moment, and its workflows go on
in another one from what the driver has.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import pickle
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Self

import msgspec

from engine.cluster.configuring import unpacked
from engine.cluster.figures import Teller
from engine.cluster.mail import (
    Ask,
    Configure,
    Document,
    Done,
    Down,
    Drain,
    Hide,
    Kept,
    MadeUp,
    Report,
    State,
    Take,
    Turn,
    Up,
    read_down,
    unseal,
)
from engine.cluster.mailbox import Mailbox
from engine.cluster.outbox import Mailing, Outbox
from engine.cluster.polling import Polls
from engine.cluster.watching import Logging, Mailed, Observed
from engine.engine import Engine
from engine.executors.simulated import SimulatedExecutor
from engine.model.workflow import Workflow
from engine.operations.errors import OperationError, UnknownWorkflow
from engine.reconciling.promise import DONE
from engine.reconciling.results import Commit
from engine.storage.store import Entry, StoreError
from engine.templates.catalog import CLUSTER_WORKFLOW_TEMPLATE, CONFIG_MAP, KINDS, WORKFLOW_TEMPLATE
from registry import Registry
from rpc.logs import get_logger

LINGER: Final = 0.05
"""Seconds that an item waits for others while passes are under way: a letter costs as much as a leaf does."""

LARGE: Final = 256 * 1024
"""Bytes that wait for no others."""

BEATS: Final = 4
"""So often within its deadline a shard answers, whether it has anything to say or not."""

_log = get_logger(__name__)


class Settings(msgspec.Struct):
    """What a shard is made of. ``config`` is a packed configuration, None where there are no plugins; ``simulated`` a
    pickled executor, None where leaves are the driver's."""

    epoch: int
    number: int
    shards: int
    deadline: float
    workers: int
    max_nodes: int
    documents: list[Document] = []
    config: bytes | None = None
    simulated: bytes | None = None
    observed: bool = False
    recorded: bool = False
    max_body: int | None = None
    """Of what is recorded, None where that is for listeners alone."""
    secrets: list[str] = []
    driver: int = 0
    """The process whose logs ours are, from a ``level`` on."""
    level: int = logging.WARNING
    real_time: bool = False

    def encode(self) -> bytes:
        """As it is sent."""
        return msgspec.json.encode(self)


class Shard:
    """See `engine.cluster.transport.Served`."""

    def __init__(self, settings: bytes) -> None:
        """Raises `ValueError` for credentials that cannot be read here."""
        given = msgspec.json.decode(settings, type=Settings)
        self.deadline = given.deadline
        self._mailbox = Mailbox[Up, Down](given.epoch)
        self._polls = Polls(given.deadline / BEATS)
        self._outbox = Outbox(self)
        self._registry = Registry(unpacked(given.config), processes=given.shards) if given.config is not None else None
        self._simulated: SimulatedExecutor | None = None
        if given.simulated is not None:
            self._simulated = pickle.loads(given.simulated)
        self._made_up = 0
        """How many outputs the driver knows to be made up."""
        self._recorder: Mailed | None = None
        if given.recorded:
            self._recorder = Mailed(self.put, given.number, given.shards, given.max_body)
            self._recorder.hide(*given.secrets)
        self._logs_from = given.level if given.driver != os.getpid() else None
        shelves: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
        for each in given.documents:
            name = f"{each.namespace}/{each.name}" if each.namespace else each.name
            shelves[each.kind][name] = each.document or {}
        self._engine = Engine(
            self._registry,
            executor=self._simulated if self._simulated is not None else Mailing(self),
            store=self._outbox,
            workflow_templates=shelves[WORKFLOW_TEMPLATE],
            cluster_workflow_templates=shelves[CLUSTER_WORKFLOW_TEMPLATE],
            config_maps=shelves[CONFIG_MAP],
            clock=time.time if given.real_time else None,
            workers=given.workers,
            max_nodes=given.max_nodes,
            observer=Observed(self.put) if given.observed else None,
            recorder=self._recorder,
        )
        self._teller = Teller(self._engine)
        self._engine.listeners.append(self._committed)
        self._engine.resting.append(self._rest)
        self._workflows: dict[str, Workflow] = {}
        self._came: asyncio.Queue[Down] = asyncio.Queue()
        self._taken = 0
        self._told = -1, False
        """How many items were taken, and whether it turned, when the driver was told last."""
        self._seeing: asyncio.Task[None]
        self._turning: asyncio.Task[None] | None = None
        self._begun: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._logs_from is not None:
                logs = Logging(self.put, asyncio.get_running_loop().call_soon_threadsafe)
                stack.enter_context(logs.attached(self._logs_from))
            await stack.enter_async_context(self._engine)
            self._seeing = asyncio.create_task(self._see_to_all(), name="shard: see to what comes")
            self._seeing.add_done_callback(lambda _: self._polls.answer())
            stack.push_async_callback(ended, self._seeing)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._turning is not None:
            await ended(self._turning)
        for each in list(self._begun):
            await ended(each)
        await self._stack.aclose()

    # Mail

    async def exchange(self, mail: bytes) -> bytes:
        """Take mail, and wait until there is some to be sent, or another exchange comes."""
        for item in self._mailbox.receive(read_down(mail)):
            self._came.put_nowait(item)
        await self._polls.wait(self._linger if self._has_news else math.inf)
        if self._seeing.done():  # it went wrong: others are to have the workflows
            await self._seeing
        if (news := self._teller.due()) is not None:
            self._mailbox.put(news)
        if self._simulated is not None and len(made_up := self._simulated.made_up) > self._made_up:
            self._mailbox.put(MadeUp(list(made_up.items())[self._made_up :]))
            self._made_up = len(made_up)
        is_turning = self._is_turning
        still = not is_turning or self._engine.next_due is None
        self._mailbox.put(State(self._taken, is_turning, still, self._outbox.is_full))
        self._told = self._taken, is_turning
        return self._mailbox.take()

    @property
    def said(self) -> int:
        """How many items were put in all."""
        return self._mailbox.said

    def put(self, item: Up | bytes) -> None:
        """Say something, soon."""
        self._mailbox.put(item)
        self._soon()

    def _soon(self) -> None:
        if self._mailbox.size > LARGE:
            self._polls.answer()
        elif self._polls.within > LINGER:  # else it is said once it rests
            self._polls.answer_within(self._linger)

    @property
    def _linger(self) -> float:
        """Seconds that an item waits for others."""
        return 0.0 if self._is_at_rest else LINGER

    @property
    def _has_news(self) -> bool:
        """Whether there is anything that the driver does not know."""
        return bool(self._mailbox.waiting) or self._told != (self._taken, self._is_turning)

    @property
    def _is_turning(self) -> bool:
        return self._turning is not None and not self._turning.done()

    @property
    def _is_at_rest(self) -> bool:
        """Whether nothing more is to be said in the next moment."""
        return not self._is_turning or self._engine.next_due != 0.0

    def _rest(self) -> None:
        if self._has_news:
            self._polls.answer_within(0.0)

    def _committed(self, commit: Commit) -> None:
        if commit.finished:
            self._workflows.pop(commit.workflow.uid, None)
            self._say_over(commit.workflow)

    def _say_over(self, workflow: Workflow) -> None:
        """Have the driver know that nothing is left to do: its pass may have said so, unless there were leaves to be
        stopped."""
        if workflow.uid in self._outbox.over:
            self._outbox.over.discard(workflow.uid)
        else:
            self._spawn(self._engine.saved(workflow), "say that a workflow is over")

    # What the driver says

    async def _see_to_all(self) -> None:
        while True:
            item = await self._came.get()
            await self._see_to(item)
            self._taken += 1
            if self._came.empty() and self._is_at_rest:
                self._polls.answer_within(0.0)

    async def _see_to(self, item: Down) -> None:
        match item:
            case Take():
                await self._take(item)
            case Report():
                if (workflow := self._workflows.get(item.uid)) is not None:
                    self._engine.hear(workflow, item.node_ids, item.result)
            case Ask():
                self._begin(item)
            case Document():
                if item.document is not None:
                    self._engine.templates.put(item.document)
                else:
                    self._engine.templates.remove(item.kind, item.name, namespace=item.namespace)
            case Configure():
                await self._configure(item.config)
            case Turn():
                await self._turn(item.timeout)
            case Hide():
                if self._recorder is not None:
                    self._recorder.hide(*item.secrets)
            case Drain():
                self._engine.drain(math.inf if item.grace is None else item.grace)
            case Kept():
                self._outbox.kept(item.count)

    async def _take(self, item: Take) -> None:
        values = unseal(item.put).items()
        entries = (Entry(kind, key, bytes(value)) for kind, some in values for key, value in some.items())
        try:
            workflow = await self._engine.take_in(item.uid, entries)
        except StoreError as error:
            _log.error("workflow cannot be read", uid=item.uid, reason=str(error))
            return
        if workflow.finished:  # what of its leaves was to be stopped is
            self._say_over(workflow)
        else:
            self._workflows[item.uid] = workflow

    async def _configure(self, config: bytes) -> None:
        if self._registry is None:
            return
        try:
            await self._registry.replace(await asyncio.to_thread(unpacked, config))
        except ValueError as error:
            _log.error("configuration rejected, keeping the old one", error=str(error))

    async def _turn(self, timeout: float | None) -> None:
        before = self._turning
        self._turning = asyncio.create_task(self._engine.serve(timeout=timeout), name="shard: make passes")
        self._turning.add_done_callback(lambda _: self._polls.answer_within(0.0))
        await asyncio.sleep(0)  # there is never nobody to turn for
        if before is not None:
            await ended(before)

    # What is asked

    def _begin(self, ask: Ask) -> None:
        """Do it now, in the order in which it was asked; what is to be waited for is, beside everything else."""
        try:
            done = self._operate(ask)
        except OperationError as error:
            self.put(Done(ask.number, error=(type(error).__name__, str(error))))
            return
        self._spawn(self._answer(ask.number, done), ask.name)

    def _spawn(self, what: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(what, name=f"shard: {name}")
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def _answer(self, number: int, done: Awaitable[Any]) -> None:
        try:
            answer = Done(number, await done)
        except Exception as error:
            answer = Done(number, error=(type(error).__name__, str(error)))
        self.put(answer)

    def _operate(self, ask: Ask) -> Awaitable[Any]:
        if ask.name == "rest":
            return self._rested(self._turning)
        if ask.name == "look":
            self.put(self._teller.take())
            return DONE
        if ask.name == "waiting_for":
            return self._reasons(ask.arguments["uids"])
        workflow = self._workflows.get(ask.uid)
        if workflow is None:
            raise UnknownWorkflow(f"workflow {ask.uid}: it is finished, or gone")
        if ask.name == "forget":
            del self._workflows[ask.uid]
            return self._engine.forget(workflow)
        if ask.name != "saved":
            _OPERATIONS[ask.name](self._engine, workflow, **ask.arguments)
        return self._engine.saved(workflow)

    async def _rested(self, turning: asyncio.Task[None] | None) -> None:
        if turning is not None:  # somebody may want another one by now
            await ended(turning)
        await self._engine.saved()
        self.put(self._teller.take())

    async def _reasons(self, uids: Sequence[str]) -> dict[str, str]:
        found = ((uid, self._workflows.get(uid)) for uid in uids)
        return {uid: self._engine.waiting_for(workflow) for uid, workflow in found if workflow is not None}


_OPERATIONS: Final[Mapping[str, Callable[..., object]]] = {
    "stop": Engine.stop,
    "terminate": Engine.terminate,
    "suspend": Engine.suspend,
    "resume": Engine.resume,
    "set": Engine.set,
}
"""Those of a workflow that is not finished; what they change is mailed before the answer is."""


async def ended(task: asyncio.Task[None]) -> None:
    """End a task, and wait until it has."""
    task.cancel()
    await asyncio.wait((task,))
